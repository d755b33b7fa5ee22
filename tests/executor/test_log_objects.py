"""Logs in an object store, for real: an executor's process, and moto's server."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from obstore.store import S3Store

from executor.archives import Shipment
from executor.log_objects import Bucket
from executor.sweeping import EVERY_S, LOCK, Keeping, sweep
from swath.domain.log_archive import PARTIAL, log_directory, piece_name
from swath.s3 import Stores
from tests.executor.agent import Agent, wait_until
from tests.executor.build import an_id
from tests.executor.scripts import a_run
from tests.fixtures.s3 import KEY, S3

ROOT = "s3://scenes-logs/my site"
DAY_S = 24 * 3600


@pytest.fixture
def store(s3: S3) -> S3Store:
    """The bucket of the logs."""
    return s3.make_bucket("scenes-logs")


@pytest.fixture
def bucket(tmp_path: Path, s3: S3, store: S3Store) -> Bucket:
    """An archive in it."""
    return Bucket(ROOT, Stores(s3.write_stores(tmp_path / "s3.toml")))


def list_all(store: S3Store) -> set[str]:
    """The keys below the root."""
    return {entry["path"].removeprefix("my site/") for batch in store.list("my site/") for entry in batch}


def read_all(store: S3Store) -> dict[str, str]:
    """What lies there, by its key."""
    return {key: bytes(store.get(f"my site/{key}").bytes()).decode() for key in list_all(store)}


def has(store: S3Store, key: str) -> Callable[[], bool]:
    return lambda: key in list_all(store)


def test_a_log_is_shipped_in_pieces_and_in_the_end_as_one(tmp_path: Path, s3: S3, store: S3Store) -> None:
    """The beginning is there while the command runs; then both streams whole, and no pieces; of silence there is nothing."""
    agent = Agent(tmp_path, SWATH_LOGS_ROOT=ROOT, SWATH_S3_FILE=str(s3.write_stores(tmp_path / "s3.toml"))).start()
    try:
        text = """
import os, sys, time
print("one", flush=True)
while not os.path.exists(os.environ["HOME"] + "/go"): time.sleep(0.01)
print("two", flush=True)
sys.stderr.write("three")
"""
        spec = a_run(agent, "speaks", text)
        place = log_directory(spec.job, spec.task, spec.attempt)
        update = agent.wait(agent.launch(spec), "TASK_RUNNING")
        wait_until(has(store, f"{place}{PARTIAL}/{piece_name('stdout', 0)}"), "the beginning is shipped")
        assert agent.run(a_run(agent, "silent", "pass")).state == "TASK_FINISHED"
        (Path(str(update.report.sandbox)) / "go").touch()
        agent.wait(spec.attempt)
        whole = {f"{place}/stdout": "one\ntwo\n", f"{place}/stderr": "three", LOCK: "swept\n"}
        wait_until(lambda: list_all(store) == set(whole), "all is there, and nothing else")
        assert read_all(store) == whole
        assert KEY not in (agent.sandbox / "stderr").read_text()
    finally:
        agent.stop()


def test_what_a_killed_executor_has_shipped_stays_in_the_store(tmp_path: Path, s3: S3, store: S3Store) -> None:
    """As a piece, which tells that it is not all."""
    agent = Agent(tmp_path, SWATH_LOGS_ROOT=ROOT, SWATH_S3_FILE=str(s3.write_stores(tmp_path / "s3.toml"))).start()
    try:
        spec = a_run(agent, "speaks", "import time\nprint('one', flush=True)\ntime.sleep(60)")
        agent.launch(spec)
        key = f"{log_directory(spec.job, spec.task, spec.attempt)}{PARTIAL}/{piece_name('stdout', 0)}"
        wait_until(has(store, key), "the beginning is shipped")
    finally:
        agent.kill_executor()
    assert read_all(store)[key] == "one\n"


def a_shipment(directory: Path) -> Shipment:
    """Of an attempt that has written nothing yet."""
    (directory / "attempt").mkdir()
    return Shipment(source=directory / "attempt", place=log_directory("job", 0, an_id()), limit=2**30)


def ship(bucket: Bucket, shipment: Shipment, *, start: int | None = None) -> None:
    """What is new in stdout, or all from `start` on."""
    with (shipment.source / "stdout").open("rb") as log:
        size = os.fstat(log.fileno()).st_size
        begin = shipment.shipped["stdout"] if start is None else start
        shipment.shipped["stdout"] = bucket.add(shipment, "stdout", log.fileno(), begin, size)


def test_a_quiet_log_is_no_object_a_second(tmp_path: Path, bucket: Bucket, store: S3Store) -> None:
    """A few bytes wait for more, a megabyte does not; and pieces of a log that was cut are pieces of something else."""
    shipment = a_shipment(tmp_path)
    log = shipment.source / "stdout"
    for text in ("one\n", "two\n"):
        with log.open("a") as file:
            file.write(text)
        ship(bucket, shipment)
    prefix = f"{shipment.place}{PARTIAL}/"
    assert read_all(store) == {prefix + piece_name("stdout", 0): "one\n"}
    with log.open("a") as file:
        file.write("x" * 2**20)
    ship(bucket, shipment)
    assert {key.removeprefix(prefix) for key in list_all(store)} == {piece_name("stdout", 0), piece_name("stdout", 4)}
    log.write_text("new" * 2**19)
    ship(bucket, shipment, start=2)
    assert read_all(store) == {prefix + piece_name("stdout", 0): "new" * 2**19}


def test_a_large_log_is_put_whole(tmp_path: Path, bucket: Bucket, store: S3Store) -> None:
    """In parts that fit into an executor's memory; it may be finished twice."""
    shipment = a_shipment(tmp_path)
    shipment.ended_at_s = time.monotonic()
    (shipment.source / "stdout").write_text("0123456789" * 2_000_000)
    for _ in range(2):
        bucket.finish(shipment)
    assert read_all(store) == {f"{shipment.place}/stdout": "0123456789" * 2_000_000}


def test_old_objects_are_swept_once_an_hour_for_all_executors(bucket: Bucket, store: S3Store) -> None:
    """By age; what is young stays whatever its size, and what is no log stays for good."""
    store.put("my site/job/0/a/result.tif", b"an output, below the same prefix")
    for name in ("a/stdout", "a/stderr", f"b{PARTIAL}/{piece_name('stdout', 0)}"):
        store.put(f"my site/job/0/{name}", b"x" * 100)
    now = time.time()
    assert sweep(bucket, Keeping(days=30, size=0), now) == 0
    assert sweep(bucket, Keeping(days=30), now + EVERY_S / 2) == 0  # not yet
    assert len(list_all(store)) == 5
    assert sweep(bucket, Keeping(days=30), now + 31 * DAY_S) == 2
    assert list_all(store) == {LOCK, "job/0/a/result.tif"}

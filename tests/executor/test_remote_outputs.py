"""Outputs that belong into an object store, for real: an executor's process, and moto's server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from swath.domain.retries import Cause
from tests.executor.agent import Agent, wait_until
from tests.executor.build import an_output
from tests.executor.scripts import a_run
from tests.fixtures.s3 import KEY, S3

MAKE = """
import os, pathlib
out = pathlib.Path(os.environ["OUTPUT_DIR"])
(out / "a b").mkdir()
(out / "a b" / "result.txt").write_text("fine")
(out / "a b" / "large.txt").write_bytes(b"x" * 12_000_000)
(out / "undeclared").write_text("not promised")
print(dict(os.environ))
"""
TEXTS = an_output("a b/*.txt", multiple=True)


@pytest.fixture
def agent(tmp_path: Path, s3: S3) -> Iterator[Agent]:
    """An executor that knows the store."""
    agent = Agent(tmp_path, SWATH_S3_FILE=str(s3.write_stores(tmp_path / "s3.toml"))).start()
    yield agent
    agent.stop()


def only_logs(agent: Agent, attempt: str) -> bool:
    """Whether nothing but its logs is left of an attempt."""
    return {path.name for path in (agent.sandbox / "attempts" / attempt).iterdir()} == {"stdout", "stderr"}


def test_outputs_become_objects_below_the_attempts_own_prefix(agent: Agent, s3: S3) -> None:
    """All of them, large ones too, with their media type; the report names the prefix, and nothing stays on the machine."""
    bucket = s3.make_bucket("scenes-out")
    spec = replace(a_run(agent, "make", MAKE, outputs=[TEXTS]), outputs_root="s3://scenes-out/my site")
    update = agent.run(spec)
    assert update.state == "TASK_FINISHED", update.message
    below = f"my site/{spec.job}/0/{spec.attempt}"
    assert update.report.output_dir == f"s3://scenes-out/{below}"
    listed = {entry["path"]: entry["size"] for batch in bucket.list() for entry in batch}
    assert listed == {f"{below}/a b/result.txt": 4, f"{below}/a b/large.txt": 12_000_000}
    found = bucket.get(f"{below}/a b/result.txt")
    assert (bytes(found.bytes()), found.attributes["Content-Type"]) == (b"fine", "text/plain")
    sums = {file.path: file.sha256 for file in update.report.outputs}
    assert sums["a b/large.txt"] == hashlib.sha256(bytes(bucket.get(f"{below}/a b/large.txt").bytes())).hexdigest()
    wait_until(lambda: only_logs(agent, spec.attempt), "nothing is left here")
    assert KEY not in agent.log(update)


def test_a_command_that_breaks_its_word_stores_nothing(agent: Agent, s3: S3) -> None:
    """OUTPUT as ever, and no object."""
    bucket = s3.make_bucket("scenes-out")
    spec = a_run(agent, "make", MAKE, outputs=[an_output("none.txt")])
    update = agent.run(replace(spec, outputs_root="s3://scenes-out/x"))
    assert update.report.cause is Cause.OUTPUT
    assert [entry for batch in bucket.list() for entry in batch] == []
    wait_until(lambda: only_logs(agent, spec.attempt), "nothing is left here")


def test_what_was_stored_of_an_attempt_that_fails_is_removed(agent: Agent, s3: S3) -> None:
    """A file whose name no object may have comes after two others: the command's doing, and nothing of it stays."""
    bucket = s3.make_bucket("scenes-out")
    bucket.put("x/of another", b"stays")
    spec = a_run(agent, "odd", MAKE + '(out / "a b" / "z\\n.txt").write_text("x")', outputs=[TEXTS])
    update = agent.run(replace(spec, outputs_root="s3://scenes-out/x"))
    assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.OUTPUT), update.message
    assert "no object may be called" in update.message
    wait_until(lambda: only_logs(agent, spec.attempt), "nothing is left here")
    assert [entry["path"] for batch in bucket.list() for entry in batch] == ["x/of another"]


@pytest.mark.parametrize(
    ("root", "cause", "words"),
    [
        ("s3://elsewhere/x", Cause.AGENT, "no store of this site has a bucket elsewhere"),
        ("s3://scenes-none/x", Cause.AGENT, "is not there"),
        ("s3://scenes-gone/x", Cause.TRANSFER, "could not be stored in s3://scenes-gone/x"),
    ],
)
def test_a_store_that_does_not_take_them_is_the_platforms_trouble(
    tmp_path: Path, s3: S3, root: str, cause: Cause, words: str
) -> None:
    """One that this site does not have, and one that does not answer: free either way, and nothing stays here."""
    stores = s3.write_stores(tmp_path / "s3.toml")
    gone = '[gone]\nbuckets = ["scenes-gone"]\nendpoint = "http://127.0.0.1:9"\n'
    gone += f'access_key_id = "a"\nsecret_access_key = "{KEY}"\n'
    stores.write_text(gone + stores.read_text())
    agent = Agent(tmp_path, SWATH_S3_FILE=str(stores)).start()
    try:
        update = agent.run(replace(a_run(agent, "make", MAKE, outputs=[TEXTS]), outputs_root=root))
        assert (update.state, update.report.cause, words in update.message) == ("TASK_FAILED", cause, True), (
            update.message
        )
        assert KEY not in update.message
        wait_until(lambda: only_logs(agent, update.task), "nothing is left here")
    finally:
        agent.stop()

"""Logs read from a real agent: `python -m local`, whose READ_FILE is that of Mesos."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from swath.domain.changes import ChangeAttempt
from swath.domain.states import AttemptState
from swath.store.rows import JobRow
from tests.api.serving import Api
from tests.local.conftest import LocalProcess
from tests.store.build import NOW, Scene, an_agent

CHUNK = 64 * 1024  # bytes that are read at once
Run = Callable[..., JobRow]


@pytest.fixture(scope="module")
def shared_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalProcess]:
    """An agent of a process of its own."""
    process = LocalProcess(tmp_path_factory.mktemp("local") / "work", "--cpus", "1", "--mem", "512", "--disk", "512")
    yield process
    process.stop()


@pytest.fixture
def sandbox(shared_local: LocalProcess, tmp_path: Path) -> Path:
    """A sandbox of that agent."""
    run = shared_local.work_dir.resolve() / "agent-0/slaves/S0/frameworks/F/executors/E/runs" / tmp_path.name
    run.mkdir(parents=True)
    return run


@pytest.fixture
def run(scene: Scene, shared_local: LocalProcess, sandbox: Path) -> Run:
    """A function that submits a job whose only attempt has written to that sandbox."""
    scene.apply(an_agent(url=f"http://127.0.0.1:{shared_local.agent_ports[0]}"))

    def run(stdout: bytes, state: AttemptState = AttemptState.SUCCEEDED) -> JobRow:
        job = scene.submit()
        attempt_id = scene.launch(job)
        (sandbox / "stdout").write_bytes(stdout)
        scene.apply(ChangeAttempt(attempt_id=attempt_id, state=state, sandbox=str(sandbox)))
        return job

    return run


def log_of(job: JobRow) -> str:
    """The path of its log."""
    return f"/v1/jobs/{job.id}/tasks/0/logs/stdout"


@pytest.mark.parametrize("shift", range(4))
def test_letters_of_several_bytes_lie_across_the_ends_of_reads(api: Api, run: Run, shift: int) -> None:
    """Every place of a letter of four bytes at 64 KiB, whole and from any byte on."""
    log = b"x" * (CHUNK - shift) + "🛰".encode() * CHUNK
    job = run(log)
    assert api.get(log_of(job)).content == log
    for offset, length in ((CHUNK - 1, 2), (CHUNK, CHUNK), (CHUNK + 1, 3 * CHUNK), (-CHUNK - 1, CHUNK)):
        start = offset if offset >= 0 else len(log) + offset
        answer = api.get(log_of(job), params={"offset": offset, "length": length})
        assert answer.content == log[start : start + length]
    answer = api.get(log_of(job), headers={"Range": f"bytes={CHUNK - 1}-{2 * CHUNK}"})
    assert (answer.status_code, answer.content) == (206, log[CHUNK - 1 : 2 * CHUNK + 1])


def test_what_lies_beyond_the_end_is_nothing(api: Api, run: Run) -> None:
    """However far."""
    job = run(b"short")
    for offset in (5, 6, 2**31, 2**62 - 1):
        answer = api.get(log_of(job), params={"offset": offset})
        assert (answer.status_code, answer.content) == (200, b"")


def test_a_log_that_is_cut_while_it_is_read_is_broken_off(api: Api, run: Run, sandbox: Path) -> None:
    """Nobody shall take what came for what was there."""
    job = run(b"")
    os.truncate(sandbox / "stdout", 256 * 1024 * 1024)
    with api.http.stream("GET", log_of(job)) as response:
        pieces = response.iter_bytes()
        next(pieces)
        os.truncate(sandbox / "stdout", 10)
        with pytest.raises(httpx.RemoteProtocolError):
            for _ in pieces:
                pass


def test_a_followed_log_goes_on_after_it_was_cut(api: Api, scene: Scene, run: Run, sandbox: Path) -> None:
    """As the executor cuts a log that has grown too large."""
    job = run(b"x" * 1_000_000 + b"\n", AttemptState.RUNNING)
    over = threading.Event()

    def write() -> None:
        with (sandbox / "stdout").open("ab") as file:
            while not over.wait(0.1):
                file.write(b"more\n")
                file.flush()

    with api.http.stream("GET", log_of(job), params={"follow": "true"}) as response:
        pieces = response.iter_bytes()
        come = b""
        while not come.endswith(b"\n"):
            come += next(pieces)
        os.truncate(sandbox / "stdout", 10)
        writer = threading.Thread(target=write)
        writer.start()
        assert next(pieces).replace(b"more\n", b"") == b""
        over.set()
        writer.join()
        (attempt,) = scene.api.list_attempts(job.id, 0)
        scene.apply(ChangeAttempt(attempt_id=attempt.id, state=AttemptState.SUCCEEDED, ended_at=NOW))
        assert b"".join(pieces).replace(b"more\n", b"") == b""


@pytest.mark.parametrize("follow", [False, True])
def test_a_sandbox_that_is_gone_is_not_found(api: Api, run: Run, sandbox: Path, follow: bool) -> None:
    """404 that says so, followed or not."""
    job = run(b"one\n")
    shutil.rmtree(sandbox)
    answer = api.get(log_of(job), params={"follow": follow})
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:swath:problem:not-found"
    assert "sandboxes are removed in time" in answer.json()["detail"]


def test_what_is_no_file_is_not_found(api: Api, run: Run, sandbox: Path) -> None:
    """A task may make a pipe or a directory of its log: nobody waits for that."""
    job = run(b"")
    (sandbox / "stdout").unlink()
    os.mkfifo(sandbox / "stdout")
    assert api.get(log_of(job)).status_code == 404
    (sandbox / "stdout").unlink()
    (sandbox / "stdout").mkdir()
    assert api.get(log_of(job)).status_code == 404

"""stdout and stderr, read through the agent that has them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from swath.domain.changes import ChangeAttempt
from swath.domain.states import AttemptState, TaskState
from swath.store.rows import JobRow
from tests.api.agent import an_agent_serving_files
from tests.api.serving import Api, make_settings, serving
from tests.store.build import NOW, Scene, a_task, an_agent

TEXT = "größer\n".encode() * 20_000  # of two-byte letters, that no chunk's end respects
Run = Callable[..., JobRow]


@pytest.fixture
def run(scene: Scene, agent_url: str, tmp_path: Path) -> Run:
    """A function that submits a job whose only attempt runs in a sandbox with `stdout`."""
    scene.apply(an_agent(url=agent_url))

    def run(stdout: bytes, state: AttemptState = AttemptState.SUCCEEDED) -> JobRow:
        job = scene.submit()
        attempt_id = scene.launch(job)
        (tmp_path / "stdout").write_bytes(stdout)
        scene.apply(ChangeAttempt(attempt_id=attempt_id, state=state, sandbox=str(tmp_path)))
        return job

    return run


def test_a_log_is_read_byte_for_byte(api: Api, run: Run) -> None:
    """Longer than any one read of the agent, and with letters across their ends."""
    response = api.get(f"/v1/jobs/{run(TEXT).id}/tasks/0/logs/stdout")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.content == TEXT


def test_bytes_that_are_no_text_come_as_they_are(api: Api, run: Run) -> None:
    """A log may hold anything."""
    noise = bytes(range(256)) * 3
    assert api.get(f"/v1/jobs/{run(noise).id}/tasks/0/logs/stdout").content == noise


@pytest.mark.parametrize(
    ("parameters", "content"),
    [
        ({"offset": 3}, b"3456789"),
        ({"offset": 3, "length": 2}, b"34"),
        ({"length": 0}, b""),
        ({"offset": 99}, b""),
        ({"offset": -3}, b"789"),
        ({"offset": -99, "length": 2}, b"01"),
    ],
)
def test_a_part_of_a_log_is_read(api: Api, run: Run, parameters: dict[str, int], content: bytes) -> None:
    """By offset and length, from the start or the end."""
    response = api.get(f"/v1/jobs/{run(b'0123456789').id}/tasks/0/logs/stdout", params=parameters)
    assert (response.status_code, response.content) == (200, content)


@pytest.mark.parametrize(
    ("asked", "status", "content", "told"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=5-", 206, b"56789", "bytes 5-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=5-1", 200, b"0123456789", None),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("nonsense", 200, b"0123456789", None),
    ],
)
def test_a_range_header_is_obeyed(
    api: Api, run: Run, asked: str, status: int, content: bytes | None, told: str | None
) -> None:
    """206 with Content-Range, 416 beyond the end; what is malformed is ignored, as RFC 9110 allows."""
    response = api.get(f"/v1/jobs/{run(b'0123456789').id}/tasks/0/logs/stdout", headers={"Range": asked})
    assert response.status_code == status
    assert response.headers.get("content-range") == told
    assert content is None or response.content == content


def test_a_followed_log_grows_until_its_attempt_ends(api: Api, scene: Scene, run: Run, tmp_path: Path) -> None:
    """Line by line as they are written, the last one included."""
    job = run(b"one\n", AttemptState.RUNNING)
    with api.http.stream("GET", f"/v1/jobs/{job.id}/tasks/0/logs/stdout", params={"follow": "true"}) as response:
        pieces = response.iter_bytes()
        assert next(pieces) == b"one\n"
        with (tmp_path / "stdout").open("ab") as file:
            file.write(b"two\n")
        assert next(pieces) == b"two\n"
        with (tmp_path / "stdout").open("ab") as file:
            file.write(b"three\n")
        (attempt,) = scene.api.list_attempts(job.id, 0)
        scene.apply(ChangeAttempt(attempt_id=attempt.id, state=AttemptState.SUCCEEDED, ended_at=NOW))
        assert b"".join(pieces) == b"three\n"


def test_following_waits_for_a_task_to_start(api: Api, scene: Scene, agent_url: str, tmp_path: Path) -> None:
    """The log begins when the first attempt does."""
    (tmp_path / "stdout").write_bytes(b"here\n")
    scene.apply(an_agent(url=agent_url))
    job = scene.submit()
    with api.http.stream("GET", f"/v1/jobs/{job.id}/tasks/0/logs/stdout", params={"follow": "true"}) as response:
        attempt_id = scene.launch(job)
        scene.apply(ChangeAttempt(attempt_id=attempt_id, state=AttemptState.FAILED, sandbox=str(tmp_path)))
        assert response.read() == b"here\n"


def test_following_a_task_that_ended_without_starting_ends(api: Api, scene: Scene) -> None:
    """There is nothing to wait for."""
    job = scene.submit()
    scene.apply(a_task(job, 0, TaskState.CANCELLED, attempts=0))
    assert api.get(f"/v1/jobs/{job.id}/tasks/0/logs/stdout", params={"follow": "true"}).content == b""


def test_a_task_that_has_not_started_has_no_log(api: Api, scene: Scene) -> None:
    """404 that says why it waits."""
    job = scene.submit()
    response = api.get(f"/v1/jobs/{job.id}/tasks/0/logs/stdout")
    assert response.status_code == 404
    assert "has not started: the scheduler" in response.json()["detail"]


def test_an_attempt_that_never_ran_says_what_happened(api: Api, scene: Scene) -> None:
    """404 with its message."""
    job = scene.submit()
    attempt_id = scene.launch(job)
    url = f"/v1/jobs/{job.id}/tasks/0/logs/stderr"
    assert "is starting" in api.get(url).json()["detail"]
    scene.apply(ChangeAttempt(attempt_id=attempt_id, state=AttemptState.FAILED, message="the image cannot be had"))
    assert "the image cannot be had" in api.get(url).json()["detail"]
    assert "attempt 7 of task 0 has not started" in api.get(url, params={"attempt": 7}).json()["detail"]


def test_a_log_that_was_removed_is_not_found(api: Api, run: Run) -> None:
    """404 for a file that the sandbox has no more."""
    response = api.get(f"/v1/jobs/{run(b'').id}/tasks/0/logs/stderr")
    assert response.status_code == 404
    assert "removed" in response.json()["detail"]


def test_an_agent_that_asks_for_a_credential_is_given_it(
    scene: Scene, api: Api, sqlite_database: str, tmp_path: Path
) -> None:
    """From the settings; without it the reply is 503, and says which settings are missing."""
    job = scene.submit()
    attempt_id = scene.launch(job)
    (tmp_path / "stdout").write_bytes(b"mine\n")
    scene.apply(ChangeAttempt(attempt_id=attempt_id, state=AttemptState.SUCCEEDED, sandbox=str(tmp_path)))
    url = f"/v1/jobs/{job.id}/tasks/0/logs/stdout"
    settings = make_settings(tmp_path, sqlite_database, agent_principal="swath", agent_secret=SecretStr("s3cret"))
    with an_agent_serving_files("swath:s3cret") as agent_url, serving(settings) as known:
        scene.apply(an_agent(url=agent_url))
        assert known.get(url).content == b"mine\n"
        refused = api.get(url)
    assert refused.status_code == 503
    assert "SWATH_AGENT_PRINCIPAL" in refused.json()["detail"]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port at which nobody answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


def test_an_unreachable_agent_is_told_of(api: Api, scene: Scene, run: Run, silent_port: int) -> None:
    """503 that names the agent, and says that the log is not lost."""
    job = run(b"x")
    scene.apply(an_agent(url=f"http://127.0.0.1:{silent_port}"))
    response = api.get(f"/v1/jobs/{job.id}/tasks/0/logs/stdout")
    assert response.status_code == 503
    problem = response.json()
    assert problem["type"] == "urn:swath:problem:agent-unreachable"
    assert "agent host-1" in problem["detail"]
    assert response.headers["retry-after"]


def test_a_followed_log_whose_agent_vanishes_is_broken_off(api: Api, scene: Scene, run: Run, silent_port: int) -> None:
    """Not ended: nobody shall take what came for the whole log."""
    job = run(b"one\n", AttemptState.RUNNING)
    with api.http.stream("GET", f"/v1/jobs/{job.id}/tasks/0/logs/stdout", params={"follow": "true"}) as response:
        pieces = response.iter_bytes()
        assert next(pieces) == b"one\n"
        scene.apply(an_agent(url=f"http://127.0.0.1:{silent_port}"))
        with pytest.raises(httpx.RemoteProtocolError):
            next(pieces)

"""Logs on the site's storage, by the same endpoint as those of agents."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from obstore.store import S3Store

from swath.domain.changes import ChangeAttempt
from swath.domain.log_archive import PARTIAL, log_directory, piece_name
from swath.domain.states import AttemptState
from tests.api.agent import an_agent_serving_files
from tests.api.serving import Api, make_settings, serving
from tests.fixtures.s3 import S3
from tests.store.build import NOW, Scene, an_agent

TEXT = "größer\n".encode() * 20_000


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """The site's logs root."""
    return tmp_path / "logs"


@pytest.fixture
def archiving(scene: Scene, sqlite_database: str, tmp_path: Path, logs: Path) -> Iterator[Api]:
    """A service that knows it."""
    with serving(make_settings(tmp_path, sqlite_database, logs_root=logs)) as api:
        yield api


@pytest.fixture
def nobody() -> Iterator[str]:
    """The address of an agent that is gone."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{probe.getsockname()[1]}"


Ship = Callable[..., str]


@pytest.fixture
def ship(scene: Scene, logs: Path, tmp_path: Path) -> Ship:
    """A function: an attempt with shipped logs, and the address of its log."""

    def ship(
        files: dict[str, bytes],
        *,
        partial: bool = False,
        state: AttemptState = AttemptState.SUCCEEDED,
        stream: str = "stdout",
    ) -> str:
        job = scene.submit()
        attempt_id = scene.launch(job)
        directory = logs / (log_directory(job.id, 0, attempt_id) + (PARTIAL if partial else ""))
        directory.mkdir(parents=True)
        for name, data in files.items():
            (directory / name).write_bytes(data)
        scene.apply(ChangeAttempt(attempt_id=attempt_id, state=state, sandbox=str(tmp_path)))
        return f"/v1/jobs/{job.id}/tasks/0/logs/{stream}"

    return ship


def test_a_log_outlives_its_agent(archiving: Api, scene: Scene, ship: Ship, nobody: str) -> None:
    """Whole, in parts, by a range and followed: as from an agent that answers."""
    url = ship({"stdout": TEXT})
    scene.apply(an_agent(url=nobody))
    answer = archiving.get(url)
    assert (answer.status_code, answer.content, answer.headers["swath-log-origin"]) == (200, TEXT, "archive")
    assert archiving.get(url, params={"offset": -8}).content == TEXT[-8:]
    ranged = archiving.get(url, headers={"Range": "bytes=1-3"})
    assert (ranged.status_code, ranged.content) == (206, TEXT[1:4])
    with archiving.http.stream("GET", url, params={"follow": "true"}) as response:
        assert response.read() == TEXT


def test_a_complete_archive_is_asked_before_the_agent(archiving: Api, scene: Scene, ship: Ship, tmp_path: Path) -> None:
    """Whose sandbox may be being removed."""
    (tmp_path / "stdout").write_bytes(b"the agent's")
    url = ship({"stdout": b"the archive's"})
    with an_agent_serving_files() as agent_url:
        scene.apply(an_agent(url=agent_url))
        assert archiving.get(url).content == b"the archive's"


def test_an_agent_that_answers_knows_more_than_an_incomplete_archive(
    archiving: Api, scene: Scene, ship: Ship, tmp_path: Path
) -> None:
    """And where it has the file no more, what was shipped is better than nothing."""
    (tmp_path / "stdout").write_bytes(b"one\ntwo\n")
    url = ship({"stdout": b"one\n"}, partial=True)
    with an_agent_serving_files() as agent_url:
        scene.apply(an_agent(url=agent_url))
        live = archiving.get(url)
        assert (live.content, live.headers["swath-log-origin"]) == (b"one\ntwo\n", "agent")
        (tmp_path / "stdout").unlink()
        rest = archiving.get(url)
        assert (rest.content, rest.headers["swath-log-origin"]) == (b"one\n", "archive; incomplete")


def test_of_a_lost_agent_what_was_shipped_is_there(archiving: Api, scene: Scene, ship: Ship, nobody: str) -> None:
    """And says that it is not all; also where nobody knows where that agent was."""
    url = ship({"stdout": b"one\n"}, partial=True, state=AttemptState.LOST)
    answer = archiving.get(url)
    assert (answer.content, answer.headers["swath-log-origin"]) == (b"one\n", "archive; incomplete")
    scene.apply(an_agent(url=nobody))
    assert archiving.get(url).content == b"one\n"


def test_an_empty_log_is_empty(archiving: Api, ship: Ship) -> None:
    """A stream of which nothing was shipped, of an attempt whose archive is complete."""
    answer = archiving.get(ship({"stdout": b"x"}, stream="stderr"))
    assert (answer.status_code, answer.content) == (200, b"")


def test_without_a_root_nothing_is_looked_for(api: Api, scene: Scene, ship: Ship, nobody: str) -> None:
    """503, as it ever was."""
    url = ship({"stdout": TEXT})
    scene.apply(an_agent(url=nobody))
    assert api.get(url).status_code == 503


def test_a_link_in_the_archive_leads_nowhere(archiving: Api, ship: Ship, logs: Path, nobody: str) -> None:
    """Whoever may write there cannot have the service read other files."""
    url = ship({})
    (directory,) = logs.glob("*/0/*")
    (directory / "stdout").symlink_to("/etc/passwd")
    answer = archiving.get(url)
    assert b"root:" not in answer.content


def events(archiving: Api, url: str, **headers: str) -> list[tuple[str, str | None, dict[str, str]]]:
    """(kind, id, data) of each event of a log that has ended."""
    found = []
    given = {"Accept": "text/event-stream", **headers}
    with archiving.http.stream("GET", url, params={"follow": "true"}, headers=given) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        for message in response.read().decode().strip().split("\n\n"):
            if message.startswith(":"):  # a comment, which keeps a slow stream open
                continue
            fields = dict(line.split(": ", 1) for line in message.splitlines())
            found.append((fields["event"], fields.get("id"), json.loads(fields["data"])))
    return found


def test_a_log_is_followed_by_server_sent_events(archiving: Api, ship: Ship) -> None:
    """Whole letters, each event with the offset at which a reader that lost its connection goes on, and a word at the end."""
    url = ship({"stdout": TEXT * 10})
    *pieces, last = events(archiving, url)
    assert "".join(data["text"] for _, _, data in pieces) == TEXT.decode() * 10
    assert (len(pieces) > 1, last) == (True, ("end", None, {}))
    (rest, _) = events(archiving, url, **{"Last-Event-ID": str(pieces[-2][1])})
    assert rest == pieces[-1]


def test_bytes_that_are_no_text_are_told_as_such(archiving: Api, ship: Ship) -> None:
    """By the replacement sign, also at the very end."""
    assert events(archiving, ship({"stdout": b"a\xffb\xc3"}))[0] == (
        "log",
        "3",
        {"text": "a\N{REPLACEMENT CHARACTER}b"},
    )


def test_a_growing_log_is_followed_by_events(archiving: Api, scene: Scene, tmp_path: Path) -> None:
    """From the agent, as it is written, until the attempt has ended."""
    job = scene.submit()
    attempt_id = scene.launch(job)
    (tmp_path / "stdout").write_bytes(b"one\n")
    scene.apply(ChangeAttempt(attempt_id=attempt_id, state=AttemptState.RUNNING, sandbox=str(tmp_path)))
    with an_agent_serving_files() as agent_url:
        scene.apply(an_agent(url=agent_url))
        url, headers = f"/v1/jobs/{job.id}/tasks/0/logs/stdout", {"Accept": "text/event-stream"}
        with archiving.http.stream("GET", url, params={"follow": "true"}, headers=headers) as response:
            lines = response.iter_lines()
            assert json.loads(next(line for line in lines if line.startswith("data: "))[6:]) == {"text": "one\n"}
            (tmp_path / "stdout").write_bytes(b"one\ntwo\n")
            assert json.loads(next(line for line in lines if line.startswith("data: "))[6:]) == {"text": "two\n"}
            scene.apply(ChangeAttempt(attempt_id=attempt_id, state=AttemptState.SUCCEEDED, ended_at=NOW))
            assert "event: end" in list(lines)


LOGS = "s3://logs/my site"


@dataclass(frozen=True, kw_only=True)
class Objects:
    """A service that reads logs from a bucket, and an attempt."""

    api: Api
    store: S3Store
    place: str  # of the attempt's logs
    url: str

    def put(self, name: str, data: bytes) -> None:
        self.store.put(f"my site/{self.place}{name}", data)


@pytest.fixture
def objects(scene: Scene, sqlite_database: str, tmp_path: Path, s3: S3, nobody: str) -> Iterator[Objects]:
    """Its agent is gone."""
    store = s3.make_bucket("logs")
    stores = s3.write_stores(tmp_path / "s3.toml", bucket="logs")
    job = scene.submit()
    attempt_id = scene.launch(job)
    scene.apply(
        an_agent(url=nobody),
        ChangeAttempt(attempt_id=attempt_id, state=AttemptState.SUCCEEDED, sandbox=str(tmp_path)),
    )
    with serving(make_settings(tmp_path, sqlite_database, logs_root=LOGS, s3_file=stores)) as api:
        place = log_directory(job.id, 0, attempt_id)
        yield Objects(api=api, store=store, place=place, url=f"/v1/jobs/{job.id}/tasks/0/logs/stdout")


def test_a_log_in_a_store_outlives_its_agent(objects: Objects) -> None:
    """Whole, in parts and followed; what nobody has written is empty."""
    assert objects.api.get(objects.url).status_code == 503
    large = TEXT * 10
    objects.put("/stdout", large)
    answer = objects.api.get(objects.url)
    assert (answer.status_code, answer.headers["swath-log-origin"]) == (200, "archive")
    assert answer.content == large
    assert objects.api.get(objects.url, params={"offset": -8}).content == large[-8:]
    with objects.api.http.stream("GET", objects.url, params={"follow": "true"}) as response:
        assert response.read() == large
    empty = objects.api.get(objects.url.replace("stdout", "stderr"))
    assert (empty.status_code, empty.content) == (200, b"")


def test_the_pieces_of_a_log_are_one(objects: Objects) -> None:
    """As far as they follow each other, and told as incomplete; nobody takes other objects for some."""
    for offset, data in ((0, b"one\n"), (4, b"two\n"), (12, b"after a gap")):
        objects.put(f"{PARTIAL}/{piece_name('stdout', offset)}", data)
    objects.put(f"{PARTIAL}/stdout.x", b"no piece")
    objects.put(f"{PARTIAL}/{piece_name('stderr', 0)}", b"another stream's")
    answer = objects.api.get(objects.url)
    assert (answer.content, answer.headers["swath-log-origin"]) == (b"one\ntwo\n", "archive; incomplete")
    assert objects.api.get(objects.url, params={"offset": 6}).content == b"o\n"


def test_an_agent_is_asked_where_the_store_does_not_answer(scene: Scene, sqlite_database: str, tmp_path: Path) -> None:
    """What it has is better than a complaint; where it has none, the store's word is told."""
    (tmp_path / "stdout").write_bytes(b"the agent's")
    job = scene.submit()
    attempt_id = scene.launch(job)
    scene.apply(ChangeAttempt(attempt_id=attempt_id, state=AttemptState.SUCCEEDED, sandbox=str(tmp_path)))
    url = f"/v1/jobs/{job.id}/tasks/0/logs/stdout"
    with (
        serving(make_settings(tmp_path, sqlite_database, logs_root=LOGS)) as api,  # and no file of stores
        an_agent_serving_files() as agent_url,
    ):
        scene.apply(an_agent(url=agent_url))
        assert api.get(url).content == b"the agent's"
        (tmp_path / "stdout").unlink()
        answer = api.get(url)
        assert (answer.status_code, "names no S3 store" in answer.text) == (503, True)

"""Streams of server-sent events: what happened, what happens, and where a follower begins again."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from swath.client import parse_messages
from swath.domain.changes import AddEvent
from swath.domain.ranges import Ranges
from swath.domain.states import JobState
from swath.store.rows import JobRow
from tests.api.serving import Api
from tests.store.build import NOW, Scene, a_range, figures


def happen(scene: Scene, job: JobRow, *words: str) -> None:
    scene.apply(*(AddEvent(job_id=job.id, kind="task.state", data={"word": word}) for word in words))


def end(scene: Scene, job: JobRow) -> None:
    scene.apply(
        AddEvent(job_id=job.id, kind="job.state", data={"word": "end"}),
        figures(job, JobState.SUCCEEDED, Ranges.of(0), succeeded=job.size, ended_at=NOW),
    )


@contextmanager
def following(api: Api, path: str, **arguments: Any) -> Iterator[Iterator[tuple[str, Any]]]:
    """The messages of a stream; ("", None) for a heartbeat."""
    with api.http.stream("GET", path, timeout=10, **arguments) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield parse_messages(response.iter_lines())


def words(messages: Iterator[tuple[str, Any]], number: int | None = None) -> list[str]:
    found: list[str] = []
    while number is None or len(found) < number:
        name, data = next(messages, ("end of stream", None))
        if name == "end of stream":
            break
        if name:
            found.append(data["data"]["word"])
    return found


def test_a_follower_hears_the_past_and_then_what_happens(both_api: Api, both_scene: Scene) -> None:
    """In order, and the stream ends with the job."""
    job = both_scene.submit()
    happen(both_scene, job, "one", "two")
    with following(both_api, f"/v1/jobs/{job.id}/events") as messages:
        assert words(messages, 2) == ["one", "two"]
        happen(both_scene, job, "three")
        assert words(messages, 1) == ["three"]
        happen(both_scene, job, "four")
        end(both_scene, job)
        assert words(messages) == ["four", "end"]


def test_a_follower_of_all_hears_every_job_from_now_on(both_api: Api, both_scene: Scene) -> None:
    """And from an event on where it names one."""
    one, other = both_scene.submit(), both_scene.submit()
    happen(both_scene, one, "past")
    with following(both_api, "/v1/events") as messages:
        assert next(messages) == ("", None)  # a heartbeat: it is listening
        happen(both_scene, one, "a")
        happen(both_scene, other, "b")
        assert words(messages, 2) == ["a", "b"]
    with following(both_api, "/v1/events", params={"after": 1}) as messages:
        assert words(messages, 2) == ["a", "b"]


def test_last_event_id_begins_where_the_client_was(api: Api, scene: Scene) -> None:
    """The header wins over the address that a browser repeats."""
    job = scene.submit()
    happen(scene, job, "one", "two", "three")
    for arguments in ({"params": {"after": 2}}, {"headers": {"Last-Event-ID": "2"}, "params": {"after": 1}}):
        with following(api, f"/v1/jobs/{job.id}/events", **arguments) as messages:
            assert words(messages, 1) == ["three"]


def test_without_follow_the_stream_ends_with_the_past(api: Api, scene: Scene) -> None:
    """More than one read's worth of it."""
    job = scene.submit()
    happen(scene, job, *map(str, range(1100)))
    with following(api, "/v1/events", params={"follow": "false"}) as messages:
        assert words(messages) == list(map(str, range(1100)))


def test_a_client_that_heard_everything_of_an_ended_job_is_sent_home(api: Api, scene: Scene) -> None:
    """204 stops a browser from reconnecting for ever."""
    job = scene.submit()
    end(scene, job)
    assert api.get(f"/v1/jobs/{job.id}/events", headers={"Last-Event-ID": "1"}).status_code == 204
    with following(api, f"/v1/jobs/{job.id}/events") as messages:
        assert words(messages) == ["end"]


def test_a_quiet_stream_has_a_heartbeat(api: Api, scene: Scene) -> None:
    """Comments, which no client shows."""
    with following(api, "/v1/events") as messages:
        assert [next(messages) for _ in range(3)] == [("", None)] * 3


def test_progress_is_the_job_whenever_it_changes(both_api: Api, both_scene: Scene) -> None:
    """At once, at each change, and at its end."""
    job = both_scene.submit(array=a_range(4))
    with following(both_api, f"/v1/jobs/{job.id}/events", params={"progress": "true"}) as messages:
        documents = (data for name, data in messages if name == "job")
        assert next(documents)["counts"]["pending"] == 4
        both_scene.apply(figures(job, JobState.RUNNING, Ranges.of(2), active=2))
        assert next(documents)["counts"]["active"] == 2
        both_scene.apply(figures(job, JobState.SUCCEEDED, Ranges.of(0), succeeded=4, ended_at=NOW))
        assert next(documents)["state"] == "SUCCEEDED"
        assert next(documents, None) is None


def test_many_followers_hold_no_threads(api: Api, scene: Scene) -> None:
    """A hundred of them are woken by one listener, and all hear the same."""
    job = scene.submit()
    heard: list[str] = []

    def follow() -> None:
        with (
            httpx.stream(
                "GET", f"{api.url}/v1/events", headers=api.http.headers, timeout=20, trust_env=False
            ) as response,
        ):
            messages = parse_messages(response.iter_lines())
            next(messages)
            ready.release()
            heard.extend(words(messages, 1))

    ready = threading.Semaphore(0)
    before = threading.active_count()
    followers = [threading.Thread(target=follow) for _ in range(100)]
    for follower in followers:
        follower.start()
    for _ in followers:
        assert ready.acquire(timeout=20)
    assert threading.active_count() - before - len(followers) <= 45  # the pool's 40 at most, the listener
    happen(scene, job, "news")
    for follower in followers:
        follower.join(20)
    assert heard == ["news"] * 100


@pytest.mark.parametrize("path", ["/v1/events", "/v1/jobs/{}/events", "/v1/jobs/{}/events?progress=true"])
def test_a_stop_ends_every_follower_at_once(api: Api, scene: Scene, path: str) -> None:
    """The server does not wait out its grace."""
    job = scene.submit()
    with following(api, path.format(job.id)) as messages:
        next(messages)
        began = time.monotonic()
        api.server.should_exit = True
        for _ in messages:
            pass
    assert time.monotonic() - began < 2


def test_messages_are_one_line_of_json(api: Api, scene: Scene) -> None:
    """With an id, the event's kind and its time."""
    job = scene.submit()
    happen(scene, job, "one")
    text = api.get("/v1/events", params={"follow": "false"}).text
    lines = dict(line.split(": ", 1) for line in text.strip().splitlines())
    assert (lines["id"], lines["event"]) == ("1", "task.state")
    assert json.loads(lines["data"]) == {
        "id": 1,
        "job": job.id,
        "at": "2026-01-01T12:00:00.000Z",
        "kind": "task.state",
        "data": {"word": "one"},
    }

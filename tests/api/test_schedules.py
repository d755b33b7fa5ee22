"""Recurring jobs over HTTP: added, shown, changed, removed, refused; and fired by the running service."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.api.serving import Api
from tests.store.build import Scene

PATH = "/v1/schedules"
JOB = {"image": "ndvi", "inputs": {"SCENE": {"href": "file:///eos/{date}.tif"}}}


def a_schedule(**changed: Any) -> dict[str, Any]:
    """A document that is accepted."""
    return {"name": "daily", "cron": "0 6 * * *", "timezone": "Europe/Rome", "job": JOB} | changed


def parse(text: str) -> datetime:
    """The time."""
    return datetime.fromisoformat(text)


def test_a_schedule_is_shown_with_its_next_times(api: Api) -> None:
    """By name, by id and in the list; the job's document is as it was sent."""
    response = api.post(PATH, json=a_schedule())
    assert response.status_code == 201
    document = response.json()
    assert (document["overlap"], document["catch_up"], document["paused"]) == ("skip", "last", False)
    assert (document["job"], document["runs"]) == (JOB, [])
    times = [parse(text) for text in document["next"]]
    assert len(times) == 3
    assert times == sorted(times)
    assert all(at.hour in (4, 5) and at.minute == 0 for at in times)
    for name in ("daily", document["id"]):
        assert api.get(f"{PATH}/{name}").json()["id"] == document["id"]
    assert [entry["name"] for entry in api.get(PATH).json()["items"]] == ["daily"]
    assert api.get(PATH).json()["items"][0]["runs"] is None


def test_a_name_serves_once(api: Api) -> None:
    """The second schedule of a name is a conflict."""
    assert api.post(PATH, json=a_schedule()).status_code == 201
    assert api.post(PATH, json=a_schedule(cron="0 7 * * *")).status_code == 409


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"cron": "61 * * * *"}, "/cron"),
        ({"cron": "0 0 30 2 *"}, "/cron"),
        ({"cron": "* * * * * *"}, "/cron"),
        ({"timezone": "Europe/Atlantis"}, "/timezone"),
        ({"overlap": "pile up"}, "/overlap"),
        ({"catch_up": 3}, "/catch_up"),
        ({"name": ""}, "/name"),
        ({"every": "day"}, "/every"),
        ({"job": {"image": "gone"}}, "/job/image"),
        ({"job": {**JOB, "parameters": {"STEP": "one"}}}, "/job/parameters/STEP"),
        ({"job": {**JOB, "deadline": "2030-01-01T00:00:00Z"}}, "/job/deadline"),
        ({"job": {**JOB, "after": [{"job": "x"}]}}, "/job/after"),
        ({"job": {**JOB, "imag": 1}}, "/job/imag"),
    ],
)
def test_what_could_not_recur_is_refused(shared_api: Api, changed: dict[str, Any], path: str) -> None:
    """At the field that is wrong, of the schedule or of its job."""
    assert list(shared_api.refusal(a_schedule(**changed), PATH)) == [path]


def test_a_schedule_is_changed_in_part(api: Api) -> None:
    """What is not given stays; a pause takes the next times away and a resumption brings them back."""
    api.post(PATH, json=a_schedule())
    changed = api.http.patch(f"{PATH}/daily", json={"cron": "30 6 * * *", "overlap": "queue"}).json()
    assert (changed["cron"], changed["timezone"], changed["overlap"]) == ("30 6 * * *", "Europe/Rome", "queue")
    assert parse(changed["next"][0]).minute == 30
    paused = api.http.patch(f"{PATH}/daily", json={"paused": True}).json()
    assert (paused["paused"], paused["next"]) == (True, [])
    resumed = api.http.patch(f"{PATH}/daily", json={"paused": False, "timezone": "UTC"}).json()
    assert parse(resumed["next"][0]).hour == 6
    job = {**JOB, "priority": 90}
    assert api.http.patch(f"{PATH}/daily", json={"job": job}).json()["job"] == job
    for document, path in (({"cron": "x x"}, "/cron"), ({"job": {"image": "gone"}}, "/job/image"), ({"n": 1}, "/n")):
        refused = api.http.patch(f"{PATH}/daily", json=document)
        assert [entry["path"] for entry in refused.json()["errors"]] == [path]


def test_a_schedule_that_is_removed_is_gone(api: Api) -> None:
    """And so is what nobody knows."""
    api.post(PATH, json=a_schedule())
    assert api.http.delete(f"{PATH}/daily").status_code == 204
    for response in (
        *(api.get(f"{PATH}/daily"), api.http.delete(f"{PATH}/daily"), api.http.patch(f"{PATH}/daily", json={})),
    ):
        assert response.status_code == 404


def test_the_running_service_fires(both_api: Api, both_scene: Scene, tmp_path: Path) -> None:
    """A schedule that has become due: its job is there within seconds, and the run is shown."""
    (tmp_path / "scene.tif").write_bytes(b"II*")
    job = {"image": "ndvi", "inputs": {"SCENE": {"href": (tmp_path / "scene.tif").as_uri()}}}
    both_api.post(PATH, json=a_schedule(cron="0 0 1 1 *", job=job))
    row = both_scene.api.get_schedule("daily")
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=1)
    both_scene.api.change_schedule(row.id, {"cron": f"{at.minute} * * * *", "timezone": "UTC", "next_at": at})
    both_api.http.patch(f"{PATH}/daily", json={"overlap": "queue"})  # whatever wakes it

    until = time.monotonic() + 30
    while not (runs := both_api.get(f"{PATH}/daily").json()["runs"]) and time.monotonic() < until:
        time.sleep(0.05)

    assert [run["outcome"] for run in runs] == ["SUBMITTED"]
    assert both_api.get(f"/v1/jobs/{runs[0]['job']}").json()["labels"] == {"schedule": "daily"}

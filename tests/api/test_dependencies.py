"""Jobs after others over HTTP: what is accepted, what is refused and where, and what is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swath.domain.ranges import Ranges
from swath.domain.states import JobState
from tests.api.serving import Api
from tests.store.build import NOW, Scene, figures

BATCH = "/v1/jobs:batch"


@pytest.fixture
def scene_file(tmp_path: Path) -> str:
    """The href of a file that is there."""
    path = tmp_path / "scene.tif"
    path.write_bytes(b"II*")
    return path.as_uri()


@pytest.fixture
def job(scene_file: str) -> dict[str, Any]:
    """A job document that is accepted."""
    return {"image": "ndvi", "inputs": {"SCENE": {"href": scene_file}}}


def array(size: int) -> dict[str, Any]:
    """An array of so many numbers."""
    return {"array": {"over": "STEP", "range": [0, size]}}


def test_both_sides_show_each_other(api: Api, scene: Scene, job: dict[str, Any]) -> None:
    """With state and counts, where one job is asked for."""
    first = api.submit(**job, name="first", **array(3))
    second = api.submit(**job, name="second", **array(3), after=[{"job": first["id"], "elementwise": True}])

    (after,) = api.get(f"/v1/jobs/{second['id']}").json()["after"]
    (before,) = api.get(f"/v1/jobs/{first['id']}").json()["before"]

    assert (after["job"], after["name"], after["condition"], after["elementwise"]) == (
        *(first["id"], "first", "succeeded", True),
    )
    assert (before["job"], before["counts"]["total"], before["state"]) == (second["id"], 3, "PENDING")
    assert api.get("/v1/jobs").json()["items"][0]["after"] is None


def test_a_job_after_nothing_that_is_there_is_refused(api: Api, job: dict[str, Any]) -> None:
    """An unknown id, a name out of a batch, the same job twice, arrays that do not match: each where it stands."""
    first = api.submit(**job, name="first", **array(3))
    entries = [
        {"job": "01JD0000000000000000000000"},
        {"job": "first"},
        {"job": first["id"], "elementwise": True},
        {"job": first["id"], "condition": "ended"},
    ]
    assert api.refusal({**job, **array(4), "after": entries}) == {
        "/after/0/job": "there is no job '01JD0000000000000000000000'",
        "/after/1/job": "there is no job 'first': give its id, or the name of a job of the same batch",
        "/after/2/elementwise": f"needs arrays of equal length: job first ({first['id']}) has 3 tasks and this one 4 tasks",
        "/after/3/job": "is the same as in /after/2: a job is waited for in one way",
    }


def test_a_job_that_could_never_start_is_refused(api: Api, scene: Scene, job: dict[str, Any]) -> None:
    """After one that has failed; its end alone may be waited for."""
    first = scene.api.get_job(api.submit(**job, name="first")["id"])
    scene.apply(figures(first, JobState.FAILED, Ranges(), failed=1, ended_at=NOW))
    assert api.refusal({**job, "after": [{"job": first.id}]}) == {
        "/after/0/job": f"job first ({first.id}) has ended, and 0 of 1 task succeeded:"
        " retry it first, or wait for its end only"
    }
    api.submit(**job, after=[{"job": first.id, "condition": "ended"}])


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        ({"job": 3}, "/after/0/job"),
        ({"job": ""}, "/after/0/job"),
        ({}, "/after/0/job"),
        ({"job": "x", "condition": "started"}, "/after/0/condition"),
        ({"job": "x", "elementwise": "yes"}, "/after/0/elementwise"),
        ({"job": "x", "delay": 3}, "/after/0/delay"),
        ("x", "/after/0"),
    ],
)
def test_an_entry_of_another_form_is_refused(shared_api: Api, entry: Any, path: str) -> None:
    """At the field that is wrong."""
    assert list(shared_api.refusal({"image": "ndvi", "after": [entry]})) == [path]


def test_more_jobs_before_one_than_the_bound_are_refused(shared_api: Api) -> None:
    """201 of them."""
    assert list(shared_api.refusal({"image": "ndvi", "after": [{"job": "x"}] * 201})) == ["/after"]


def test_jobs_of_a_batch_know_each_other_by_name(api: Api, scene: Scene, job: dict[str, Any]) -> None:
    """In any order of the documents; each is stored with the ids, and an id is later than those that it waits for."""
    documents = [
        {**job, "name": "mosaic", "after": [{"job": "ndvi"}, {"job": "mask", "condition": "ended"}]},
        {**job, "name": "mask", **array(2), "after": [{"job": "ndvi", "elementwise": True}]},
        {**job, **array(2)},
    ]
    response = api.post(BATCH, json={"jobs": documents})
    assert response.status_code == 201
    mosaic, mask, ndvi = response.json()["items"]
    assert [entry["name"] for entry in (mosaic, mask, ndvi)] == ["mosaic", "mask", "ndvi"]
    assert mosaic["spec"]["after"] == [{"job": ndvi["id"]}, {"job": mask["id"], "condition": "ended"}]
    assert ndvi["id"] < mask["id"] < mosaic["id"]
    assert {record.id for record in scene.scheduler.read_changed_jobs()} == {mosaic["id"], mask["id"], ndvi["id"]}


@pytest.mark.parametrize(
    ("after", "path", "message"),
    [
        (
            {"a": ["b"], "b": ["c"], "c": ["a"]},
            "/jobs/0/after/0/job",
            "the jobs wait for each other: a waits for b waits for c waits for a",
        ),
        ({"a": ["b", "a"], "b": []}, "/jobs/0/after/1/job", "a job cannot wait for itself"),
        ({"a": ["nobody"]}, "/jobs/0/after/0/job", "there is no job 'nobody'"),
    ],
)
def test_a_batch_that_cannot_be_put_in_order_is_refused(
    api: Api, scene: Scene, job: dict[str, Any], after: dict[str, list[str]], path: str, message: str
) -> None:
    """With the cycle spelled out; nothing of it is stored."""
    documents = [{**job, "name": name, "after": [{"job": other} for other in others]} for name, others in after.items()]
    (found,) = api.refusal({"jobs": documents}, BATCH).items()
    cycle = {"a waits for b waits for c waits for a", "b waits for c waits for a waits for b"}
    assert found[1].startswith(message) or any(found[1].endswith(way) for way in cycle)
    assert found[0] == path or "wait for each other" in message
    assert scene.scheduler.read_changed_jobs() == []


def test_names_of_a_batch_serve_once(api: Api, job: dict[str, Any]) -> None:
    """The image's name, which a job has without one of its own, included."""
    assert api.refusal({"jobs": [{**job, "name": "a"}, job, {**job, "name": "ndvi"}]}, BATCH) == {
        "/jobs/2/name": "'ndvi' is the name of /jobs/1 too: give each job one of its own"
    }


def test_one_bad_job_keeps_the_whole_batch_out(api: Api, scene: Scene, job: dict[str, Any]) -> None:
    """All that is wrong is told at its place in the batch."""
    documents = [job, {"image": "nvdi", "name": "b"}, {**job, "name": "c", "parameters": {"STEP": "one"}}]
    problems = api.refusal({"jobs": documents}, BATCH)
    assert list(problems) == ["/jobs/1/image", "/jobs/2/parameters/STEP"]
    assert scene.scheduler.read_changed_jobs() == []
    assert list(api.refusal({"jobs": [job, {"image": "ndvi", "nam": "b"}]}, BATCH)) == ["/jobs/1/nam"]
    assert list(api.refusal({"jobs": []}, BATCH)) == ["/jobs"]


def test_a_batch_with_a_key_is_made_once(both_api: Api, both_scene: Scene, job: dict[str, Any]) -> None:
    """The same key gives back the same jobs in the same order; with another body it is a conflict."""
    body = {"jobs": [{**job, "name": "b", "after": [{"job": "a"}]}, {**job, "name": "a"}]}
    headers = {"Idempotency-Key": "once"}
    first = both_api.post(BATCH, json=body, headers=headers)
    again = both_api.post(BATCH, json=body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert [entry["id"] for entry in again.json()["items"]] == [entry["id"] for entry in first.json()["items"]]
    assert len(both_scene.scheduler.read_changed_jobs()) == 2
    assert both_api.post(BATCH, json={"jobs": [job]}, headers=headers).status_code == 409


def test_a_retry_of_the_head_wakes_the_chain(api: Api, scene: Scene, job: dict[str, Any]) -> None:
    """And the message of what had failed with it is shown until then."""
    first = scene.api.get_job(api.submit(**job, name="first")["id"])
    second = scene.api.get_job(api.submit(**job, after=[{"job": first.id}])["id"])
    scene.apply(
        figures(first, JobState.FAILED, Ranges.of(1), failed=1, ended_at=NOW),
        figures(second, JobState.FAILED, Ranges.of(1), failed=1, dropped=Ranges.of(1), message="job first failed"),
    )
    assert api.get(f"/v1/jobs/{second.id}").json()["message"] == "job first failed"
    assert api.get(f"/v1/jobs/{second.id}/tasks/0").json()["cause"] == "DEPENDENCY"
    assert api.post(f"/v1/jobs/{first.id}/retry").status_code == 202
    assert {record.id for record in scene.scheduler.read_changed_jobs()} == {first.id, second.id}

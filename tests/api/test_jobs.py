"""Jobs through the service: submitted, listed, shown, cancelled, tried again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swath.domain.ranges import Ranges
from swath.domain.states import JobState, TaskState
from tests.api.serving import Api
from tests.store.build import NOW, Scene, a_task, an_agent, figures


@pytest.fixture
def scene_file(tmp_path: Path) -> str:
    """The href of a file that is there."""
    path = tmp_path / "scene one.tif"
    path.write_bytes(b"II*")
    return path.as_uri()


def with_scene(href: str, **document: Any) -> dict[str, Any]:
    return {"image": "ndvi", "inputs": {"SCENE": {"href": href}}, **document}


def test_a_submitted_job_waits_for_the_scheduler_and_says_so(both_api: Api, scene_file: str) -> None:
    """It is PENDING, is found at its Location, and `why` names what it waits for."""
    response = both_api.post("/v1/jobs", json=with_scene(scene_file, name="august", labels={"campaign": "2023"}))
    job = response.json()
    assert response.status_code == 201
    assert both_api.get(response.headers["location"]).json() == job
    assert (job["state"], job["desired"], job["image"]) == ("PENDING", "RUN", "ndvi:1.0.0")
    assert job["counts"] == {"total": 1, "pending": 1, "active": 0, "succeeded": 0, "failed": 0, "cancelled": 0}
    assert job["resources"] == {"cpus": 1, "mem": 512, "disk": 0, "gpus": 0}
    assert "scheduler" in job["why"]
    assert job["submitted_at"].endswith("Z")


def test_a_job_over_many_items_keeps_them_out_of_its_spec(both_api: Api, scene_file: str) -> None:
    """The job tells their number; each task has its own."""
    items = [{"href": scene_file}] * 3
    job = both_api.submit(array={"over": "SCENE", "items": items})
    assert job["counts"]["total"] == 3
    assert job["spec"]["array"] == {"over": "SCENE", "size": 3}
    assert both_api.get(f"/v1/jobs/{job['id']}/tasks/2").json()["item"] == {"href": scene_file}


def test_a_million_tasks_are_one_small_request(both_api: Api, scene_file: str) -> None:
    """A range is accepted whatever its length, and its last task can be asked for."""
    job = both_api.submit(inputs={"SCENE": {"href": scene_file}}, array={"over": "STEP", "range": [0, 1_000_000]})
    last = both_api.get(f"/v1/jobs/{job['id']}/tasks/999999").json()
    assert (last["item"], last["state"], last["attempts"]) == (999_999, "PENDING", 0)


def test_the_same_key_and_document_give_back_the_first_job(both_api: Api, scene_file: str) -> None:
    """201 the first time, 200 the second, one job in the list."""
    headers = {"Idempotency-Key": "once"}
    first = both_api.post("/v1/jobs", json=with_scene(scene_file), headers=headers)
    second = both_api.post("/v1/jobs", json=with_scene(scene_file), headers=headers)
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json()
    assert len(both_api.get("/v1/jobs").json()["items"]) == 1


def test_a_repeated_request_is_answered_although_its_input_is_gone(both_api: Api, tmp_path: Path) -> None:
    """The job was accepted: a client that asks again after a broken connection gets it, not a refusal."""
    scene, headers = tmp_path / "gone.tif", {"Idempotency-Key": "once"}
    scene.touch()
    first = both_api.post("/v1/jobs", json=with_scene(scene.as_uri()), headers=headers)
    scene.unlink()
    second = both_api.post("/v1/jobs", json=with_scene(scene.as_uri()), headers=headers)
    assert (second.status_code, second.json()["id"]) == (200, first.json()["id"])


def test_the_same_key_with_another_document_is_a_conflict(both_api: Api, scene_file: str) -> None:
    """409, and nothing is stored."""
    headers = {"Idempotency-Key": "once"}
    both_api.post("/v1/jobs", json=with_scene(scene_file), headers=headers)
    other = both_api.post("/v1/jobs", json=with_scene(scene_file, priority=1), headers=headers)
    assert other.status_code == 409
    assert len(both_api.get("/v1/jobs").json()["items"]) == 1


@pytest.mark.parametrize("key", ["", "k" * 256, "two words"])
def test_a_bad_idempotency_key_is_named(api: Api, key: str) -> None:
    """422 at the header."""
    response = api.post("/v1/jobs", json={"image": "ndvi"}, headers={"Idempotency-Key": key})
    assert response.status_code == 422
    assert response.json()["errors"][0]["path"].lower() == "header:idempotency-key"


def test_lists_come_in_pages_the_newest_first(both_api: Api, scene_file: str) -> None:
    """Following `next` meets every job once."""
    ids = [both_api.submit(inputs={"SCENE": {"href": scene_file}}, name=f"job {n}")["id"] for n in range(5)]
    found, cursor = [], None
    while True:
        page = both_api.get("/v1/jobs", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        found += [job["id"] for job in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert sorted(found, reverse=True) == found
    assert set(found) == set(ids)


def test_filters_keep_what_fits_all_of_them(both_api: Api, scene_file: str) -> None:
    """By project, name, image, state and labels."""
    inputs = {"SCENE": {"href": scene_file}}
    wanted = both_api.submit(inputs=inputs, name="a", project="forest", labels={"year": "2023", "kind": "x"})["id"]
    both_api.submit(inputs=inputs, name="a", project="forest", labels={"year": "2024"})
    both_api.submit(inputs=inputs, name="b")
    filters = {
        "project": "forest",
        "name": "a",
        "image": "ndvi:1.0.0",
        "state": "PENDING",
        "label": ["year=2023", "kind=x"],
    }
    assert [job["id"] for job in both_api.get("/v1/jobs", params=filters).json()["items"]] == [wanted]
    assert both_api.get("/v1/jobs", params={"state": "FAILED"}).json()["items"] == []


def test_a_cancelled_job_stays_what_it_is_until_the_scheduler_says_so(both_api: Api, scene_file: str) -> None:
    """202 and desired CANCELLED at once; the state follows."""
    job = both_api.submit(inputs={"SCENE": {"href": scene_file}})
    response = both_api.post(f"/v1/jobs/{job['id']}/cancel")
    assert response.status_code == 202
    assert (response.json()["state"], response.json()["desired"]) == ("PENDING", "CANCELLED")
    assert both_api.post(f"/v1/jobs/{job['id']}/cancel").status_code == 202


def test_what_cannot_be_tried_again_is_a_conflict(both_api: Api, scene_file: str) -> None:
    """409 for a job of which nothing has failed."""
    job = both_api.submit(inputs={"SCENE": {"href": scene_file}})
    response = both_api.post(f"/v1/jobs/{job['id']}/retry")
    assert response.status_code == 409
    assert "failed" in response.json()["detail"]


@pytest.mark.parametrize(
    ("deadline", "status"),
    [({}, 202), ({"deadline": "2226-01-01T00:00:00Z"}, 202), ({"deadline": "2026-01-01T13:00:00Z"}, 409)],
)
def test_a_failed_job_can_be_tried_again(
    both_api: Api, both_scene: Scene, deadline: dict[str, str], status: int
) -> None:
    """202, and it waits for the scheduler; but after its deadline it would only fail again: 409."""
    job = both_scene.submit(**deadline)
    both_scene.apply(
        an_agent(),
        a_task(job, 0, TaskState.FAILED, message="exit code 3"),
        figures(job, JobState.FAILED, Ranges.of(0), failed=1, ended_at=NOW),
    )
    response = both_api.post(f"/v1/jobs/{job.id}/retry")
    assert response.status_code == status
    assert status == 202 or "deadline" in response.json()["detail"]


@pytest.mark.parametrize("job_id", ["nope", "0" * 26, "..%2f..", "%00", "01JD" + "I" * 22])
def test_an_unknown_job_is_not_found(api: Api, job_id: str) -> None:
    """404 everywhere below it."""
    for path in ("", "/tasks", "/tasks/0", "/tasks/0/attempts", "/outputs", "/events", "/tasks/0/logs/stdout"):
        response = api.get(f"/v1/jobs/{job_id}{path}")
        assert response.status_code == 404, path
        assert response.json()["status"] == 404


def test_a_job_shows_what_its_tasks_learned_to_ask_for(both_api: Api, both_scene: Scene) -> None:
    """Only what is more than the user said; the user's own figure stays beside it."""
    job = both_scene.submit()
    assert both_api.get(f"/v1/jobs/{job.id}").json()["learned"] is None
    both_scene.apply(figures(job, JobState.PENDING, Ranges.of(1), asks_mem=3072, asks_disk=job.resources.disk))
    shown = both_api.get(f"/v1/jobs/{job.id}").json()
    assert (shown["learned"], shown["resources"]["mem"]) == ({"mem": 3072}, job.resources.mem)

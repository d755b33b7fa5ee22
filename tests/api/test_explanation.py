"""Why a job waits, in numbers, when it may start, and what would become of one that is not submitted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from swath.domain.changes import AddAttempt, ChangeJob, PutSchedulerStatus
from swath.domain.projects import Project
from swath.domain.ranges import Ranges
from swath.domain.resources import Resources
from swath.domain.states import AttemptState, JobState, TaskState
from swath.store.rows import JobRow
from tests.api.serving import Api
from tests.store.build import NOW, Scene, a_task, an_agent, an_attempt, figures

SOME = Resources(cpus_m=8000, mem=16384, disk=50000)


def run(scene: Scene, job: JobRow, tasks: int, *, agent: str = "agent-1", begun_s: float = 0.0) -> None:
    """So many tasks of the job run, and began so many seconds ago by the service's clock."""
    begun = datetime.now(UTC) - timedelta(seconds=begun_s)
    for index in range(tasks):
        attempt = an_attempt(
            job, index, agent_id=agent, state=AttemptState.RUNNING, launched_at=begun, started_at=begun
        )
        scene.apply(a_task(job, index, TaskState.ACTIVE), AddAttempt(attempt=attempt))
    left = job.size - tasks
    scene.apply(figures(job, JobState.RUNNING, _from(tasks, job.size), active=tasks) if left else _all_active(job))


def _from(first: int, end: int) -> Any:

    return Ranges.of(end).minus(Ranges.of(first))


def _all_active(job: JobRow) -> ChangeJob:

    return figures(job, JobState.RUNNING, Ranges(), active=job.size)


def explain(api: Api, job: JobRow | dict[str, Any]) -> dict[str, Any]:
    """The explanation of a job."""
    job_id = job["id"] if isinstance(job, dict) else job.id
    response = api.get(f"/v1/jobs/{job_id}/explain")
    assert response.status_code == 200, response.text
    return dict(response.json())


def test_a_job_that_waits_for_resources_is_explained_in_numbers(both_api: Api, both_scene: Scene) -> None:
    """Two agents: one is too small, one is busy until the running job's expected end."""
    both_scene.apply(an_agent(total=SOME), an_agent("agent-2", total=Resources(cpus_m=500, mem=16384, disk=50000)))
    first = both_scene.submit(array={"over": "STEP", "range": [0, 8]}, expected_s=600)
    run(both_scene, first, 8, begun_s=100)
    second = both_scene.submit(expected_s=60)
    found = explain(both_api, second)
    assert found["waiting"] == 1
    assert {entry["why"].split(" (")[0]: entry["agents"] for entry in found["blockers"]} == {
        "not enough cpus": 1,
        "too small": 1,
    }
    assert found["position"] == {"place": 1, "of": 1}
    assert found["estimate"]["first_start_s"] == pytest.approx(500, abs=30)
    assert found["project"]["share"] == pytest.approx(8 / 8.5, abs=0.01)


def test_nothing_is_estimated_behind_tasks_of_which_nobody_knows_how_long_they_take(
    both_api: Api, both_scene: Scene
) -> None:
    """Their time-out of an hour is no estimate; once one of them has ended, there is one."""
    both_scene.apply(an_agent(total=SOME))
    first = both_scene.submit(array={"over": "STEP", "range": [0, 9]})
    run(both_scene, first, 8)
    second = both_scene.submit(expected_s=60)
    for job in (first, second):
        found = explain(both_api, job)
        assert (found["estimate"], found["unforeseen"]) == (None, 1)

    both_scene.apply(figures(first, JobState.RUNNING, _from(8, 9), active=8, longest_run_s=100.0))
    third = both_scene.submit(expected_s=60)  # whose explanation takes another picture
    found = explain(both_api, third)
    assert found["unforeseen"] == 0
    assert found["estimate"]["first_start_s"] == pytest.approx(150, abs=20)


def test_a_new_job_is_expected_to_take_as_long_as_others_of_its_image_and_project(
    both_api: Api, both_scene: Scene, tmp_path: Path
) -> None:
    """It is as foreseen as they are, submitted or only tried out; in another project nobody knows how long it takes."""
    both_scene.apply(an_agent(total=SOME))
    before = both_scene.submit()
    both_scene.apply(figures(before, JobState.SUCCEEDED, Ranges(), succeeded=1, longest_run_s=100.0, ended_at=NOW))
    found = explain(both_api, both_scene.submit())
    assert (found["unforeseen"], found["estimate"]["first_start_s"]) == (0, 0)
    document = {"image": "ndvi", "inputs": {"SCENE": {"href": Path(__file__).as_uri()}}}
    for project, unforeseen in (("default", 0), ("other", 1)):
        tried = both_api.post("/v1/jobs?dry_run=true", json={**document, "project": project}).json()
        assert tried["unforeseen"] == unforeseen


def test_quotas_stand_in_the_explanation_with_how_much_of_them_is_used(both_api: Api, both_scene: Scene) -> None:
    """The project holds three of four cpus; one more task may start, and the array follows as its tasks end."""
    both_scene.apply(an_agent(total=SOME))
    both_scene.api.put_project(Project(name="forest", quota={"cpus": 4000}), user="ada", now=NOW)
    job = both_scene.submit(project="forest", array={"over": "STEP", "range": [0, 6]}, expected_s=100)
    run(both_scene, job, 3)
    found = explain(both_api, job)
    assert found["limits"] == ["project forest is at 75 % of its quota of 4 cpus"]
    assert found["estimate"]["first_start_s"] == 0
    assert found["estimate"]["last_start_s"] == pytest.approx(100, abs=20)


def test_what_does_not_wait_is_said_not_to(both_api: Api, both_scene: Scene) -> None:
    """A job all of whose tasks run, and one that waits for another job."""
    both_scene.apply(an_agent(total=SOME))
    running = both_scene.submit()
    run(both_scene, running, 1)
    assert explain(both_api, running) == {
        "job": running.id,
        "state": "RUNNING",
        "why": None,
        "waiting": 0,
        "blockers": [],
        "limits": [],
        "project": None,
        "position": None,
        "estimate": None,
        "unforeseen": 0,
    }
    later = both_scene.submit(after=[{"job": running.id}])
    found = explain(both_api, later)
    assert found["waiting"] == 0


def test_a_task_that_no_agent_could_ever_hold_has_no_start_in_sight(both_api: Api, both_scene: Scene) -> None:
    """Rather than one that is made up."""
    both_scene.apply(an_agent(total=Resources(cpus_m=500, mem=16384, disk=50000)))
    found = explain(both_api, both_scene.submit())
    assert found["estimate"] is None
    assert "largest" in found["blockers"][0]["why"]


def test_what_the_scheduler_alone_knows_is_counted_too(both_api: Api, both_scene: Scene) -> None:
    """One agent rests, on another the image cools down; a status of another version is no reason to fail."""
    names = ("agent-1", "agent-2", "agent-3")
    both_scene.apply(*(an_agent(name, total=SOME) for name in names))
    job = both_scene.submit()
    told = {"resting": ["agent-1"], "cooling": {str(both_scene.image.id): ["agent-2"]}, "policy": {"fair": False}}
    both_scene.apply(PutSchedulerStatus(connected=True, data=told))
    assert {entry["why"]: entry["agents"] for entry in explain(both_api, job)["blockers"]} == {
        "not used for now because attempts kept failing there": 1,
        "cooling down: this image keeps failing there": 1,
        "have room": 1,
    }
    both_scene.apply(PutSchedulerStatus(connected=True, data={"resting": 7, "cooling": [1], "policy": {"no": "such"}}))
    assert explain(both_api, both_scene.submit())["waiting"] == 1


def test_a_job_is_explained_the_moment_it_is_there(both_api: Api, both_scene: Scene) -> None:
    """Though the picture of a moment ago does not have it yet."""
    both_scene.apply(an_agent(total=SOME))
    assert explain(both_api, both_scene.submit())["waiting"] == 1
    assert explain(both_api, both_scene.submit(array={"over": "STEP", "range": [0, 3]}))["waiting"] == 3


def test_an_unknown_job_is_not_explained(shared_api: Api) -> None:
    """404, as everywhere."""
    assert shared_api.get("/v1/jobs/01JD0000000000000000000000/explain").status_code == 404


def test_a_dry_run_tells_the_same_and_stores_nothing(both_api: Api, both_scene: Scene, tmp_path: Path) -> None:
    """The job stands behind the one that waits already; afterwards there is no more than that one."""
    both_scene.apply(an_agent(total=SOME))
    busy = both_scene.submit(array={"over": "STEP", "range": [0, 8]}, expected_s=600)
    run(both_scene, busy, 8)
    scene = tmp_path / "scene.tif"
    scene.write_bytes(b"II*")
    document = {
        "image": "ndvi",
        "inputs": {"SCENE": {"href": scene.as_uri()}},
        "array": {"over": "STEP", "range": [0, 20]},
        "resources": {"cpus": 2},
    }
    response = both_api.post("/v1/jobs", params={"dry_run": "true"}, json=document)
    assert response.status_code == 200, response.text
    found = response.json()
    assert (found["job"], found["waiting"]) == (None, 20)
    assert found["why"].startswith("waiting for resources")
    assert found["estimate"]["first_start_s"] == pytest.approx(600, abs=30)
    assert len(both_api.get("/v1/jobs").json()["items"]) == 1


def test_a_dry_run_of_what_would_start_at_once_says_so(both_api: Api, both_scene: Scene, tmp_path: Path) -> None:
    """Nothing keeps it."""
    both_scene.apply(an_agent(total=SOME))
    scene = tmp_path / "scene.tif"
    scene.write_bytes(b"II*")
    document = {"image": "ndvi", "inputs": {"SCENE": {"href": scene.as_uri()}}}
    found = both_api.post("/v1/jobs", params={"dry_run": "true"}, json=document).json()
    assert (found["why"], found["estimate"]["first_start_s"]) == (None, 0)


def test_a_dry_run_is_refused_as_the_job_itself_would_be(shared_api: Api) -> None:
    """With the same paths; and a dry_run that is neither true nor false is no guess."""
    refused = shared_api.post("/v1/jobs", params={"dry_run": "true"}, json={"image": "ndvi", "priority": 900})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["path"] == "/priority"
    assert shared_api.post("/v1/jobs", params={"dry_run": "perhaps"}, json={"image": "ndvi"}).status_code == 422


def test_tasks_are_explained_by_what_they_ask_for_by_now(both_api: Api, both_scene: Scene) -> None:
    """The user said 1 GiB, which would fit; others of the image turned out to need more than is free."""
    both_scene.apply(an_agent(total=SOME))
    first = both_scene.submit(array={"over": "STEP", "range": [0, 8]}, expected_s=600)
    run(both_scene, first, 4)
    second = both_scene.submit(array={"over": "STEP", "range": [0, 5]})
    both_scene.apply(figures(second, JobState.PENDING, asks_mem=40_000))
    found = explain(both_api, second)
    assert found["waiting"] == 5
    (blocker,) = found["blockers"]
    assert blocker["why"].startswith("too small (largest has")
    assert found["estimate"] is None


def test_an_estimate_of_interactive_work_ends_nobody_who_may_not_be_ended(both_api: Api, both_scene: Scene) -> None:
    """The agent is busy until the running job ends, for that is not preemptible."""
    both_scene.apply(an_agent(total=SOME))
    first = both_scene.submit(array={"over": "STEP", "range": [0, 8]}, expected_s=600, preemptible=False)
    run(both_scene, first, 8, begun_s=100)
    notebook = both_scene.submit(**{"class": "interactive"})
    assert explain(both_api, notebook)["estimate"]["first_start_s"] == pytest.approx(500, abs=30)

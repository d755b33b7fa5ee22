"""Tasks, attempts and the files that tasks leave, as the service tells of them."""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from swath.domain.changes import AddEvent, ChangeAttempt, ChangeJob, PutTask
from swath.domain.ranges import Ranges
from swath.domain.retries import Cause
from swath.domain.states import AttemptState, JobCounts, JobState, TaskState
from swath.store.database import Database
from swath.store.rows import JobRow
from tests.api.serving import TOKEN, Api
from tests.store.build import NOW, Scene, a_range, a_task, an_agent

WAITING = PutTask(job_id="", index=0, state=TaskState.PENDING, attempts=1, cause=Cause.APP)
TIFF = bytes(range(256)) * 40


def publish(scene: Scene, job: JobRow, directory: Path, files: dict[str, bytes], index: int = 0) -> str:
    """Let a task succeed with `files` in its output directory; the attempt's id."""
    attempt_id = scene.launch(job, index)
    outputs: list[dict[str, Any]] = []
    for path, content in files.items():
        target = directory / attempt_id / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        outputs.append({"name": "ndvi", "path": path, "size": len(content), "media_type": None, "sha256": digest})
    scene.apply(
        ChangeAttempt(
            attempt_id=attempt_id,
            state=AttemptState.SUCCEEDED,
            ended_at=NOW,
            sandbox=str(directory),
            output_dir=str(directory / attempt_id),
            outputs=outputs,
        ),
        a_task(job, index, TaskState.SUCCEEDED, winner_attempt=attempt_id),
    )
    return attempt_id


def test_a_cause_of_a_later_version_is_shown_as_it_is(both_api: Api, both_scene: Scene, database: Database) -> None:
    """While the scheduler is upgraded before this service: no 500, for tasks and attempts alike."""
    job = both_scene.submit()
    both_scene.launch(job)
    with database.write() as session:
        session.execute(text("UPDATE tasks SET cause = 'NOVEL'"))
        session.execute(text("UPDATE attempts SET cause = 'NOVEL', kill_cause = 'NOVEL'"))
    (task,) = both_api.get(f"/v1/jobs/{job.id}/tasks").json()["items"]
    (attempt,) = both_api.get(f"/v1/jobs/{job.id}/tasks/0/attempts").json()["items"]
    assert (task["cause"], attempt["cause"], attempt["kill_cause"]) == ("NOVEL", "NOVEL", "NOVEL")


def test_tasks_are_there_before_anything_runs(both_api: Api, both_scene: Scene) -> None:
    """Launched or not, in pages by index, and filtered by state."""
    job = both_scene.submit(array=a_range(5))
    both_scene.launch(job, 3)
    tasks = f"/v1/jobs/{job.id}/tasks"
    first = both_api.get(tasks, params={"limit": 3}).json()
    rest = both_api.get(tasks, params={"limit": 3, "cursor": first["next"]}).json()
    assert [task["index"] for task in first["items"] + rest["items"]] == [0, 1, 2, 3, 4]
    assert rest["next"] is None
    assert [task["index"] for task in both_api.get(tasks, params={"state": "ACTIVE"}).json()["items"]] == [3]
    assert both_api.get(f"{tasks}/5").status_code == 404


def test_a_task_that_waits_for_its_next_attempt_says_until_when(api: Api, scene: Scene) -> None:
    """With the cause of the last one."""
    job = scene.submit()
    scene.launch(job)
    scene.apply(replace(WAITING, job_id=job.id, retry_at=datetime(2226, 1, 1, 12, tzinfo=UTC)))
    task = api.get(f"/v1/jobs/{job.id}/tasks/0").json()
    assert task["why"] == "attempt 1 ended by APP; the next one may start at 2226-01-01T12:00:00.000Z"


def test_a_task_that_asks_for_more_next_time_says_so(api: Api, scene: Scene) -> None:
    """Beside the time."""
    job = scene.submit()
    scene.launch(job)
    later = datetime(2226, 1, 1, 12, tzinfo=UTC)
    scene.apply(replace(WAITING, job_id=job.id, retry_at=later, cause=Cause.OOM, mem=3072))
    task = api.get(f"/v1/jobs/{job.id}/tasks/0").json()
    assert task["why"] == (
        "attempt 1 ended by OOM; the next one, with 3072 MiB memory, may start at 2226-01-01T12:00:00.000Z"
    )


def test_every_cause_is_shown_with_its_exit_code_and_error(both_api: Api, both_scene: Scene) -> None:
    """Of the attempt, of the task, and in the history, on both databases."""
    job = both_scene.submit(array=a_range(len(Cause)))
    for index, cause in enumerate(Cause):
        attempt_id = both_scene.launch(job, index)
        said = {"cause": cause, "exit_code": index, "error": "no-crs", "message": "so it is", "kill_cause": cause}
        both_scene.apply(
            ChangeAttempt(attempt_id=attempt_id, state=AttemptState.FAILED, ended_at=NOW, **said),
            a_task(job, index, TaskState.FAILED, cause=cause, exit_code=index, message="so it is"),
            AddEvent(job_id=job.id, kind="task.state", data={"task": index, "cause": cause, "exit_code": index}),
        )
    for index, cause in enumerate(Cause):
        task = both_api.get(f"/v1/jobs/{job.id}/tasks/{index}").json()
        (attempt,) = both_api.get(f"/v1/jobs/{job.id}/tasks/{index}/attempts").json()["items"]
        assert (task["cause"], task["exit_code"], attempt["cause"], attempt["exit_code"]) == (cause, index) * 2
        assert (attempt["error"], attempt["kill_cause"]) == ("no-crs", cause)
    told = both_scene.api.read_events(0, job_id=job.id)
    assert [event.data["cause"] for event in told] == [cause.value for cause in Cause]


def test_a_task_whose_delay_is_over_waits_as_its_job_does(api: Api, scene: Scene) -> None:
    """A time long past is no reason; the job's is."""
    job = scene.submit()
    scene.launch(job)
    scene.apply(
        replace(WAITING, job_id=job.id, retry_at=NOW - timedelta(days=1)),
        ChangeJob(
            job_id=job.id,
            state=JobState.PENDING,
            pending=Ranges(),
            counts=JobCounts(total=1, pending=1),
            observed_rev=job.desired_rev,
            retry_rev_done=0,
            wait_reason="full",
        ),
    )
    assert api.get(f"/v1/jobs/{job.id}/tasks/0").json()["why"] == "full"
    assert [task["why"] for task in api.get(f"/v1/jobs/{job.id}/tasks").json()["items"]] == ["full"]


def test_attempts_tell_how_they_ended(api: Api, scene: Scene) -> None:
    """Cause, exit code, the image's own error, usage and warnings."""
    job = scene.submit()
    attempt_id = scene.launch(job)
    report = {"usage": {"wall_s": 1.5}, "warnings": ["memory limit is not enforced"]}
    scene.apply(
        ChangeAttempt(
            attempt_id=attempt_id,
            state=AttemptState.FAILED,
            cause=Cause.DATA,
            exit_code=3,
            error="no-crs",
            runtime="process",
            report=report,
        )
    )
    (attempt,) = api.get(f"/v1/jobs/{job.id}/tasks/0/attempts").json()["items"]
    assert attempt["agent"] == {"id": "agent-1", "hostname": "host-1"}
    told = {name: attempt[name] for name in ("state", "cause", "exit_code", "error", "runtime", "usage", "warnings")}
    assert told == {
        "state": "FAILED",
        "cause": "DATA",
        "exit_code": 3,
        "error": "no-crs",
        "runtime": "process",
        **report,
    }


def test_outputs_are_listed_and_fetched(both_api: Api, both_scene: Scene, tmp_path: Path) -> None:
    """Each at its own address, byte for byte, with type and size."""
    job = both_scene.submit(array=a_range(2))
    publish(both_scene, job, tmp_path, {"ndvi.tif": TIFF, "sub dir/quick look.png": b"\x89PNG"}, index=1)
    listed = both_api.get(f"/v1/jobs/{job.id}/outputs", params={"limit": 1}).json()
    more = both_api.get(f"/v1/jobs/{job.id}/outputs", params={"cursor": listed["next"]}).json()
    assert both_api.get(f"/v1/jobs/{job.id}/tasks/1/outputs").json()["items"] == listed["items"] + more["items"]
    tiff, picture = listed["items"][0], more["items"][0]
    assert Path(tiff["file"]).read_bytes() == TIFF
    response = both_api.get(tiff["href"])
    assert response.content == TIFF
    assert response.headers["content-type"] == "image/tiff"
    digest = base64.b64encode(hashlib.sha256(TIFF).digest()).decode()
    assert response.headers["repr-digest"] == f"sha-256=:{digest}:"
    assert response.headers["content-disposition"] == 'attachment; filename="ndvi.tif"'
    shown = both_api.get(picture["href"])
    assert shown.headers["content-disposition"].startswith("inline")
    assert both_api.get(f"/v1/jobs/{job.id}/tasks/0/outputs").json() == {"items": [], "next": None}


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        ("bytes=0-9", 206, TIFF[:10]),
        ("bytes=10000-", 206, TIFF[10000:]),
        ("bytes=-5", 206, TIFF[-5:]),
        ("bytes=0-99999999", 206, TIFF),
        ("bytes=99999-", 416, None),
        ("bytes=5-1", 200, TIFF),
        ("bytes=0-1,5-1", 200, TIFF),
        ("bytes=-", 200, TIFF),
        ("bytes=", 200, TIFF),
        ("bytes=a-b", 200, TIFF),
        ("bytes=" + ",".join(["0-1"] * 500), 200, TIFF),
        ("lines=1-2", 200, TIFF),
    ],
)
def test_ranges_of_an_output_are_served(
    api: Api, scene: Scene, tmp_path: Path, asked: str, status: int, content: bytes | None
) -> None:
    """As tools for cloud-optimised files ask for them; what is no range is ignored, as RFC 9110 demands."""
    job = scene.submit()
    publish(scene, job, tmp_path, {"ndvi.tif": TIFF})
    response = api.get(f"/v1/jobs/{job.id}/tasks/0/outputs/ndvi.tif", headers={"Range": asked})
    assert response.status_code == status
    if content is None:
        assert response.headers["content-type"] == "application/problem+json"
    else:
        assert response.content == content


def test_an_output_that_the_client_has_is_not_sent_again(api: Api, scene: Scene, tmp_path: Path) -> None:
    """304 for its ETag; HEAD tells its size."""
    job = scene.submit()
    publish(scene, job, tmp_path, {"ndvi.tif": TIFF})
    url = f"/v1/jobs/{job.id}/tasks/0/outputs/ndvi.tif"
    etag = api.get(url).headers["etag"]
    assert api.get(url, headers={"If-None-Match": etag}).status_code == 304
    head = api.http.head(url)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(TIFF)), b"")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("../secret", 422),
        ("..%2fsecret", 422),
        ("%2e%2e/secret", 422),
        ("sub/../../secret", 422),
        ("%2fetc%2fpasswd", 422),
        ("//etc/passwd", 422),
        ("a%00b", 422),
        ("./ndvi.tif", 422),
        ("link", 404),
        ("dirlink/secret", 404),
        ("loop", 404),
        ("sub", 404),
        ("fifo", 404),
        ("missing", 404),
        ("n" * 300, 404),
    ],
)
def test_no_path_leads_out_of_the_outputs(api: Api, scene: Scene, tmp_path: Path, path: str, status: int) -> None:
    """Neither `..`, nor an absolute path, nor a link that a container has left."""
    job = scene.submit()
    attempt_id = publish(scene, job, tmp_path, {"ndvi.tif": TIFF, "sub/x": b"x"})
    secret = tmp_path / "secret"
    secret.write_text("the secret's words")
    (tmp_path / attempt_id / "link").symlink_to(secret)
    (tmp_path / attempt_id / "dirlink").symlink_to(tmp_path)
    (tmp_path / attempt_id / "loop").symlink_to(tmp_path / attempt_id / "loop")
    os.mkfifo(tmp_path / attempt_id / "fifo")
    answer_status, text = raw_get(api, f"/v1/jobs/{job.id}/tasks/0/outputs/{path}")
    assert answer_status == status, text
    assert "the secret's words" not in text


def raw_get(api: Api, path: str) -> tuple[int, str]:
    """(status, text) of a GET of the path as it stands: other clients tidy it up first."""
    connection = HTTPConnection(api.http.base_url.host, api.http.base_url.port or 80, timeout=10)
    connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
    response = connection.getresponse()
    text = response.read().decode("utf-8", "replace")
    connection.close()
    return response.status, text


def test_what_no_commit_has_made_official_is_not_there(api: Api, scene: Scene, tmp_path: Path) -> None:
    """An attempt that published and did not win serves nothing."""
    job = scene.submit()
    attempt_id = scene.launch(job)
    directory = tmp_path / attempt_id
    directory.mkdir()
    (directory / "ndvi.tif").write_bytes(TIFF)
    scene.apply(an_agent(), ChangeAttempt(attempt_id=attempt_id, state=AttemptState.RUNNING, output_dir=str(directory)))
    assert api.get(f"/v1/jobs/{job.id}/tasks/0/outputs/ndvi.tif").status_code == 404
    assert api.get(f"/v1/jobs/{job.id}/outputs").json()["items"] == []


def test_a_name_that_is_no_text_breaks_no_list(both_api: Api, both_scene: Scene, tmp_path: Path) -> None:
    """What an executor of another kind may have published is listed, as far as JSON can say its name."""
    job = both_scene.submit()
    publish(both_scene, job, tmp_path, {os.fsdecode(b"a\xff.tif"): b"x", "b.tif": b"y"})
    outputs = both_api.get(f"/v1/jobs/{job.id}/outputs").json()["items"]
    assert [output["path"] for output in outputs] == ["a?.tif", "b.tif"]
    assert outputs[0]["href"].endswith("/outputs/a%3F.tif")

"""Jobs after others on the command line: options, files of several documents, and what is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tests.cli.conftest import IMAGE, JOB_ID, StandIn, a_job

Swath = Callable[..., Result]
BATCH = "/v1/jobs:batch"
OTHER = "01JD0000000000000000000009"


def a_link(**changes: Any) -> dict[str, Any]:
    """A job before or after another one, as the API shows it."""
    document = {
        "job": OTHER,
        "name": "ndvi",
        "state": "RUNNING",
        "counts": a_job()["counts"],
        "condition": "succeeded",
        "elementwise": False,
    }
    return document | changes


def test_options_name_the_jobs_before(api: StandIn, swath: Swath) -> None:
    """By id or as the last one; once they have succeeded, have ended, or task by task."""
    api.has_job(a_job())
    api.answer("GET", "/v1/images/ndvi", IMAGE)
    api.answer("POST", "/v1/jobs", a_job("PENDING"), 201)
    done = swath(
        "submit", "ndvi", "SCENE=/a.tif", "--after", "last", "--after", "A", "--after-end", "B", "--after-each", "C"
    )
    assert done.exit_code == 0, done.output
    assert api.asked[-1][2]["after"] == [
        {"job": JOB_ID},
        {"job": "A"},
        {"job": "B", "condition": "ended"},
        {"job": "C", "elementwise": True},
    ]


@pytest.mark.parametrize("wrap", [lambda jobs: jobs, lambda jobs: {"jobs": jobs}])
def test_a_file_may_hold_several_documents(api: StandIn, swath: Swath, tmp_path: Path, wrap: Any) -> None:
    """They are sent as one request, with local paths made whole; the ids are printed one a line."""
    jobs = [{"image": "ndvi", "inputs": {"SCENE": "/a.tif"}}, {"image": "mosaic", "after": [{"job": "ndvi"}]}]
    (tmp_path / "jobs.json").write_text(json.dumps(wrap(jobs)))
    api.answer("POST", BATCH, {"items": [a_job(), a_job(id=OTHER)]}, 201)
    done = swath("submit", "--file", str(tmp_path / "jobs.json"), "--idempotency-key", "once")
    assert done.stdout.split() == [JOB_ID, OTHER]
    assert api.asked[-1][2]["jobs"][0]["inputs"] == {"SCENE": {"href": "file:///a.tif"}}
    assert api.asked[-1][2]["jobs"][1] == jobs[1]
    shown = swath("submit", "--file", str(tmp_path / "jobs.json"), "--json")
    assert [job["id"] for job in json.loads(shown.stdout)] == [JOB_ID, OTHER]


def test_waiting_for_several_ends_with_the_worst(api: StandIn, swath: Swath) -> None:
    """One of them has failed."""
    good, bad = a_job("SUCCEEDED"), a_job("FAILED", id=OTHER)
    api.answer("POST", BATCH, {"items": [good, bad]}, 201)
    for job in (good, bad):
        api.has_job(job)
        api.answer("GET", f"/v1/jobs/{job['id']}/tasks", {"items": [], "next": None})
    done = swath("submit", "--file", "-", "--wait", input='[{"image": "a"}, {"image": "b"}]')
    assert done.exit_code == 1


@pytest.mark.parametrize("text", ["[]", "[1]", '{"jobs": 3, "image": "a"}', '"x"'])
def test_a_file_of_something_else_is_refused(api: StandIn, swath: Swath, text: str) -> None:
    """Before anything is sent (2), or by the API (4)."""
    api.refuse("POST", "/v1/jobs", 422, "invalid-input", "", [{"path": "/jobs", "message": "is not a known field"}])
    assert swath("submit", "--file", "-", input=text).exit_code == (4 if "image" in text else 2)


def test_options_beside_several_documents_are_refused(api: StandIn, swath: Swath) -> None:
    """Whose would they be?"""
    done = swath("submit", "--file", "-", "--priority", "90", input='[{"image": "a"}]')
    assert done.exit_code == 2
    assert "priority" in done.stderr
    assert api.asked == []


def test_show_tells_of_the_jobs_on_both_sides(api: StandIn, swath: Swath) -> None:
    """With how they do, what is waited for, and why something ended that never ran."""
    before = a_link(name="mosaic", state="PENDING")
    after = [a_link(), a_link(name="mask", condition="ended", elementwise=True)]
    api.has_job(a_job("FAILED", after=after, before=[before], message="job ndvi has failed"))
    api.answer("GET", f"/v1/jobs/{JOB_ID}/tasks", {"items": [], "next": None})
    text = " ".join(swath("show", JOB_ID).stdout.split())
    assert f"ndvi ({OTHER}, RUNNING, 0 of 3, once it has succeeded)" in text
    assert f"mask ({OTHER}, RUNNING, 0 of 3, once those have ended, task by task)" in text
    assert f"mosaic ({OTHER}, PENDING, 0 of 3)" in text
    assert "job ndvi has failed" in text


def test_history_counts_the_tasks_that_never_ran(api: StandIn, swath: Swath) -> None:
    """In one line, with the job that they waited for."""
    data = {"tasks": 3, "state": "FAILED", "cause": "DEPENDENCY", "message": "job ndvi has failed"}
    event = {"id": 1, "job": JOB_ID, "at": "2026-01-01T00:00:00Z", "kind": "task.state", "data": data}
    api.has_job(a_job("FAILED"))
    api.answer("GET", f"/v1/jobs/{JOB_ID}/events", f"event: task.state\ndata: {json.dumps(event)}\n\n")
    text = " ".join(swath("history", JOB_ID).stdout.split())
    assert "3 that never ran: FAILED DEPENDENCY: job ndvi has failed" in text

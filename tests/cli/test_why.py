"""`swath why` and `swath submit --dry-run`: what keeps a job, and until when."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from typer.testing import Result

from tests.cli.conftest import IMAGE, JOB_ID, StandIn, a_job, a_task

Swath = Callable[..., Result]

FOUND = {
    "job": JOB_ID,
    "state": "PENDING",
    "why": "waiting for resources: 412 agents, largest free 12 GiB memory",
    "waiting": 1200,
    "blockers": [
        {"agents": 412, "why": "not enough memory (largest free 12 GiB memory, needs 16 GiB memory)"},
        {"agents": 1, "why": "cooling down: this image keeps failing there"},
    ],
    "limits": ["project forest is at 98 % of its quota of 100 cpus"],
    "project": {"name": "forest", "share": 0.251, "fair_share": 0.5},
    "position": {"place": 3, "of": 12},
    "estimate": {
        "first_start": "2030-01-01T00:10:00Z",
        "first_start_s": 600.0,
        "last_start": None,
        "last_start_s": None,
    },
}


def test_why_shows_what_keeps_a_job_and_when_it_may_start(api: StandIn, swath: Swath) -> None:
    """The sentence, the agents by reason, the quota, the share, the place and the estimate."""
    api.has_job(a_job())
    api.answer("GET", f"/v1/jobs/{JOB_ID}/explain", FOUND)
    lines = swath("why", JOB_ID).stdout.splitlines()
    assert lines[0] == FOUND["why"]
    assert lines[1] == "  412 agents: not enough memory (largest free 12 GiB memory, needs 16 GiB memory)"
    assert lines[2].startswith("  1 agent: cooling down")
    assert lines[3] == "  project forest is at 98 % of its quota of 100 cpus"
    assert lines[4] == "  project forest holds 25.1 % of the cluster; 50 % are its fair share"
    assert lines[5] == "  place 3 of 12 jobs that wait"
    first = r"the first may start in 10 min, at \d\d \w{3} \d\d:\d\d"
    assert re.fullmatch(rf"  1,200 tasks waiting: {first}, the last later than can be told", lines[6])


def test_why_says_what_an_estimate_lacks(api: StandIn, swath: Swath) -> None:
    """Nobody knows how long tasks take that have never ended, and the user may say it."""
    api.has_job(a_job())
    for estimate, words in ((None, "no start is in sight"), (FOUND["estimate"], "the last later than can be told")):
        api.answer("GET", f"/v1/jobs/{JOB_ID}/explain", {**FOUND, "estimate": estimate, "unforeseen": 2})
        last = swath("why", JOB_ID).stdout.splitlines()[-1]
        assert f"{words}: nobody knows yet how long tasks of 2 open jobs take" in last


def test_why_of_a_job_that_does_not_wait_and_of_one_task(api: StandIn, swath: Swath) -> None:
    """One line each."""
    api.has_job(a_job("SUCCEEDED"))
    nothing: dict[str, Any] = {**FOUND, "state": "SUCCEEDED", "why": None, "waiting": 0, "blockers": []}
    api.answer("GET", f"/v1/jobs/{JOB_ID}/explain", nothing)
    assert swath("why", JOB_ID).stdout == "it does not wait: it is SUCCEEDED\n"
    api.answer("GET", f"/v1/jobs/{JOB_ID}/tasks/0", a_task(0, "ACTIVE"))
    assert swath("why", JOB_ID, "0").stdout == "it does not wait: it is ACTIVE\n"


def test_a_dry_run_submits_nothing_and_prints_the_same(api: StandIn, swath: Swath) -> None:
    """With what would keep it, or that it would start now."""
    api.answer("GET", "/v1/images/ndvi", IMAGE)
    now = {**FOUND["estimate"], "first_start_s": 0.0}
    api.answer("POST", "/v1/jobs", {**FOUND, "job": None, "why": None, "waiting": 1, "estimate": now})
    result = swath("submit", "ndvi", "SCENE=/x.tif", "--dry-run")
    assert result.stdout.splitlines()[0] == "it would start now"
    assert result.stdout.splitlines()[-1] == "  it may start now"
    method, path, _ = api.asked[-1]
    assert (method, path) == ("POST", "/v1/jobs?dry_run=true")


def test_last_is_the_newest_job_of_a_person(api: StandIn, swath: Swath) -> None:
    """What a schedule has submitted meanwhile does not come between; with nothing else it is the newest there is."""
    fired = a_job(id="01JD0000000000000000000009", labels={"schedule": "nightly"})
    api.answer("GET", "/v1/jobs", {"items": [fired, a_job()], "next": None})
    api.answer("GET", f"/v1/jobs/{JOB_ID}/explain", FOUND)
    assert swath("why", "last").stdout.startswith(str(FOUND["why"]))
    api.answer("GET", "/v1/jobs", {"items": [fired], "next": None})
    api.answer("GET", f"/v1/jobs/{fired['id']}/explain", FOUND)
    assert swath("why", "last").stdout.startswith(str(FOUND["why"]))

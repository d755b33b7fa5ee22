"""What the command line shows of retries: what is asked for next, why nothing is, and what was learned."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import Result

from tests.cli.conftest import IMAGE, JOB_ID, StandIn, a_job, a_task, an_attempt

Swath = Callable[..., Result]
FAILED = {"task": 0, "state": "PENDING", "attempt": "attempt-1", "attempt_state": "FAILED"}


def test_a_job_is_shown_with_what_its_tasks_learned(api: StandIn, swath: Swath) -> None:
    """Beside what the user said, which stays as it was; nothing where nothing was learned."""
    for learned, line in (({"mem": 1152}, "1152 MiB memory instead of 768"), (None, "")):
        api.answer("GET", f"/v1/jobs/{JOB_ID}", a_job(learned=learned))
        shown = swath("show", JOB_ID).stdout
        assert "768 MiB memory" in shown
        assert ("learned" in shown) is bool(line)
        assert line in shown


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        (
            "task.state",
            FAILED | {"cause": "OOM", "message": "too little", "asks": {"mem": 3072}},
            "OOM: too little; asks for 3072 MiB memory next",
        ),
        (
            "task.state",
            FAILED | {"state": "FAILED", "cause": "APP", "exit_code": 2, "why": "its retry policy says so of APP:2"},
            "APP: exit 2; not tried again: its retry policy says so of APP:2",
        ),
        ("task.state", FAILED | {"cause": "PREEMPTED"}, "PREEMPTED"),
        ("attempt.preempted", {"task": 0, "attempt": "a", "for": "01JD"}, "to end for job 01JD"),
        (
            "job.asks",
            {"mem": 3072, "disk": 6000, "asked": {"mem": 2048, "disk": 4000}},
            "what its tasks ask for changes 3072 MiB memory instead of 2048, 6000 MiB disk instead of 4000",
        ),
    ],
)
def test_the_history_tells_how_it_goes_on(
    api: StandIn, swath: Swath, kind: str, data: dict[str, Any], words: str
) -> None:
    """The cause, and what follows from it."""
    event = {"id": 1, "job": JOB_ID, "at": "2026-01-01T00:00:00Z", "kind": kind, "data": data}
    api.answer("GET", f"/v1/jobs/{JOB_ID}/events", f"event: e\ndata: {json.dumps(event)}\n\n")
    line = " ".join(swath("history", JOB_ID).stdout.splitlines()[-1].split())
    assert line.endswith(words)


def test_an_attempt_that_is_being_ended_says_why(api: StandIn, swath: Swath) -> None:
    """While it ends; afterwards its cause says it."""
    api.answer("GET", f"/v1/jobs/{JOB_ID}/tasks/0", a_task(0, "ACTIVE"))
    ending = an_attempt(1, "KILLING", kill_cause="PREEMPTED", ended_at=None)
    ended = an_attempt(2, "KILLED", kill_cause="PREEMPTED", cause="PREEMPTED", ended_at="2026-01-01T00:10:00Z")
    api.answer("GET", f"/v1/jobs/{JOB_ID}/tasks/0/attempts", {"items": [ending, ended]})
    first, second = swath("show", JOB_ID, "0").stdout.splitlines()[-2:]
    assert "PREEMPTED, ending" in first
    assert "PREEMPTED" in second
    assert "ending" not in second


def test_submit_says_what_follows_which_end(api: StandIn, swath: Swath) -> None:
    """By cause, exit code and name, as the document takes it."""
    api.answer("GET", "/v1/images/ndvi", IMAGE)
    api.answer("POST", "/v1/jobs", a_job("PENDING"), 201)
    words = ("--retry-on", "APP:2=fail", "--retry-on", "ERROR:tile-busy=retry", "--max-attempts", "5")
    assert swath("submit", "ndvi", *words).exit_code == 0
    assert api.asked[-1][2] == {
        "image": "ndvi",
        "retry": {"max_attempts": 5, "on": {"APP:2": "fail", "ERROR:tile-busy": "retry"}},
    }


@pytest.mark.parametrize(
    ("word", "said"), [("APP:2=perhaps", "/retry/on/APP:2: takes fail or retry"), ("APP:2", "NAME=VALUE")]
)
def test_what_can_follow_no_end_is_refused_before_anything_is_asked(
    api: StandIn, swath: Swath, word: str, said: str
) -> None:
    """Exit code 2, with the form that is wanted."""
    done = swath("submit", "ndvi", "--retry-on", word)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert api.asked == []

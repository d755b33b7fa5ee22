"""What commands show: times and figures in words, lists that say what is missing, and nothing that steers the terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from typer.testing import Result

from tests.cli.conftest import IMAGE, JOB_ID, StandIn, a_job, a_task

Swath = Callable[..., Result]


def test_what_others_write_is_no_emoji(api: StandIn, swath: Swath) -> None:
    """ ":label:" in a place, a name or a sentence stays what it is."""
    api.has_job(a_job(name=":label:", why="query:label: wrong"))
    assert "query:label: wrong" in swath("show", JOB_ID).stdout
    assert ":label:" in swath("jobs").stdout
    api.refuse("GET", "/v1/jobs", 422, "invalid-input", "", [{"path": "query:label", "message": "must be KEY=VALUE"}])
    assert "query:label: must be KEY=VALUE" in swath("jobs", "--label", "x").stderr


def test_an_empty_list_says_whether_there_are_no_jobs_or_none_such(api: StandIn, swath: Swath) -> None:
    """Whoever asked for some of them is not told to submit a first one."""
    api.answer("GET", "/v1/jobs", {"items": [], "next": None})
    assert "`swath submit` makes one" in swath("jobs").stderr
    assert swath("jobs", "--project", "x").stderr == "no such jobs\n"


def test_versions_of_one_name_are_told_apart(api: StandIn, swath: Swath) -> None:
    """By their digests, of which a few digits do."""
    api.answer("GET", "/v1/images", {"items": [IMAGE | {"digest": f"sha256:{n * 64}"} for n in "ab"], "next": None})
    first, second = swath("images").stdout.splitlines()[1:]
    assert ("aaaaaaaaaaaa" in first, "bbbbbbbbbbbb" in second) == (True, True)


def test_the_cluster_is_told_in_words(api: StandIn, swath: Swath) -> None:
    """What is empty is left out, what is nested is no Python."""
    figures = {"executor": {"cpus": 0.1, "mem": 64}, "policy": {}, "resting": [], "sick": ["a1", "a2"]}
    api.answer("GET", "/v1/cluster", {"connected": True, "scheduler": figures})
    assert "executor 0.1 cpus, 64 MiB memory, sick a1, a2" in swath("cluster").stdout


def test_nothing_of_others_steers_the_terminal(api: StandIn, swath: Swath) -> None:
    """Colours, titles, bidirectional overrides and our own markup are shown as what they are, in tables, sentences and JSON."""
    evil, harmless = "[/x]\x1b]0;owned\x07\x9b31m\u202egnp", "[/x]\\u001b]0;owned\\u0007\\u009b31m\\u202egnp"
    api.has_job(a_job("FAILED", name=evil, why=evil, message=evil))
    api.answer("GET", f"/v1/jobs/{JOB_ID}/tasks", {"items": [a_task(0, "FAILED", message=evil)], "next": None})
    api.answer("GET", f"/v1/jobs/{JOB_ID}/tasks/0", a_task(0, "PENDING", why=evil))
    event = {"id": 1, "at": "2026-01-01T00:00:00Z", "kind": "job.state", "job": JOB_ID, "data": {"message": evil}}
    for words in (
        ("jobs",),
        ("show", JOB_ID),
        ("tasks", JOB_ID),
        ("why", JOB_ID, "0"),
        ("wait", JOB_ID),
        ("jobs", "--json"),
    ):
        done = swath(*words)
        assert harmless in done.output, words
        assert not set(done.output) & set("\x1b\x07\x9b\u202e"), words
    assert json.loads(swath("show", JOB_ID, "--json").stdout)["name"] == evil
    api.answer("GET", f"/v1/jobs/{JOB_ID}/events", f"event: job.state\ndata: {json.dumps(event)}\n\n")
    assert harmless in swath("events", JOB_ID).output
    api.refuse("GET", f"/v1/jobs/{JOB_ID}", 404, "not-found", evil)
    assert harmless in swath("show", JOB_ID).stderr


def test_show_tells_when_a_job_may_start_and_has_to(api: StandIn, swath: Swath) -> None:
    """As it was said, and how far away that is."""
    ahead, past = datetime.now(UTC) + timedelta(hours=5, minutes=1), datetime.now(UTC) - timedelta(days=3, minutes=1)
    api.has_job(a_job(spec={"not_before": past.isoformat(), "deadline": ahead.isoformat()}))
    shown = swath("show", JOB_ID).stdout
    assert f"{past.isoformat()} (3 d ago)" in shown
    assert f"{ahead.isoformat()} (in 5 h)" in shown

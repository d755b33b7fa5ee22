"""Recurring jobs on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import Result

from tests.cli.conftest import JOB_ID, StandIn

Swath = Callable[..., Result]
PATH = "/v1/schedules"


def a_schedule(**changes: Any) -> dict[str, Any]:
    """A recurring job as the API shows it."""
    document = {
        "id": "01JD0000000000000000000001",
        "name": "nightly",
        "user": "ada",
        "cron": "30 2 * * *",
        "timezone": "Europe/Rome",
        "overlap": "skip",
        "catch_up": "last",
        "paused": False,
        "created_at": "2026-06-01T00:00:00Z",
        "next": ["2026-06-02T00:30:00Z", "2026-06-03T00:30:00Z", "2026-06-04T00:30:00Z"],
        "job": {"image": "ndvi"},
        "runs": [
            {
                "at": "2026-06-01T00:30:00Z",
                "outcome": "SUBMITTED",
                "job": JOB_ID,
                "message": None,
                "done_at": "2026-06-01T00:30:01Z",
            }
        ],
    }
    return document | changes


@pytest.fixture
def stand_in(api: StandIn) -> StandIn:
    """An API with one schedule."""
    api.answer("GET", PATH, {"items": [a_schedule(runs=None)]})
    api.answer("POST", PATH, a_schedule(runs=[]), 201)
    api.answer("GET", f"{PATH}/nightly", a_schedule())
    api.answer("PATCH", f"{PATH}/nightly", a_schedule(paused=True, next=[]))
    api.answer("DELETE", f"{PATH}/nightly", "", 204)
    return api


def test_a_job_is_made_to_recur(stand_in: StandIn, swath: Swath) -> None:
    """The document, with local paths made whole; the next three times are shown."""
    document = '{"image": "ndvi", "inputs": {"SCENE": "/eos/{date}.tif"}}'
    words = ("schedules", "add", "nightly", "30 2 * * *", "--timezone", "Europe/Rome", "--overlap", "queue")
    done = swath(*words, "--catch-up", "all", "--file", "-", input=document)
    assert done.exit_code == 0, done.output
    assert stand_in.asked[-1][2] == {
        "name": "nightly",
        "cron": "30 2 * * *",
        "timezone": "Europe/Rome",
        "overlap": "queue",
        "catch_up": "all",
        "paused": False,
        "job": {"image": "ndvi", "inputs": {"SCENE": {"href": "file:///eos/%7Bdate%7D.tif"}}},
    }
    for time in a_schedule()["next"]:
        assert time in done.stdout


def test_schedules_are_listed_and_shown(stand_in: StandIn, swath: Swath) -> None:
    """Each with its next time; one of them with what became of its last ones."""
    for words in (("schedules",), ("schedules", "list")):
        assert "2026-06-02T00:30:00Z" in swath(*words).stdout
    shown = " ".join(swath("schedules", "show", "nightly").stdout.split())
    assert f"2026-06-01T00:30:00Z SUBMITTED {JOB_ID}" in shown


@pytest.mark.parametrize(("word", "paused"), [("pause", True), ("resume", False)])
def test_a_schedule_is_paused_and_resumed(stand_in: StandIn, swath: Swath, word: str, paused: bool) -> None:
    """By a change of that alone."""
    assert swath("schedules", word, "nightly").exit_code == 0
    assert stand_in.asked[-1] == ("PATCH", f"{PATH}/nightly", {"paused": paused})


def test_a_schedule_is_removed(stand_in: StandIn, swath: Swath) -> None:
    """And one that is not there is not found."""
    assert swath("schedules", "remove", "nightly").exit_code == 0
    assert stand_in.asked[-1][:2] == ("DELETE", f"{PATH}/nightly")
    stand_in.refuse("DELETE", f"{PATH}/yearly", 404, "not-found", "there is no schedule 'yearly'")
    assert swath("schedules", "remove", "yearly").exit_code == 3


@pytest.mark.parametrize(
    "words",
    [
        ("schedules",),
        ("schedules", "list"),
        ("schedules", "show", "nightly"),
        ("schedules", "pause", "nightly"),
        ("schedules", "resume", "nightly"),
        ("schedules", "add", "nightly", "30 2 * * *", "--file", "-"),
    ],
)
def test_json_is_json(stand_in: StandIn, swath: Swath, words: tuple[str, ...]) -> None:
    """On stdout, and nothing else."""
    json.loads(swath(*words, "--json", input='{"image": "ndvi"}').stdout)

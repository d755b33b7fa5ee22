"""`swath agents`, `swath scheduler` and `swath history` against a stand-in for the API: what they ask, say and end with."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import Result

from swath.cli.options import parse_duration
from tests.cli.conftest import JOB_ID, StandIn, a_scheduler, a_task, an_agent, an_attempt

Swath = Callable[..., Result]

BUSY = an_agent(attempts=3)
MODE = "/v1/agents/a1/mode"


def has_agent(api: StandIn, *agents: dict[str, Any]) -> None:
    """The agent as it is shown one time after the other; whatever is asked of it is taken down."""
    api.answer_in_turn("GET", "/v1/agents/a1", *agents)
    api.answer_in_turn("GET", "/v1/agents/node-7", *agents)
    api.answer("PUT", MODE, an_agent(mode="DRAINED", mode_pending=True), 202)
    api.answer("GET", "/v1/scheduler", a_scheduler())


def changes(api: StandIn) -> list[tuple[str, str, Any]]:
    """What was asked for that is more than a question."""
    return [entry for entry in api.asked if entry[0] != "GET"]


@pytest.mark.parametrize("words", [("agents",), ("agents", "list")])
def test_the_list_tells_what_each_agent_is_and_is_to_be(api: StandIn, swath: Swath, words: tuple[str, ...]) -> None:
    """Whoever deactivated it; a wish that nobody has taken in; one that Mesos refused; one that is gone."""
    shown = [
        an_agent(id="a1", attempts=17),
        an_agent(id="a2", mode="CORDONED"),
        an_agent(id="a3", mode="DRAINED", mode_pending=True),
        an_agent(id="a4", mode="DRAINED", drain="DRAINING", deactivated=True),
        an_agent(id="a5", deactivated=True),
        an_agent(id="a6", mode="DRAINED", mode_message="403 Forbidden"),
        an_agent(id="a7", active=False),
        an_agent(id="a8", mode="CORDONED", mode_user="swath", mode_message="9 bad ends of 2 images"),
    ]
    api.answer("GET", "/v1/agents", {"items": shown})
    lines = {line.split()[0]: line for line in swath(*words).stdout.splitlines()[1:]}
    assert " 17 " in lines["a1"]
    expected = ("active", "CORDONED", "active; to be DRAINED", "DRAINING", "deactivated", "403 Forbidden", "gone")
    expected = (*expected, "CORDONED by Swath itself: 9 bad ends of 2 images")
    for agent, words_of_it in zip(shown, expected, strict=True):
        assert words_of_it in lines[agent["id"]]


def test_the_list_tells_all_that_an_agent_has_and_where_it_is(api: StandIn, swath: Swath) -> None:
    """Ports and custom scalars beside the usual ones, attributes, region and zone; one that has none says so."""
    resources = {"cpus": 2, "mem": 1024, "disk": 0, "gpus": 0, "ports": 1001, "custom": {"licences": 4, "tape": 0.5}}
    where = {"attributes": {"rack": "b", "disk": "ssd"}, "region": "eu", "zone": "eu-1"}
    api.answer(
        "GET", "/v1/agents", {"items": [an_agent(resources=resources, **where), an_agent(id="a2", attributes={})]}
    )
    api.answer("GET", "/v1/agents/a1", an_agent(resources=resources, **where))
    first, second = swath("agents").stdout.splitlines()[1:]
    for shown in (first, swath("agents", "show", "a1").stdout):
        assert "2 cpus, 1024 MiB memory, 1001 ports, 4 licences, 0.5 tape" in shown
        assert "disk=ssd, rack=b" in shown
        assert "eu-1" in shown
    assert " - " in second


def test_an_agent_is_shown_with_its_wish_and_its_window(api: StandIn, swath: Swath) -> None:
    """Who asked for what, and when it will be away."""
    wish = {"mode": "DRAINED", "mode_user": "ada", "mode_at": "2026-01-01T00:00:00Z", "max_grace_s": 300.0}
    has_agent(api, an_agent(**wish, unavailable_from="2026-02-01T00:00:00Z", mark_gone=True))
    shown = swath("agents", "show", "node-7").stdout
    assert "images" not in shown
    for words in ("DRAINED, asked by ada", "5 min", "2026-02-01T00:00:00Z to no end", "not to come back"):
        assert words in shown


@pytest.mark.parametrize(("images", "line"), [([], "none"), (["ndvi:1.0.0", "sha256:1"], "2: ndvi:1.0.0, sha256:1")])
def test_an_agent_is_shown_with_the_images_that_it_holds(
    api: StandIn, swath: Swath, images: list[str], line: str
) -> None:
    """How many, and their names."""
    has_agent(api, an_agent(images=images))
    (shown,) = (each for each in swath("agents", "show", "node-7").stdout.splitlines() if each.startswith("images"))
    assert shown.split(maxsplit=1)[1].strip() == line


@pytest.mark.parametrize(
    "words",
    [
        ("agents", "drain", "a1"),
        ("agents", "drain", "a1", "--json"),
        ("scheduler", "teardown"),
        ("scheduler", "reset-framework"),
    ],
)
def test_m04_nothing_is_killed_by_a_command_that_nobody_confirmed(
    api: StandIn, swath: Swath, words: tuple[str, ...]
) -> None:
    """In a script without --yes: what would be killed is told with numbers, 2, and nothing is asked for."""
    has_agent(api, BUSY)
    done = swath(*words)
    assert done.exit_code == 2
    assert "3 running attempts" in done.stderr
    assert "--yes" in done.stderr
    assert changes(api) == []


@pytest.mark.parametrize(("answer", "code", "asked"), [("y", 0, 1), ("n", 4, 0)])
def test_on_a_terminal_the_human_is_asked(api: StandIn, answer: str, code: int, asked: int) -> None:
    """And a no changes nothing, and does not pass for success."""
    has_agent(api, BUSY)
    api.answer("POST", "/v1/scheduler/teardown", {}, 202)
    terminal, other_end = pty.openpty()
    command = [sys.executable, "-m", "swath.cli.main", "scheduler", "teardown"]
    with subprocess.Popen(command, stdin=other_end, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        os.write(terminal, f"{answer}\n".encode())
        _, said = process.communicate(timeout=60)
    os.close(terminal)
    os.close(other_end)
    assert process.returncode == code, said
    assert b"3 running attempts of 2 jobs on 1 agent will be killed" in said
    assert len(changes(api)) == asked


def test_m32_a_drain_asks_for_the_mode_and_says_what_it_ends(api: StandIn, swath: Swath) -> None:
    """By the agent's id, with grace and mark."""
    has_agent(api, BUSY)
    done = swath("agents", "drain", "node-7", "--max-grace", "5m", "--mark-gone", "--yes")
    assert done.exit_code == 0
    assert changes(api) == [("PUT", MODE, {"mode": "DRAINED", "max_grace_s": 300.0, "mark_gone": True})]
    assert "node-7 (a1): 3 running attempts will be ended without grace" in done.stderr
    assert "forgets the agent for good" in done.stderr
    done = swath("agents", "drain", "node-7", "--max-grace", "5m", "--yes")
    assert "node-7 (a1): 3 running attempts will be asked to end within 5 min at most" in done.stderr
    assert "until `swath agents undrain`" in done.stderr


@pytest.mark.parametrize(("command", "mode"), [("cordon", "CORDONED"), ("undrain", "ACTIVE"), ("uncordon", "ACTIVE")])
def test_what_kills_nothing_is_not_asked_about(api: StandIn, swath: Swath, command: str, mode: str) -> None:
    """Cordon, uncordon and undrain need no --yes."""
    has_agent(api, BUSY)
    assert swath("agents", command, "a1").exit_code == 0
    assert changes(api) == [("PUT", MODE, {"mode": mode, "max_grace_s": None, "mark_gone": False})]


def test_one_wrong_name_changes_no_agent(api: StandIn, swath: Swath) -> None:
    """3, and the right one is left as it is."""
    has_agent(api, BUSY)
    done = swath("agents", "drain", "a1", "nobody", "--yes")
    assert done.exit_code == 3
    assert changes(api) == []


def test_a_host_name_of_several_agents_is_refused_with_their_ids(api: StandIn, swath: Swath) -> None:
    """4, in the API's words."""
    api.refuse("GET", "/v1/agents/node-7", 409, "conflict", "2 agents are on node-7: name one by its id: a1, a2")
    done = swath("agents", "cordon", "node-7")
    assert done.exit_code == 4
    assert "a1, a2" in done.stderr


def test_waiting_for_a_drain_ends_when_nothing_is_left(
    api: StandIn, swath: Swath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not while the wish is pending, an attempt is there, or the master still drains."""
    monkeypatch.setattr("swath.cli.draining.POLL_S", 0.01)
    drained = {"mode": "DRAINED", "deactivated": True}
    has_agent(
        api,
        BUSY,
        an_agent(mode="DRAINED", mode_pending=True, drain="DRAINED"),  # of the drain before
        an_agent(attempts=2, drain="DRAINING", **drained),
        an_agent(drain="DRAINING", **drained),
        an_agent(drain="DRAINED", **drained),
    )
    done = swath("agents", "drain", "a1", "--yes", "--wait", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)[0]["drain"] == "DRAINED"
    assert [entry[1] for entry in api.asked].count("/v1/agents/a1") == 5


@pytest.mark.parametrize(
    "end",
    [
        an_agent(mode="DRAINED", mark_gone=True, active=False),
        an_agent(mode="DRAINED", mode_message="501: no operator API"),
    ],
    ids=["gone", "done without the master"],
)
def test_a_drain_may_end_otherwise(api: StandIn, swath: Swath, end: dict[str, Any]) -> None:
    """With the agent gone, or emptied although the master would not."""
    has_agent(api, BUSY, end)
    assert swath("agents", "drain", "a1", "--yes", "--wait").exit_code == 0


def test_waiting_for_a_drain_no_longer_than_asked_ends_with_9(api: StandIn, swath: Swath) -> None:
    """The drain goes on, and the message says so."""
    has_agent(api, BUSY, an_agent(attempts=3, mode="DRAINED", drain="DRAINING"))
    done = swath("agents", "drain", "a1", "--yes", "--wait", "--timeout", "0")
    assert done.exit_code == 9
    assert "it goes on" in done.stderr


def test_a_drain_that_somebody_takes_back_is_no_longer_waited_for(api: StandIn, swath: Swath) -> None:
    """4, and who waits is told."""
    has_agent(api, BUSY, an_agent(attempts=3, mode="ACTIVE"))
    done = swath("agents", "drain", "a1", "--yes", "--wait")
    assert done.exit_code == 4
    assert "is to be ACTIVE now" in done.stderr


def test_ctrl_c_while_waiting_leaves_the_drain_going(
    api: StandIn, swath: Swath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """130, and no undrain."""

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("swath.cli.draining.time.sleep", interrupt)
    has_agent(api, BUSY, an_agent(attempts=3, mode="DRAINED", drain="DRAINING"))
    done = swath("agents", "drain", "a1", "--yes", "--wait")
    assert done.exit_code == 130
    assert "swath agents undrain" in done.stderr
    assert len(changes(api)) == 1


def test_a_scheduler_that_is_away_is_told(api: StandIn, swath: Swath) -> None:
    """The wish is taken down all the same."""
    has_agent(api, BUSY)
    api.answer("GET", "/v1/scheduler", a_scheduler(health="is not connected to a master", connected=False))
    done = swath("agents", "cordon", "a1")
    assert done.exit_code == 0
    assert "the scheduler is not connected to a master" in done.stderr
    assert len(changes(api)) == 1


def test_the_status_says_what_is_there_and_what_is_to_be_done(api: StandIn, swath: Swath) -> None:
    """Health, numbers, a wish that waits, and the end of a framework."""
    wish = {"desire": "TEARDOWN", "pending": True, "user": "ada", "at": "2026-01-01T00:00:00Z"}
    api.answer("GET", "/v1/scheduler", a_scheduler(wish=wish))
    shown = swath("scheduler", "status").stdout
    for words in ("ok", "f-1", "3 running attempts of 2 jobs on 1 agent", "TEARDOWN, asked by ada", "0.1 cpus"):
        assert words in shown
    api.answer("GET", "/v1/scheduler", a_scheduler(torn_down=True, wish=wish | {"pending": False}))
    shown = swath("scheduler", "status").stdout
    assert "nothing runs until `swath scheduler reset-framework`" in shown
    assert "TEARDOWN" not in shown


@pytest.mark.parametrize("command", ["teardown", "reset-framework"])
def test_m04_the_framework_that_was_shown_is_the_one_that_ends(api: StandIn, swath: Swath, command: str) -> None:
    """Its id goes with the request; the numbers of what dies are said before."""
    has_agent(api, BUSY)
    api.answer("POST", f"/v1/scheduler/{command}", {}, 202)
    done = swath("scheduler", command, "--yes")
    assert done.exit_code == 0
    assert changes(api) == [("POST", f"/v1/scheduler/{command}", {"framework_id": "f-1"})]
    assert "3 running attempts of 2 jobs on 1 agent" in done.stderr
    assert ("reset-framework --yes" in done.stderr) == (command == "teardown")


def test_a_framework_that_is_another_by_now_is_not_ended(api: StandIn, swath: Swath) -> None:
    """4, in the API's words."""
    has_agent(api, BUSY)
    api.refuse("POST", "/v1/scheduler/teardown", 409, "conflict", "the framework is f-2 now, not f-1")
    done = swath("scheduler", "teardown", "--yes")
    assert done.exit_code == 4
    assert "f-2 now" in done.stderr


def test_m23_a_task_is_shown_with_every_attempt(api: StandIn, swath: Swath) -> None:
    """The one that fell silent with its time, and the one that took its place."""
    api.answer("GET", f"/v1/jobs/{JOB_ID}/tasks/0", a_task(0, "ACTIVE", attempts=2))
    silent = {"unreachable_at": "2026-01-01T00:05:00Z", "cause": "LOST", "message": "not heard of for 300 s"}
    lost = an_attempt(1, "LOST", ended_at="2026-01-01T00:10:00Z", **silent)
    api.answer("GET", f"/v1/jobs/{JOB_ID}/tasks/0/attempts", {"items": [lost, an_attempt(2, "RUNNING")]})
    first, second = swath("show", JOB_ID, "0").stdout.splitlines()[-2:]
    for words in ("1", "LOST", "node-1", "2026-01-01T00:05:00Z", "not heard of for 300 s"):
        assert words in first
    assert "RUNNING" in second


def test_m23_the_history_of_a_task_tells_of_partitions(api: StandIn, swath: Swath) -> None:
    """Launched, silent, replaced, back and killed: with times, and the attempts by number."""
    told: list[tuple[str, dict[str, Any]]] = [
        ("task.state", {"task": 0, "state": "ACTIVE", "attempt": "attempt-1", "agent": "node-1"}),
        ("attempt.state", {"task": 0, "state": "UNREACHABLE", "attempt": "attempt-1"}),
        (
            "task.state",
            {
                "task": 0,
                "state": "PENDING",
                "attempt": "attempt-1",
                "attempt_state": "LOST",
                "cause": "LOST",
                "exit_code": None,
                "message": "not heard of for 300 s",
            },
        ),
        ("task.state", {"task": 0, "state": "ACTIVE", "attempt": "attempt-2", "agent": "node-2"}),
        ("attempt.returned", {"task": 0, "attempt": "attempt-1", "observation": "RUNNING"}),
        ("attempt.ended_late", {"task": 0, "attempt": "attempt-1", "observation": "KILLED"}),
        ("job.state", {"state": "SUCCEEDED"}),
    ]
    events = [
        {"id": number, "job": JOB_ID, "at": f"2026-01-01T00:0{number}:00Z", "kind": kind, "data": data}
        for number, (kind, data) in enumerate(told)
    ]
    api.answer("GET", f"/v1/jobs/{JOB_ID}/events", "".join(f"event: e\ndata: {json.dumps(e)}\n\n" for e in events))
    attempts = [an_attempt(1, "LOST"), an_attempt(2, "RUNNING")]
    api.answer("GET", f"/v1/jobs/{JOB_ID}/tasks/0/attempts", {"items": attempts})
    lines = [" ".join(line.split()) for line in swath("history", JOB_ID, "0").stdout.splitlines()[1:]]
    assert lines == [
        "2026-01-01T00:00:00Z 0 1 node-1 launched",
        "2026-01-01T00:01:00Z 0 1 node-1 UNREACHABLE",
        "2026-01-01T00:02:00Z 0 1 node-1 LOST; the task is PENDING LOST: not heard of for 300 s",
        "2026-01-01T00:03:00Z 0 2 node-2 launched",
        "2026-01-01T00:04:00Z 0 1 node-1 came back RUNNING; it is killed, for it was replaced",
        "2026-01-01T00:05:00Z 0 1 node-1 ended KILLED after it was replaced",
        "2026-01-01T00:06:00Z - - - the job is SUCCEEDED",
    ]
    assert "task=0" in api.asked[0][1]
    assert json.loads(swath("events", JOB_ID, "--task", "0", "--json").stdout) == events
    assert "task=0" in api.asked[-1][1]
    assert swath("events", "--task", "0").exit_code == 2
    assert json.loads(swath("history", JOB_ID, "0", "--json").stdout) == events


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1.5h", 5400), ("2d", 172_800), ("0", 0)]
)
def test_durations_are_read_in_the_units_of_people(text: str, seconds: float) -> None:
    """Seconds where no unit is given."""
    assert parse_duration(text, "--max-grace") == seconds


def test_the_drain_of_a_silent_cluster_ends_with_5(swath: Swath, monkeypatch: pytest.MonkeyPatch) -> None:
    """As every other command."""
    monkeypatch.setenv("SWATH_URL", "http://127.0.0.1:1")
    assert swath("agents", "drain", "a1", "--yes").exit_code == 5
    assert swath("scheduler", "status").exit_code == 5

"""Each kind of fault, injected into a running `local`: the real driver comes back, and no task is lost sight of."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.fault_plan import draw_plan
from swath.wire import calls
from swath.wire.channel import Outcome

from .conftest import ROOT, LocalProcess
from .framework import Framework

QUICK = ("--allocation-interval", "0.1", "--heartbeat-interval", "0.2", "--agent-ping-timeout", "0.3")
AGENT = ("--cpus", "4", "--mem", "2048", "--disk", "4096")

Start = Callable[..., Framework]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """start(*faults) -> a framework on a `local` into which these are injected, everything ended with the test."""
    opened: list[tuple[LocalProcess, Framework]] = []

    def start(*faults: dict[str, Any]) -> Framework:
        plan = tmp_path / "plan.json"
        plan.write_text(json.dumps([{"at_s": 0.0, **fault} for fault in faults]))
        process = LocalProcess(tmp_path / "work", *AGENT, *QUICK, "--faults", str(plan))
        opened.append((process, Framework(process.port)))
        return opened[-1][1]

    yield start
    for process, framework in opened:
        framework.close()
        if process.process.poll() is None:
            process.stop()
        if framework.tasks:
            process.end_executors()


SPOILT = {
    "cut": ({"fault": "cut"}, "broke off"),
    "half open": ({"fault": "half_open", "for_s": 60}, "nothing was heard for too long"),
    "garbage": ({"fault": "garbage"}, "RecordIO"),
    "no heartbeats": ({"fault": "drop", "event": "HEARTBEAT", "count": 8}, "nothing was heard for too long"),
    "failover": ({"fault": "master_failover", "agents_after_s": 0.2}, "broke off"),
}


@pytest.mark.parametrize(("fault", "reason"), SPOILT.values(), ids=SPOILT)
def test_m10_a_stream_that_is_spoilt_is_replaced(start: Start, fault: dict[str, Any], reason: str):
    """The loss has its reason, the framework keeps its id, a task that runs is known again, and offers come."""
    framework = start({"at_s": 2, **fault})
    framework.launch("before")
    framework.wait_for_status("before", "TASK_RUNNING")
    assert reason in framework.wait_for_another_subscription()
    framework.wait_for_status("before", "TASK_RUNNING", after=framework.last("SUBSCRIBED"))
    framework.launch("after", run=0)
    framework.wait_for_status("after", "TASK_FINISHED")


def test_m10_a_stream_without_its_subscribed_is_replaced(start: Start):
    """No call could be made on it."""
    framework = start({"fault": "drop", "event": "SUBSCRIBED"})
    assert "began with HEARTBEAT instead of SUBSCRIBED" in framework.wait_for_kind("DISCONNECTED")["reason"]
    framework.wait_for_kind("SUBSCRIBED")
    assert framework.driver.call(calls.make_revive()).is_sent


@pytest.mark.parametrize("status", [400, 429, 500, 503])
def test_m10_refused_subscribes_are_waited_out(start: Start, status: int):
    """Whatever the status says."""
    framework = start({"fault": "refuse", "call": "SUBSCRIBE", "status": status, "count": 3})
    framework.wait_for_kind("SUBSCRIBED")


def test_m10_a_redirect_loop_is_waited_out(start: Start):
    """The master names itself for a second."""
    framework = start({"fault": "redirect_loop", "for_s": 1.0})
    framework.wait_for_kind("SUBSCRIBED")


def test_m05_an_error_is_heard_and_ends_the_stream(start: Start):
    """Then the driver waits long: whoever decides has the time to stop it."""
    framework = start({"at_s": 1, "fault": "error", "message": "Framework failed over"})
    assert framework.wait_for_kind("ERROR")["error"]["message"] == "Framework failed over"
    framework.wait_for_kind("DISCONNECTED")
    framework.driver.resubscribe()
    framework.wait_for_kind("SUBSCRIBED", after=framework.last("DISCONNECTED"))


def test_a_refused_call_has_failed_and_a_redirected_one_finds_the_master_again(start: Start):
    """503 is FAILED with its status; 307 means that another master leads."""
    framework = start(
        {"fault": "refuse", "call": "REVIVE", "status": 503}, {"at_s": 1, "fault": "redirect_loop", "for_s": 0.5}
    )
    framework.wait_for_kind("SUBSCRIBED")
    result = framework.driver.call(calls.make_revive())
    assert (result.outcome, result.status) == (Outcome.FAILED, 503)
    assert framework.driver.connected
    while framework.driver.call(calls.make_revive()).status != 307:
        framework.events_pass()
    assert "another master leads" in framework.wait_for_another_subscription()


def test_m36_a_lost_kill_is_answered_like_any_and_helps_by_repetition(start: Start):
    """202 says nothing of what becomes of it."""
    framework = start({"fault": "lose_call", "call": "KILL"})
    framework.launch("t1")
    framework.wait_for_status("t1", "TASK_RUNNING")
    assert framework.kill("t1").is_sent
    framework.events_pass()
    assert framework.states_of("t1") == ["TASK_RUNNING"]
    assert framework.kill("t1").is_sent
    framework.wait_for_status("t1", "TASK_KILLED")


@pytest.mark.parametrize(
    "lost", [{"fault": "drop", "event": "UPDATE"}, {"fault": "lose_update"}], ids=["stream", "agent"]
)
def test_m20_a_lost_update_comes_again_with_the_next_subscription(start: Start, lost: dict[str, Any]):
    """It was not acknowledged, on whichever part of its way it got lost."""
    framework = start(lost, {"at_s": 3, "fault": "cut"})
    framework.launch("t1", run=0)
    framework.wait_for_another_subscription()
    framework.wait_for_status("t1", "TASK_FINISHED")
    assert framework.states_of("t1")[-2:] == ["TASK_RUNNING", "TASK_FINISHED"]


@pytest.mark.parametrize("twice", ["duplicate", "repeat_update"])
def test_m21_an_update_may_come_twice(start: Start, twice: str):
    """With one uuid; both acknowledgements are taken, and the next update comes."""
    framework = start({"fault": twice, **({"event": "UPDATE"} if twice == "duplicate" else {})})
    framework.launch("t1", run=0)
    framework.wait_for_status("t1", "TASK_FINISHED")
    assert framework.states_of("t1") == ["TASK_RUNNING", "TASK_RUNNING", "TASK_FINISHED"]


def test_events_are_delayed_and_overtaken(start: Start):
    """The heartbeat behind SUBSCRIBED is late, and so is all behind it; the offers are overtaken by another."""
    framework = start(
        {"fault": "delay", "event": "HEARTBEAT", "for_s": 0.4}, {"fault": "reorder", "event": "OFFERS", "count": 1}
    )
    framework.wait_for_kind("OFFERS")
    kinds = [event["type"] for event in framework.events]
    assert kinds[0] == "SUBSCRIBED"
    assert kinds.index("OFFERS") > kinds.index("HEARTBEAT") + 1


def test_m23_an_agent_may_become_unreachable_and_come_back(start: Start):
    """Its task is UNREACHABLE after the ping time-out, and runs all the while."""
    framework = start({"at_s": 2, "fault": "agent_unreachable", "for_s": 1.5})
    framework.launch("t1")
    framework.wait_for_status("t1", "TASK_RUNNING")
    framework.wait_for_status("t1", "TASK_UNREACHABLE")
    framework.wait_for_status("t1", "TASK_RUNNING", after=framework.last("UPDATE"))
    assert framework.kill("t1").is_sent
    framework.wait_for_status("t1", "TASK_KILLED")


def test_m23_an_agent_may_be_gone_for_good(start: Start):
    """Its executor with it: nothing is heard of the task but UNREACHABLE, and no offer comes any more."""
    framework = start({"at_s": 2, "fault": "agent_gone"})
    framework.launch("t1")
    framework.wait_for_status("t1", "TASK_RUNNING")
    framework.wait_for_status("t1", "TASK_UNREACHABLE")
    before = len(framework.events)
    framework.events_pass()
    assert "OFFERS" not in [event["type"] for event in framework.events[before:]]


def test_m03_a_restarted_agent_has_its_tasks_still(start: Start):
    """Executors outlive it and find it again; the end of the task arrives."""
    framework = start({"at_s": 2, "fault": "agent_restart", "down_s": 0.5})
    framework.launch("t1", run=4)
    framework.wait_for_status("t1", "TASK_RUNNING")
    framework.wait_for_status("t1", "TASK_FINISHED")
    framework.launch("t2", run=0)
    framework.wait_for_status("t2", "TASK_FINISHED")


def test_an_executor_that_crashes_ends_its_tasks(start: Start):
    """FAILURE with SIGKILL's status, then TASK_FAILED."""
    framework = start({"at_s": 3, "fault": "executor_crash"})
    framework.launch("t1")
    framework.wait_for_status("t1", "TASK_RUNNING")
    assert framework.wait_for_kind("FAILURE")["failure"]["status"] == 9
    framework.wait_for_status("t1", "TASK_FAILED")


def test_a_clock_that_jumps_ends_filters_and_nothing_else(start: Start):
    """An hour's filter is over at once; the stream and its heartbeats go on."""
    framework = start({"at_s": 2, "fault": "clock_jump", "by_s": 4000})
    offer = framework.wait_for_kind("OFFERS")["offers"]["offers"][0]
    framework.driver.call(calls.make_decline([offer["id"]["value"]], 3600))
    framework.wait_for_kind("OFFERS", after=len(framework.events))
    framework.wait_for_kind("HEARTBEAT", after=len(framework.events))
    assert "DISCONNECTED" not in [event["type"] for event in framework.events]


def run_local(tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "local", "--port", "0", "--agent-port", "0", "--work-dir", str(tmp_path / "w")]
    return subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_a_bad_plan_is_refused_with_its_reasons(tmp_path: Path):
    """Before anything is served; a file that is none as well, and two plans at once."""
    plan = tmp_path / "plan.json"
    plan.write_text('[{"at_s": 1, "fault": "drip"}, {"at_s": 1, "fault": "agent_gone", "agent": 1}]')
    ended = run_local(tmp_path, "--faults", str(plan))
    assert ended.returncode == 1
    assert "fault 0: there is no fault 'drip'" in ended.stderr
    assert "fault 1: there is no agent 1; there are 1" in ended.stderr
    assert "No such file" in run_local(tmp_path, "--faults", str(tmp_path / "none")).stderr
    assert "exclude each other" in run_local(tmp_path, "--faults", str(plan), "--fault-seed", "1").stderr


def test_a_seed_is_written_down_as_the_plan_that_it_draws(tmp_path: Path):
    """To be replayed, or changed, by --faults."""
    process = LocalProcess(tmp_path / "work", *AGENT, "--fault-seed", "7")
    try:
        written = json.loads((tmp_path / "work" / "faults.json").read_text())
        assert written == [fault.to_json() for fault in draw_plan(7)]
    finally:
        process.stop()

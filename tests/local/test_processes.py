"""`local` as a process, with real executors: launching, updates, kill -9 and recovery."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from local.processes import is_alive, read_mark

from .conftest import LocalProcess
from .scheduler_client import SchedulerClient, make_executor, make_task, request


def pid_of(status: dict) -> int:
    return status["container_status"]["executor_pid"]


def wait_until_dead(pid: int) -> None:
    deadline = time.monotonic() + 10
    while read_mark(pid) is not None:
        assert time.monotonic() < deadline, f"{pid} lives on"
        time.sleep(0.02)


def wait_until_written(local: LocalProcess, words: str) -> None:
    """Until an executor's stdout has the words."""
    stdout = next(local.work_dir.glob("agent-0/slaves/*/frameworks/*/executors/ex/runs/latest/stdout"))
    deadline = time.monotonic() + 10
    while words not in stdout.read_text():
        assert time.monotonic() < deadline, f"not written: {words}"
        time.sleep(0.02)


def test_a_task_runs_from_offer_to_finished(local: LocalProcess) -> None:
    """The executor is started in its sandbox, and its updates reach the scheduler in order."""
    scheduler = SchedulerClient(local.port)
    offer = scheduler.wait_for_offer()
    agent_id = offer["agent_id"]["value"]
    status, text = scheduler.launch(offer, make_task("t1", agent_id, make_executor(), run=0.05))
    assert (status, text) == (202, "")
    finished = scheduler.wait_for_status("t1", "TASK_FINISHED")
    assert finished["source"] == "SOURCE_EXECUTOR"
    assert scheduler.states_of("t1") == ["TASK_RUNNING", "TASK_FINISHED"]
    runs = next(local.work_dir.glob(f"agent-0/slaves/{agent_id}/frameworks/*/executors/ex/runs"))
    container = finished["container_status"]["container_id"]["value"]
    assert sorted(path.name for path in runs.iterdir()) == sorted([container, "latest"])
    assert (runs / "latest").resolve() == (runs / container).resolve()
    assert "launched t1" in (runs / "latest" / "stdout").read_text()
    assert (runs / "latest" / "stderr").read_text() == "started\n"
    scheduler.close()


def test_messages_go_both_ways_and_killed_tasks_end(local: LocalProcess) -> None:
    """MESSAGE to and from the executor, KILL, and a freed executor's resources in a later offer."""
    scheduler = SchedulerClient(local.port)
    offer = scheduler.wait_for_offer()
    scheduler.launch(offer, make_task("t1", offer["agent_id"]["value"], make_executor()))
    scheduler.wait_for_status("t1", "TASK_RUNNING")
    scheduler.send_message(offer, "ex", cmd="echo", x="ping")
    scheduler.wait_for(lambda e: e["type"] == "MESSAGE")
    scheduler.call("KILL", kill={"task_id": {"value": "t1"}, "agent_id": offer["agent_id"]})
    scheduler.wait_for_status("t1", "TASK_KILLED")
    scheduler.close()


def test_failure_comes_before_the_failed_tasks_of_a_dead_executor(local: LocalProcess) -> None:
    """exit(3) is FAILURE 768, then TASK_FAILED for running and silent tasks; what it had started is gone as well."""
    scheduler = SchedulerClient(local.port)
    offer = scheduler.wait_for_offer()
    agent_id, executor = offer["agent_id"]["value"], make_executor()
    executor["command"]["value"] = "sleep 1000 & echo $! > child; " + executor["command"]["value"]
    tasks = [make_task("a", agent_id, executor), make_task("b", agent_id, executor, silent=True)]
    scheduler.launch(offer, *tasks)
    scheduler.wait_for_status("a", "TASK_RUNNING")
    child = int(next(local.work_dir.glob("agent-0/slaves/*/frameworks/*/executors/ex/runs/latest/child")).read_text())
    before = len(scheduler.events)
    scheduler.send_message(offer, "ex", cmd="exit", status=3)
    failed = scheduler.wait_for_status("b", "TASK_FAILED")
    assert failed["reason"] == "REASON_EXECUTOR_TERMINATED"
    wait_until_dead(child)
    kinds = [e["type"] for e in scheduler.events[before:] if e["type"] in ("FAILURE", "UPDATE")]
    assert kinds == ["FAILURE", "UPDATE", "UPDATE"]
    assert scheduler.wait_for(lambda e: e["type"] == "FAILURE")["failure"]["status"] == 768
    scheduler.close()


def test_an_executor_that_ignores_shutdown_is_killed_after_its_grace_period(local: LocalProcess) -> None:
    """SIGKILL, status 9, and no SIGTERM before."""
    scheduler = SchedulerClient(local.port)
    offer = scheduler.wait_for_offer()
    executor = make_executor(STUB_DEAF="1") | {"shutdown_grace_period": {"nanoseconds": 200_000_000}}
    scheduler.launch(offer, make_task("a", offer["agent_id"]["value"], executor))
    scheduler.wait_for_status("a", "TASK_RUNNING")
    scheduler.call("SHUTDOWN", shutdown={"executor_id": {"value": "ex"}, "agent_id": offer["agent_id"]})
    assert scheduler.wait_for(lambda e: e["type"] == "FAILURE")["failure"]["status"] == 9
    scheduler.wait_for_status("a", "TASK_FAILED")
    scheduler.close()


def test_a_kill_9_of_local_loses_nothing(local: LocalProcess) -> None:
    """Executors live on, end tasks meanwhile, and come back; unacknowledged and new updates arrive; ids stay."""
    scheduler = SchedulerClient(local.port, acknowledge=False)
    offer = scheduler.wait_for_offer()
    agent_id, executor, end = offer["agent_id"]["value"], make_executor(), local.work_dir / "end"
    tasks = [
        make_task("stays", agent_id, executor),
        make_task("ends", agent_id, executor, until=str(end)),
        make_task("silent", agent_id, executor, silent=True),
    ]
    scheduler.launch(offer, *tasks)
    running = scheduler.wait_for_status("stays", "TASK_RUNNING")
    scheduler.send_acknowledgement(running)
    unacknowledged = scheduler.wait_for_status("ends", "TASK_RUNNING")
    local.stop(signal.SIGKILL)
    scheduler.ended.wait(5)
    end.touch()
    wait_until_written(local, "ended ends")  # while nobody hears it
    assert read_mark(pid_of(running)) is not None
    local.start()
    again = SchedulerClient(local.port, framework_id=scheduler.framework_id)
    assert again.framework_id == scheduler.framework_id
    repeated = again.wait_for_status("ends", "TASK_RUNNING")
    assert repeated["uuid"] == unacknowledged["uuid"]
    again.wait_for_status("ends", "TASK_FINISHED")
    reconcile = [{"task_id": {"value": t}, "agent_id": {"value": agent_id}} for t in ("stays", "silent")]
    before = len(again.events)
    again.call("RECONCILE", reconcile={"tasks": reconcile})
    again.wait_for_status("stays", "TASK_RUNNING", after=before)
    again.wait_for_status("silent", "TASK_STAGING", after=before)
    again.call("KILL", kill={"task_id": {"value": "stays"}, "agent_id": {"value": agent_id}})
    again.wait_for_status("stays", "TASK_KILLED")
    agents = json.loads(request(local.port, "POST", "/api/v1", {"type": "GET_AGENTS"})[2])["get_agents"]["agents"]
    assert [agent["agent_info"]["id"]["value"] for agent in agents] == [agent_id]
    again.close()
    scheduler.close()


def test_an_executor_that_died_while_local_was_down_is_reported(local: LocalProcess) -> None:
    """TASK_FAILED without FAILURE (surprise 10); also when neither is our child any more."""
    scheduler = SchedulerClient(local.port)
    offer = scheduler.wait_for_offer()
    agent_id = offer["agent_id"]["value"]
    scheduler.launch(offer, *(make_task(n, agent_id, make_executor(f"ex-{n}")) for n in ("a", "b")))
    first = scheduler.wait_for_status("a", "TASK_RUNNING")
    second = scheduler.wait_for_status("b", "TASK_RUNNING")
    local.stop(signal.SIGKILL)
    os.kill(pid_of(first), signal.SIGKILL)
    wait_until_dead(pid_of(first))
    local.start()
    again = SchedulerClient(local.port, framework_id=scheduler.framework_id)
    again.wait_for_status("a", "TASK_FAILED")
    assert not [e for e in again.events if e["type"] == "FAILURE"]
    again.wait_for_offer()
    os.kill(pid_of(second), signal.SIGKILL)
    again.wait_for_status("b", "TASK_FAILED")
    assert again.wait_for(lambda e: e["type"] == "FAILURE")["failure"]["status"] == -1
    again.close()
    scheduler.close()


def test_an_executor_whose_pid_was_not_written_down_is_found_again(local: LocalProcess) -> None:
    """A kill -9 between the start of an executor and the record of its pid: it is known by its sandbox."""
    scheduler = SchedulerClient(local.port)
    offer = scheduler.wait_for_offer()
    scheduler.launch(offer, make_task("a", offer["agent_id"]["value"], make_executor()))
    running = scheduler.wait_for_status("a", "TASK_RUNNING")
    local.stop(signal.SIGKILL)
    journal = local.work_dir / "agent-0" / "meta" / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if '"k":"forked"' not in line) + '{"k":"upd')  # and a cut line
    local.start()
    again = SchedulerClient(local.port, framework_id=scheduler.framework_id)
    again.wait_for_offer()  # the agent is registered: only then does it tell of an executor's end
    os.kill(pid_of(running), signal.SIGKILL)
    again.wait_for(lambda e: e["type"] == "FAILURE")
    again.wait_for_status("a", "TASK_FAILED")
    again.close()
    scheduler.close()


def test_end_executors_ends_them_and_their_groups(local: LocalProcess) -> None:
    """After SIGTERM the executors run on; --end-executors ends them, and the next `local` says that they failed."""
    scheduler = SchedulerClient(local.port)
    offer = scheduler.wait_for_offer()
    scheduler.launch(offer, make_task("a", offer["agent_id"]["value"], make_executor()))
    pid = pid_of(scheduler.wait_for_status("a", "TASK_RUNNING"))
    mark = read_mark(pid)
    local.stop()
    assert local.process.returncode == 0
    assert mark is not None
    assert is_alive(pid, mark)
    local.end_executors()
    assert not is_alive(pid, mark)
    local.start()
    again = SchedulerClient(local.port, framework_id=scheduler.framework_id)
    again.wait_for_status("a", "TASK_FAILED")
    again.close()
    scheduler.close()


def test_a_work_directory_serves_one_local_only(local: LocalProcess, tmp_path: Path) -> None:
    """A second one on the same directory refuses to start, and to end what the first one runs."""
    from local.__main__ import main

    assert main(["--port", "0", "--agent-port", "0", "--work-dir", str(local.work_dir)]) == 1
    assert main(["--end-executors", "--work-dir", str(local.work_dir)]) == 1


def test_an_operator_drains_an_agent_over_http(local: LocalProcess) -> None:
    """The task is told to end, GET_AGENTS says so, and the agent is offered again once it is reactivated."""
    scheduler = SchedulerClient(local.port)
    offer = scheduler.wait_for_offer()
    scheduler.launch(offer, make_task("t", offer["agent_id"]["value"], make_executor()))
    scheduler.wait_for_status("t", "TASK_RUNNING")

    def operate(kind: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        status, _, answer = request(local.port, "POST", "/api/v1", {"type": kind, kind.lower(): body})
        return status, json.loads(answer or b"{}")

    body = {"agent_id": offer["agent_id"]}
    assert operate("DRAIN_AGENT", body) == (200, {})
    assert scheduler.wait_for_status("t", "TASK_KILLED")["reason"] == "REASON_AGENT_DRAINING"
    agent = operate("GET_AGENTS", {})[1]["get_agents"]["agents"][0]
    assert (agent["active"], agent["deactivated"], agent["drain_info"]["config"]) == (False, True, {"mark_gone": False})
    seen = len(scheduler.events)
    assert operate("REACTIVATE_AGENT", body) == (200, {})
    scheduler.wait_for_offer(after=seen)
    scheduler.close()


def test_an_executor_that_asks_for_a_container_is_not_started_without(local: LocalProcess) -> None:
    """As if Docker had refused: FAILURE with -1, and TASK_FAILED that says why."""
    scheduler = SchedulerClient(local.port)
    offer = scheduler.wait_for_offer()
    container = {"container": {"type": "DOCKER", "docker": {"image": "base:local"}}}
    scheduler.launch(offer, make_task("t", offer["agent_id"]["value"], make_executor() | container))
    status = scheduler.wait_for_status("t", "TASK_FAILED")
    assert status["reason"] == "REASON_CONTAINER_LAUNCH_FAILED"
    assert status["message"].endswith("local runs executors as processes, and never in containers")
    assert scheduler.wait_for(lambda e: e["type"] == "FAILURE")["failure"]["status"] == -1
    scheduler.close()

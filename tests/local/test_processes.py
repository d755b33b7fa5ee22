"""`local` as a process, with real executors: launching, updates, restarts."""

from __future__ import annotations

from .conftest import LocalProcess
from .scheduler_client import SchedulerClient, make_executor, make_task


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
    scheduler.close()

"""Simulated agents: real ones, whose tasks run and succeed without any process."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from local.__main__ import make_parser
from local.agent_state import AgentSettings, AgentState
from local.messages import Started, StartProcess
from local.settings import Settings, check
from local.simulated import SimulatedAgent
from swath.domain.attempts import AttemptReport

from .cluster import RESOURCES
from .scheduler_client import make_executor
from .world import World

TASK_S = 5.0


class Simulation(World):
    """A world in which nobody plays executor."""

    def _start_agent(self, agent_id: str, state: AgentState) -> None:
        settings = AgentSettings(
            info={"hostname": "simulated-0", "port": 5050, "resources": RESOURCES},
            port=5050,
            work_dir="/work-dir",
            make_uuid=self.make_uuid,
            make_update_uuid=lambda: base64.b64encode(self.make_uuid().encode().ljust(16)).decode(),
        )
        self.journals[agent_id] = []
        self.agents[agent_id] = SimulatedAgent(settings=settings, state=state, task_s=TASK_S)
        self.feed(self.agents[agent_id], Started(alive=frozenset()))


@pytest.fixture
def world() -> Simulation:
    """Subscribed, and two tasks launched at 1 s."""
    world = Simulation()
    world.subscribe().at(1)
    world.launch_tasks("t1", "t2")
    return world


def report_of(status: dict[str, Any]) -> AttemptReport:
    return AttemptReport.from_json(base64.b64decode(status["data"]))


def test_a_simulated_task_runs_at_once_and_finishes_after_its_time(world: Simulation) -> None:
    """RUNNING in the moment of the launch, FINISHED five seconds later, not before."""
    assert world.told() == ["SUBSCRIBED", "t1 TASK_RUNNING", "t2 TASK_RUNNING"]
    for status in world.statuses:
        world.acknowledge(status)
    world.at(1 + TASK_S - 0.1)
    assert len(world.statuses) == 2
    world.at(1 + TASK_S)
    assert world.told()[3:] == ["t1 TASK_FINISHED", "t2 TASK_FINISHED"]


def test_the_end_of_a_simulated_task_waits_for_the_acknowledgement_of_its_start(world: Simulation) -> None:
    """Surprise 13: updates of one task are sent one at a time; t2's start is repeated meanwhile."""
    world.acknowledge(world.statuses[0])
    world.at(1 + TASK_S)
    assert world.told()[3:] == ["t1 TASK_FINISHED"]
    world.at(12)
    assert world.told()[4:] == ["t2 TASK_RUNNING"]


def test_the_report_of_a_simulated_task_is_a_whole_one(world: Simulation) -> None:
    """The scheduler reads it as it reads any executor's: exit code, times, no outputs."""
    world.acknowledge(world.statuses[0])
    world.at(1 + TASK_S)
    report = report_of(world.statuses[2])
    assert (report.runtime, report.exit_code, report.outputs) == ("simulated", 0, [])
    assert report.usage == {"wall_s": TASK_S}
    assert report.started_at is not None
    assert report.ended_at is not None


def test_a_simulated_task_can_be_killed(world: Simulation) -> None:
    """KILLED at once, and no FINISHED at its time."""
    for status in world.statuses:
        world.acknowledge(status)
    world.call("KILL", kill={"task_id": {"value": "t1"}})
    world.at(1 + TASK_S)
    assert world.told()[3:] == ["t1 TASK_KILLED", "t2 TASK_FINISHED"]


def test_a_simulated_executor_can_be_shut_down_and_starts_again(world: Simulation) -> None:
    """Its tasks end with it, once; the next launch finds another executor."""
    for status in world.statuses:
        world.acknowledge(status)
    agent_id = world.offers[0]["agent_id"]["value"]
    world.call("SHUTDOWN", shutdown={"executor_id": {"value": "ex"}, "agent_id": {"value": agent_id}})
    assert world.told()[3:] == ["FAILURE", "t1 TASK_FAILED", "t2 TASK_FAILED"]
    for status in world.statuses[2:]:
        world.acknowledge(status)
    world.at(20)
    assert world.told()[6:] == []
    world.launch_tasks("t3", executor=make_executor())
    assert world.told()[6:] == ["t3 TASK_RUNNING"]


def test_a_simulated_task_is_reconciled_like_any_other(world: Simulation) -> None:
    """RUNNING while it runs, unknown to the agent once its end is acknowledged."""
    for status in world.statuses:
        world.acknowledge(status)
    ask = {"task_id": {"value": "t1"}, "agent_id": {"value": "M-S0"}}
    world.call("RECONCILE", reconcile={"tasks": [ask]})
    assert world.told()[3:] == ["t1 TASK_RUNNING"]
    world.at(1 + TASK_S)
    world.acknowledge(world.statuses[3])
    world.call("RECONCILE", reconcile={"tasks": [ask]})
    assert world.told()[-1] == "t1 TASK_GONE"


def test_nothing_of_a_simulated_agent_needs_a_process_or_a_file(world: Simulation) -> None:
    """No executor is started, no line is written."""
    assert not [effect for effect in world.started if isinstance(effect, StartProcess)]
    assert world.journals == {"M-S0": []}


def test_there_may_be_simulated_agents_only() -> None:
    """Without any agent there is nothing to serve."""
    assert not check(Settings(agents=0, simulated_agents=3))
    assert check(Settings(agents=0))
    assert check(Settings(agents=1, simulated_agents=-1))
    assert check(Settings(task_s=-1))
    given = make_parser().parse_args(["--simulated-agents", "3", "--task-seconds", "0.5"])
    assert (given.simulated_agents, given.task_seconds) == (3, 0.5)

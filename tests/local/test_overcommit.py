"""Safety of the allocator, whatever schedulers and executors do."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from local.resources import EMPTY, from_wire, sum_bundles

from .scheduler_client import make_executor, make_task
from .world import World

AGENTS = ("M-S0", "M-S1")


class Cluster(RuleBasedStateMachine):
    """Random launches, updates, deaths, disconnects and restarts on two agents."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(agents=2).subscribe()
        self.time = 0.0
        self.names = 0
        self.ended: set[str] = set()

    def open_offers(self) -> list[dict[str, Any]]:
        return [o for o in self.world.offers if o["id"]["value"] in self.world.master.state.offers]

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 12.0]))
    def time_passes(self, seconds: float) -> None:
        self.time += seconds
        self.world.at(self.time)

    @precondition(lambda self: self.open_offers())
    @rule(
        data=st.data(),
        cpus=st.sampled_from([0.001, 0.3, 1.0, 3.9, 4.0, 64.0]),
        mem=st.sampled_from([1, 32, 1000, 2048]),
        count=st.integers(1, 3),
        executor=st.sampled_from(["ex", "ex-2"]),
        extra=st.booleans(),
    )
    def launch(self, data: Any, cpus: float, mem: float, count: int, executor: str, extra: bool) -> None:
        offer = data.draw(st.sampled_from(self.open_offers()))
        agent_id = offer["agent_id"]["value"]
        tasks = []
        for _ in range(count):
            self.names += 1
            tasks.append(make_task(f"t{self.names}", agent_id, make_executor(executor), cpus=cpus, mem=mem))
        if extra:
            tasks.append(tasks[0])
        self.world.launch(offer, *tasks)

    @precondition(lambda self: self.open_offers())
    @rule(data=st.data(), refuse_s=st.sampled_from([0.0, 1.0, 20.0]))
    def decline(self, data: Any, refuse_s: float) -> None:
        offer = data.draw(st.sampled_from(self.open_offers()))
        filters = {"refuse_seconds": refuse_s}
        self.world.call("DECLINE", decline={"offer_ids": [offer["id"]], "filters": filters})

    @rule(kind=st.sampled_from(["REVIVE", "SUPPRESS"]))
    def revive_or_suppress(self, kind: str) -> None:
        self.world.call(kind)

    @rule(agent_id=st.sampled_from(AGENTS), data=st.data())
    def an_executor_speaks(self, agent_id: str, data: Any) -> None:
        executors = list(self.world.agents[agent_id].state.executors.values())
        if not executors:
            return
        executor = data.draw(st.sampled_from(executors))
        self.world.executor_call(executor.executor_id, agent_id, {"type": "SUBSCRIBE", "subscribe": {}})
        for task in list(self.world.agents[agent_id].state.tasks_of(executor)):
            state = data.draw(st.sampled_from(["TASK_RUNNING", "TASK_FINISHED", "TASK_FAILED"]))
            self.world.update(task.task_id, state, executor.executor_id, agent_id)

    @rule(agent_id=st.sampled_from(AGENTS), data=st.data())
    def an_executor_dies(self, agent_id: str, data: Any) -> None:
        alive = [s for s in self.world.started if s.container_id in self.world.agents[agent_id].state.executors]
        if alive:
            self.world.end(self.world.started.index(data.draw(st.sampled_from(alive))), 9, agent_id)

    @rule()
    def acknowledge_all(self) -> None:
        for status in self.world.statuses:
            if "uuid" in status:
                self.world.acknowledge(status)

    @rule()
    def the_scheduler_comes_again(self) -> None:
        self.world.disconnect()
        self.world.subscribe(id={"value": self.world.framework_id})

    @invariant()
    def no_agent_is_overcommitted(self) -> None:
        """Used and offered resources, counted one by one, fit into each agent; and so do its executors and tasks."""
        state = self.world.master.state
        for agent in state.agents.values():
            tasks = [t for f in state.frameworks.values() for t in f.tasks.values() if t.agent_id == agent.agent_id]
            used = sum_bundles(
                [e.bundle for e in agent.executors.values()] + [t.bundle for t in tasks if not t.released]
            )
            offered = sum_bundles(o.bundle for o in state.offers.values() if o.agent_id == agent.agent_id)
            assert (used, offered) == (agent.used, agent.offered)
            assert agent.total.contains(used + offered)
            assert all(amount >= 0 for amount in agent.available.scalars.values())

    @invariant()
    def what_runs_at_an_agent_fits_into_it(self) -> None:
        """The agent's own view: every executor with every task that has not ended."""
        for agent in self.world.agents.values():
            total = from_wire(agent.settings.info["resources"])
            held = EMPTY
            for executor in agent.state.executors.values():
                held = held + from_wire(executor.info["resources"])
                for task in agent.state.tasks_of(executor):
                    if task.state in ("TASK_STAGING", "TASK_RUNNING"):
                        held = held + from_wire(task.info["resources"])
            assert total.contains(held)


TestNeverOvercommits = Cluster.TestCase
TestNeverOvercommits.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)

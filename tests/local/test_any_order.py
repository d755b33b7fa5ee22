"""Safety of the master and its agents in every order of partitions, restarts, failovers and operators' calls."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from local.messages import Unregister

from .test_overcommit import AGENTS, Cluster
from .world import Json

MACHINE = {"hostname": "127.0.0.1", "ip": "127.0.0.1"}
WINDOW: Json = {"machine_ids": [MACHINE], "unavailability": {"start": {"nanoseconds": 1}}}
an_agent = st.sampled_from(AGENTS)


class Troubled(Cluster):
    """What test_overcommit.py does, and everything that may go wrong beside it."""

    @initialize(checkpoint=st.booleans(), offer_timeout_s=st.sampled_from([None, 2.0]))
    def begin(self, checkpoint: bool, offer_timeout_s: float | None) -> None:
        self.world.master.state.offer_timeout_s = offer_timeout_s
        self.world.subscribe(id={"value": self.world.framework_id})
        self.world.master.state.frameworks[self.world.framework_id].info["checkpoint"] = checkpoint

    @rule(agent_id=an_agent)
    def a_link_breaks(self, agent_id: str) -> None:
        self.world.part(agent_id)

    @rule(agent_id=an_agent)
    def a_link_breaks_and_nobody_has_noticed(self, agent_id: str) -> None:
        self.world.parted.add(agent_id)

    @rule(agent_id=an_agent)
    def a_link_heals(self, agent_id: str) -> None:
        self.world.heal(agent_id)

    @rule(seconds=st.sampled_from([80.0, 700.0]))
    def much_time_passes(self, seconds: float) -> None:
        self.time += seconds
        self.world.at(self.time)

    @rule(agent_id=an_agent)
    def an_agent_restarts(self, agent_id: str) -> None:
        if self.world.agents[agent_id].state.known_to_master:
            self.world.part(agent_id)
            self.world.parted.discard(agent_id)
            self.world.start_again(agent_id)

    @rule(agent_id=an_agent)
    def an_agent_unregisters(self, agent_id: str) -> None:
        self.world.feed(self.world.agents[agent_id], Unregister())

    @rule(keeps=st.booleans())
    def a_master_fails_over(self, keeps: bool) -> None:
        self.world.fail_over()
        if not keeps:
            self.world.master.state.recovered_agents.clear()
        self.world.subscribe(id={"value": self.world.framework_id})
        for agent_id in set(AGENTS) - self.world.parted:
            self.world.heal(agent_id)

    @rule(
        kind=st.sampled_from(["DRAIN_AGENT", "DEACTIVATE_AGENT", "REACTIVATE_AGENT", "MARK_AGENT_GONE"]),
        agent_id=st.sampled_from([*AGENTS, "nobody"]),
        mark_gone=st.booleans(),
        grace=st.sampled_from([{}, {"max_grace_period": {"seconds": 3}}]),
    )
    def an_operator_acts_on_an_agent(self, kind: str, agent_id: str, mark_gone: bool, grace: Json) -> None:
        more = {"mark_gone": mark_gone, **grace} if kind == "DRAIN_AGENT" else {}
        assert self.world.operate(kind, agent_id={"value": agent_id}, **more).status in (200, 400, 404)

    @rule(windows=st.sampled_from([[], [WINDOW], [WINDOW, WINDOW]]))
    def an_operator_plans(self, windows: list[Json]) -> None:
        assert self.world.operate("UPDATE_MAINTENANCE_SCHEDULE", schedule={"windows": windows}).status in (200, 400)

    @rule(kind=st.sampled_from(["START_MAINTENANCE", "STOP_MAINTENANCE"]))
    def an_operator_maintains(self, kind: str) -> None:
        assert self.world.operate(kind, machines=[MACHINE]).status in (200, 400)

    @rule(kind=st.sampled_from(["ACCEPT_INVERSE_OFFERS", "DECLINE_INVERSE_OFFERS"]), seconds=st.sampled_from([0, 5]))
    def inverse_offers_are_answered(self, kind: str, seconds: int) -> None:
        ids = [{"value": offer_id} for offer_id in [*self.world.master.state.inverse_offers, "nonsense"]]
        body = {"inverse_offer_ids": ids, "filters": {"refuse_seconds": seconds}}
        self.world.call(kind, **{kind.lower(): body})

    @rule(data=st.data())
    def tasks_are_killed_and_reconciled(self, data: Any) -> None:
        if self.names:
            name = f"t{data.draw(st.integers(1, self.names))}"
            agent = data.draw(st.sampled_from([{}, *({"agent_id": {"value": a}} for a in AGENTS)]))
            self.world.call("KILL", kill={"task_id": {"value": name}, **agent})
            self.world.call("RECONCILE", reconcile={"tasks": [{"task_id": {"value": name}, **agent}]})
            self.world.call("RECONCILE", reconcile={"tasks": []})

    @invariant()
    def only_active_agents_are_on_offer(self) -> None:
        """Neither lost nor drained ones, and no questions about those that are lost."""
        state = self.world.master.state
        assert all(state.is_active(state.agents[offer.agent_id]) for offer in state.offers.values())
        assert all(state.agents[offer.agent_id].connected for offer in state.inverse_offers.values())

    @invariant()
    def every_agent_is_one_thing(self) -> None:
        """Registered, recovered, unreachable or gone."""
        state = self.world.master.state
        places = (state.agents, state.recovered_agents, state.unreachable, state.gone)
        for agent_id in AGENTS:
            assert sum(agent_id in place for place in places) <= 1

    @invariant()
    def every_task_is_in_one_place(self) -> None:
        """Live ones on registered agents; those set aside are of agents that are not registered, or came back without."""
        state = self.world.master.state
        for framework in state.frameworks.values():
            assert all(task.agent_id in state.agents for task in framework.tasks.values())
            assert not framework.tasks.keys() & framework.unreachable.keys()
            assert not any(task.agent_id in state.gone for task in framework.unreachable.values())

    @invariant()
    def nothing_is_overdue(self) -> None:
        assert self.world.master.due_at() >= self.world.now or self.world.now - self.world.master.due_at() < 1e-6


TestAnyOrder = Troubled.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

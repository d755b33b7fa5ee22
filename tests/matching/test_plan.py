"""The matcher places what fits, in order, and never more than there is."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from swath.domain.constraints import Constraint
from swath.domain.resources import Resources
from swath.matching.choosing import spread
from swath.matching.model import AgentView, Demand, Policy
from swath.matching.plan import plan
from tests.matching.build import EXECUTOR, NOON, a_demand, an_agent, placed


def test_tasks_that_fit_are_placed_and_nothing_is_left():
    """Three tasks of one cpu go to an agent of four."""
    result = plan([an_agent()], [a_demand(count=3)])
    assert placed(result) == {("j1", "a1"): 3}
    assert result.leftovers == ()


def test_an_agent_that_no_demand_can_use_is_left_out():
    """An offer that is too small for everything takes no task."""
    result = plan([an_agent("small", cpus=0.5), an_agent("large")], [a_demand()])
    assert placed(result) == {("j1", "large"): 1}


def test_the_first_task_on_a_cold_agent_leaves_room_for_its_executor():
    """Of four cpus 3.9 are left beside the executor: three tasks fit, not four."""
    assert placed(plan([an_agent(cold=True)], [a_demand(count=9)])) == {("j1", "a1"): 3}


def test_the_executor_is_counted_once_however_many_jobs_share_the_agent():
    """Two demands on one cold agent: 3.9 cpus are enough for 2 and 1.9."""
    result = plan([an_agent(cold=True)], [a_demand("j1", cpus=2), a_demand("j2", cpus=1.9)])
    assert placed(result) == {("j1", "a1"): 1, ("j2", "a1"): 1}


def test_higher_priority_goes_first_and_then_the_older_job():
    """With room for one task at a time, urgent wins over old, old over new."""
    old = a_demand("old", since=NOON - timedelta(hours=1))
    demands = [a_demand("new"), old, a_demand("urgent", priority=90)]
    assert [p.demand.job for p in plan([an_agent(cpus=2)], demands).placements] == ["urgent", "old"]


def test_a_task_that_does_not_fit_does_not_hold_back_a_smaller_one():
    """A large job of higher priority waits while a small one runs."""
    demands = [a_demand("large", cpus=64, priority=90), a_demand("small")]
    assert placed(plan([an_agent()], demands)) == {("small", "a1"): 1}


def test_a_job_never_gets_more_than_its_limit():
    """max_running holds over all demands of the job."""
    demands = [a_demand(count=5, limit=3), a_demand(count=5, limit=3, mem=200)]
    result = plan([an_agent(cpus=32)], demands)
    assert sum(placed(result).values()) == 3
    assert {str(leftover.reason) for leftover in result.leftovers} == {"as many tasks run as max_running allows"}


def test_constraints_keep_tasks_off_other_agents():
    """Only the agent in the region gets the tasks."""
    agents = [an_agent("here", attributes={"region": "ispra"}), an_agent("there", attributes={"region": "bolzano"})]
    rule = Constraint(attribute="region", operator="equals", value="ispra")
    result = plan(agents, [a_demand(count=2, constraints=(rule,))])
    assert placed(result) == {("j1", "here"): 2}


def test_an_agent_without_an_offer_gets_nothing():
    """Agents that are only known count for the reasons, not for placement."""
    result = plan([an_agent(offered=False)], [a_demand()])
    assert result.placements == []
    assert str(result.leftovers[0].reason) == "waiting for an offer: 1 agent with room"


def test_tasks_spread_evenly_over_as_few_agents_as_hold_them():
    """Of three agents of four cpus two are enough for six tasks; the third stays free for a large one."""
    agents = [an_agent("a"), an_agent("b"), an_agent("c")]
    assert placed(plan(agents, [a_demand(count=6)])) == {("j1", "a"): 3, ("j1", "b"): 3}


def test_without_packing_tasks_spread_evenly_over_all_agents():
    """Six tasks on three agents are two each."""
    agents = [an_agent("a"), an_agent("b"), an_agent("c")]
    assert set(placed(plan(agents, [a_demand(count=6)], policy=Policy(packing=False))).values()) == {2}


def test_a_single_task_prefers_an_agent_whose_executor_runs():
    """Starting an executor costs seconds, so the warm agent wins though it has less room."""
    assert placed(plan([an_agent("cold", cold=True), an_agent("warm", cpus=2)], [a_demand()])) == {("j1", "warm"): 1}


amounts = st.builds(
    Resources,
    cpus_m=st.integers(0, 8000),
    mem=st.integers(0, 8192),
    disk=st.integers(0, 1000),
    gpus=st.integers(0, 2),
)
agents = st.lists(st.tuples(amounts, st.booleans(), st.sampled_from(["x", "y"]), st.booleans()), max_size=6).map(
    lambda rows: [
        AgentView(
            id=str(number),
            free=free,
            total=free,
            overhead=EXECUTOR if cold else Resources(),
            attributes={"zone": zone},
            offered=offered,
        )
        for number, (free, cold, zone, offered) in enumerate(rows)
    ]
)
rules = st.sampled_from([(), (Constraint(attribute="zone", operator="in", value=("x",)),)])
demands = st.lists(
    st.builds(
        Demand,
        job=st.sampled_from(["j1", "j2"]),
        resources=amounts,
        count=st.integers(1, 50),
        priority=st.integers(0, 3),
        since=st.just(NOON),
        constraints=rules,
    ),
    max_size=5,
)


@given(agents, demands)
def test_a_plan_never_over_commits_an_offer(agents: list[AgentView], demands: list[Demand]):
    """What is placed on an agent, its executor included, is at most what it offers, and only where it is allowed."""
    result = plan(agents, demands)
    by_id = {agent.id: agent for agent in agents}
    used: dict[str, Resources] = {}
    for placement in result.placements:
        agent = by_id[placement.agent]
        assert agent.offered
        assert all(rule.admits(agent.attributes) for rule in placement.demand.constraints)
        start = used.get(agent.id, agent.overhead)
        used[agent.id] = start + placement.demand.resources.scaled(placement.count)
    assert all(total.fits_in(by_id[name].free) for name, total in used.items())


@given(agents, demands)
def test_every_task_is_either_placed_or_explained(agents: list[AgentView], demands: list[Demand]):
    """Nothing is lost between the placements and the leftovers."""
    result = plan(agents, demands)
    told = sum(p.count for p in result.placements) + sum(leftover.count for leftover in result.leftovers)
    assert told == sum(demand.count for demand in demands)
    assert all(str(leftover.reason) for leftover in result.leftovers)


@given(agents, demands)
def test_no_waiting_task_would_still_fit(agents: list[AgentView], demands: list[Demand]):
    """The matcher is work-conserving: what is left over fits nowhere that was offered, but where GPUs are kept for others."""
    result = plan(agents, demands)
    free = {agent.id: agent.free - agent.overhead for agent in agents if agent.offered}
    kept = {agent.id for agent in agents if agent.total.gpus} if any(d.resources.gpus for d in demands) else set()
    for placement in result.placements:
        free[placement.agent] -= placement.demand.resources.scaled(placement.count)
    admits = {agent.id: agent.attributes for agent in agents}
    for leftover in result.leftovers:
        rules = leftover.demand.constraints
        assert not any(
            leftover.demand.resources.fits_in(room)
            and all(rule.admits(admits[name]) for rule in rules)
            and (leftover.demand.resources.gpus or name not in kept)
            for name, room in free.items()
        )


def spread_out(capacity: list[int], wanted: int) -> list[int]:
    """How many tasks each agent gets."""
    taken = np.zeros(len(capacity), dtype=np.int64)
    used, counts = spread(np.array(capacity, dtype=np.float64), np.arange(len(capacity)), wanted)
    taken[used] = counts
    return taken.tolist()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(0, 200))
def test_spreading_is_exact_and_within_capacity(capacity: list[int], wanted: int):
    """As many as asked for or as there is room, never more than an agent's own room."""
    taken = spread_out(capacity, wanted)
    assert sum(taken) == min(wanted, sum(capacity))
    assert all(got <= room for got, room in zip(taken, capacity, strict=True))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(0, 200))
def test_spreading_is_even_and_the_odd_tasks_go_where_there_is_most_room(capacity: list[int], wanted: int):
    """Who could take more has one task fewer than others at most, and then no more room than they have."""
    taken = spread_out(capacity, wanted)
    for room, got in zip(capacity, taken, strict=True):
        if got < room:
            assert got >= max(taken) - 1
            assert all(room <= other for other, more in zip(capacity, taken, strict=True) if more > got)


def test_of_agents_with_as_much_room_the_first_get_the_odd_tasks():
    """So that the same cycle has the same plan."""
    assert spread_out([3, 2, 3, 3], 2) == [1, 0, 1, 0]
    assert spread_out([3, 2, 3, 3], 6) == [2, 1, 2, 1]

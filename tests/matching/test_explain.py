"""Every wait has a reason in one sentence with numbers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from swath.domain.constraints import Constraint
from swath.domain.resources import Resources
from swath.matching.cluster import Cluster, Columns
from swath.matching.explain import break_down, explain_all
from swath.matching.explain import explain_one as explain
from swath.matching.model import AgentView, Demand

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
EXECUTOR = Resources(cpus_m=100, mem=128)


def an_agent(name: str, cpus_m: int, mem: int, *, free: Resources | None = None, **more: object) -> AgentView:
    total = Resources(cpus_m=cpus_m, mem=mem, disk=1000)
    return AgentView(id=name, total=total, free=total if free is None else free, offered=False, **more)


def why(
    agents: list[AgentView], *, cpus_m: int = 1000, mem: int = 100, constraints: tuple[Constraint, ...] = ()
) -> str:
    need = Resources(cpus_m=cpus_m, mem=mem)
    return str(explain(agents, Demand(job="j", resources=need, count=1, since=NOON, constraints=constraints)))


def test_an_empty_cluster_is_named():
    """Without agents nothing else matters."""
    assert why([]) == "no agent is registered"


def test_a_task_larger_than_every_agent_names_both_figures():
    """The sentence of DESIGN.md 4.8."""
    agents = [an_agent("a", 8000, 48 * 1024), an_agent("b", 8000, 32 * 1024)]
    assert why(agents, mem=64 * 1024) == "needs 64 GiB memory; largest agent has 48 GiB"


def test_the_executors_share_is_not_for_tasks():
    """An agent of four cpus has 3.9 for tasks once its executor is there."""
    agents = [an_agent("a", 4000, 8192, reserved=EXECUTOR)]
    assert why(agents, cpus_m=4000) == "needs 4 cpus; largest agent has 3.9 cpus"


def test_a_task_that_no_single_agent_can_hold_as_a_whole_is_told_so():
    """Enough memory here and enough cpus there do not add up."""
    agents = [an_agent("a", 8000, 1024), an_agent("b", 1000, 65536)]
    assert (
        why(agents, cpus_m=8000, mem=65536)
        == "needs 8 cpus and 64 GiB memory on one agent; none of 2 agents has all of it"
    )


def test_a_busy_cluster_names_the_largest_free_amount():
    """What is short is named with the most that one agent has free."""
    busy = Resources(cpus_m=500, mem=4096)
    agents = [an_agent("a", 4000, 8192, free=busy), an_agent("b", 4000, 8192, free=Resources(mem=4096))]
    assert why(agents) == "waiting for resources: 2 agents, largest free 0.5 cpus"


def test_free_resources_spread_over_agents_are_told_so():
    """Each resource is free somewhere, nowhere both."""
    agents = [
        an_agent("a", 4000, 8192, free=Resources(cpus_m=4000)),
        an_agent("b", 4000, 8192, free=Resources(mem=8192)),
    ]
    assert why(agents) == "waiting for resources: 2 agents, none has everything free at once"


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (
            Constraint(attribute="region", operator="equals", value="ispra"),
            "needs an agent with region = ispra; none of 1 agent has it",
        ),
        (
            Constraint(attribute="zone", operator="in", value=("a", "b")),
            "needs an agent with zone in a, b; none of 1 agent has it",
        ),
        (
            Constraint(attribute="hostname", operator="like", value="n.*"),
            "needs an agent with hostname like n.*; none of 1 agent has it",
        ),
        (
            Constraint(attribute="rack", operator="max_per", value=2),
            "needs an agent with an attribute rack; none of 1 agent has it",
        ),
    ],
)
def test_an_attribute_that_no_agent_has_is_named(rule: Constraint, sentence: str):
    """The constraint stands in the sentence."""
    assert why([an_agent("a", 4000, 8192)], constraints=(rule,)) == sentence


@pytest.mark.parametrize(
    ("rule", "running", "sentence", "full"),
    [
        (Constraint(attribute="rack", operator="max_per", value=2), {"a": 1, "b": 1}, "rack max_per 2", 2),
        (Constraint(attribute="rack", operator="max_per", value=3), {"a": 1, "b": 1}, None, 0),
        (Constraint(attribute="hostname", operator="unique"), {"a": 1}, None, 1),
        (Constraint(attribute="hostname", operator="unique", hard=False), {"a": 1, "b": 1}, None, 0),
    ],
)
def test_a_task_that_is_to_be_apart_from_others_says_so(
    rule: Constraint, running: dict[str, int], sentence: str | None, full: int
):
    """While there is room on agents that have enough of the job's tasks, and none elsewhere; agents are counted for it."""
    agents = [an_agent(name, 4000, 8192, attributes={"rack": "r1", "hostname": name}) for name in "ab"]
    need = Resources(cpus_m=1000, mem=100)
    demand = Demand(job="j", resources=need, count=1, since=NOON, constraints=(rule,), running_on=running)
    reason = str(explain(agents, demand))
    waiting = "waiting for its own tasks: 2 agents with room, none of which takes another by "
    assert reason.startswith("waiting for an offer") if sentence is None else reason == waiting + sentence
    blockers = break_down(Cluster(agents, Columns([need])), demand)
    assert sum(blocker.agents for blocker in blockers if str(rule) in blocker.words) == full


def test_many_are_told_what_each_would_be_told_alone():
    """Those that ask for the same share an answer; who runs longer, may not go everywhere or spreads its tasks has its own."""
    agents = [an_agent(name, 4000, 8192, closes_in_s=600.0, attributes={"hostname": name}) for name in "ab"]
    first = Demand(job="j", resources=Resources(cpus_m=1000, mem=100), count=1, since=NOON)
    apart = (Constraint(attribute="hostname", operator="unique"),)
    demands = [
        first,
        replace(first, job="same"),
        replace(first, job="large", resources=Resources(cpus_m=5000)),
        replace(first, job="long", expected_s=900.0),
        replace(first, job="cooling", avoid=frozenset("ab")),
        replace(first, job="elsewhere", constraints=(Constraint(attribute="region", operator="equals", value="x"),)),
        replace(first, job="apart", constraints=apart),
        replace(first, job="apart already", constraints=apart, running_on={"a": 1, "b": 1}),
    ]
    cluster = Cluster(agents, Columns(demand.resources for demand in demands))
    reasons = list(explain_all(cluster, demands))
    assert reasons == [explain(agents, demand) for demand in demands]
    assert (
        len(set(reasons)) == 6
    )  # the first two, and the one that still has agents to be apart on, just wait for an offer

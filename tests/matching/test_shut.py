"""Agents that take no tasks, or not all: cordoned, resting, kept for GPUs (M33), or soon in maintenance (M32)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swath.domain.projects import Project
from swath.domain.resources import Resources
from swath.matching.cluster import Cluster, Columns
from swath.matching.explain import explain_one as explain
from swath.matching.limits import Limits
from swath.matching.model import AgentView, Demand, Tenants
from swath.matching.plan import keep_for_gpus, plan
from swath.matching.reasons import AgentsShut, ImageCools, Shut, WaitingForOffers, WindowNear, to_span
from tests.matching.build import a_demand, an_agent, placed


def with_gpus(agent: AgentView, gpus: int = 2) -> AgentView:
    """The same agent with GPUs, all of them free."""
    return replace(agent, free=agent.free + Resources(gpus=gpus), total=agent.total + Resources(gpus=gpus))


def on_gpus(demand: Demand, gpus: int = 1) -> Demand:
    """The same tasks, with GPUs."""
    return replace(demand, resources=demand.resources + Resources(gpus=gpus))


@pytest.mark.parametrize("shut", [Shut.CORDONED, Shut.RESTING])
def test_m32_an_agent_that_is_shut_takes_nothing_and_says_why(shut: Shut):
    """Whatever is free on it."""
    result = plan([an_agent(shut=shut, offered=False)], [a_demand()])
    assert placed(result) == {}
    assert result.leftovers[0].reason == AgentsShut(agents=1, why=shut)
    assert str(shut) in str(result.leftovers[0].reason)


def test_an_image_that_must_not_use_an_agent_for_now_waits_and_says_why():
    """Whatever is free on it; others take it, and where there is another agent the image takes that."""
    alone, avoiding = [an_agent("a")], replace(a_demand(), avoid=frozenset({"a", "gone"}))
    result = plan(alone, [avoiding])
    assert (placed(result), result.leftovers[0].reason) == ({}, ImageCools(agents=1))
    assert "keeps failing on 1 agent with room" in str(ImageCools(agents=1))
    assert explain([*alone, an_agent("b", shut=Shut.RESTING)], avoiding) == AgentsShut(agents=1, why=Shut.RESTING)
    assert explain([*alone, an_agent("b")], avoiding) == WaitingForOffers(agents=1)


def test_m33_no_task_without_gpus_goes_to_an_agent_with_gpus_while_somebody_wants_them():
    """The CPU-only task goes to the other agent, or waits and says why."""
    agents = [with_gpus(an_agent("gpu", cpus=8)), an_agent("cpu", cpus=1)]
    demands = [a_demand("plain", count=3), on_gpus(a_demand("neural"))]
    result = plan(agents, demands)
    assert placed(result) == {("plain", "cpu"): 1, ("neural", "gpu"): 1}
    (left,) = result.leftovers
    assert left.reason != WaitingForOffers(agents=1)
    alone = keep_for_gpus([with_gpus(an_agent("gpu"))], demands, Limits(Tenants()))
    assert explain(alone, a_demand()) == AgentsShut(agents=1, why=Shut.KEPT_FOR_GPUS)
    assert explain(alone, on_gpus(a_demand())) == WaitingForOffers(agents=1)


@pytest.mark.parametrize("shut", [None, *Shut])
def test_m33_a_cluster_keeps_for_gpus_the_agents_that_are_shut_one_by_one(shut: Shut | None):
    """Whichever way it is told; an agent that is shut already stays so for its own reason."""
    agents = [with_gpus(an_agent("gpu", shut=shut)), with_gpus(an_agent("other")), an_agent("cpu", shut=shut)]
    demands = [a_demand("plain"), on_gpus(a_demand("neural"))]
    columns = Columns(demand.resources for demand in demands)
    told = Cluster(agents, columns, keep_gpus=True)
    seen = Cluster(keep_for_gpus(agents, demands, Limits(Tenants())), columns)
    assert {why: rows.tolist() for why, rows in told.shut.items()} == {
        why: rows.tolist() for why, rows in seen.shut.items()
    }


def test_m33_without_a_demand_for_gpus_their_agents_serve_everybody():
    """Idle GPUs are no reason to leave cpus idle."""
    assert placed(plan([with_gpus(an_agent("gpu"))], [a_demand()])) == {("j1", "gpu"): 1}


def test_m33_gpus_are_whole_and_counted():
    """Two GPUs serve two tasks of one."""
    assert placed(plan([with_gpus(an_agent("gpu", cpus=8))], [on_gpus(a_demand(count=5))])) == {("j1", "gpu"): 2}


def test_m32_a_window_keeps_away_only_what_would_outlast_its_start():
    """Of two jobs the short one runs before the maintenance."""
    agents = [an_agent(closes_in_s=100.0)]
    result = plan(agents, [a_demand("long", expected_s=600), a_demand("short", expected_s=60)])
    assert placed(result) == {("short", "a1"): 1}
    assert result.leftovers[0].reason == WindowNear(agents=1, expected_s=600, closes_in_s=100.0)


def test_m32_within_a_window_nothing_is_placed():
    """Not even what takes no time."""
    result = plan([an_agent(closes_in_s=0.0)], [a_demand(expected_s=0)])
    assert placed(result) == {}
    assert "is under way" in str(result.leftovers[0].reason)


def test_spans_are_said_in_sensible_units():
    """Seconds, minutes, hours."""
    assert [to_span(seconds) for seconds in (5, 119, 600, 86_400)] == ["5 s", "119 s", "10 min", "24 h"]


def test_m33_gpus_are_not_kept_for_whom_a_quota_holds_back():
    """Its tasks could not use them; the CPU-only task may."""
    projects = {"neural": Project(name="neural", max_running=0)}
    demands = [a_demand("plain"), on_gpus(a_demand("neural", project="neural"))]
    result = plan([with_gpus(an_agent("gpu"))], demands, tenants=Tenants(projects=projects))
    assert placed(result) == {("plain", "gpu"): 1}

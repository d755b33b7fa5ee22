"""The benchmarks of the matcher run on small sizes, and what they compare with is right; their figures are nobody's test."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import cycle, fairness, firstfit, packing, turn, whole_agent
from benchmarks.matching import fit_exponent
from benchmarks.workload import EXECUTOR, check, make_workload
from swath.domain.projects import Project
from swath.domain.resources import Resources
from swath.matching.model import Placement
from swath.matching.plan import plan


def test_a_workload_has_what_was_asked_for() -> None:
    """So many tasks in so many jobs; busy agents are full and offer nothing, freed ones offer what a task has left."""
    workload = make_workload(agents=40, jobs=7, tasks=500, projects=3, busy=0.5, freed=0.5)
    assert sum(demand.count for demand in workload.demands) == 500
    assert len({demand.project for demand in workload.demands}) == 3
    assert len(workload.running) == 20
    assert 20 < sum(agent.offered for agent in workload.agents) < 40
    for agent in workload.agents:
        used = sum((running.resources for running in workload.running.get(agent.id, ())), Resources())
        assert agent.free == agent.total - used - (EXECUTOR if used != Resources() else Resources())


def test_a_workload_is_the_same_for_the_same_seed() -> None:
    """Twice alike, and another one from another seed."""
    sizes = {"agents": 10, "jobs": 3, "tasks": 50, "projects": 2, "busy": 0.3}
    assert make_workload(**sizes, seed=3) == make_workload(**sizes, seed=3)
    assert make_workload(**sizes, seed=3) != make_workload(**sizes, seed=4)


def test_what_over_commits_an_agent_is_found() -> None:
    """One task more than fits."""
    workload = make_workload(agents=1, jobs=1, tasks=10_000, projects=1, busy=0.0)
    (demand,), (agent,) = workload.demands, workload.agents
    demand = replace(demand, constraints=())
    workload = replace(workload, demands=[demand])
    fitting = demand.resources.count_in(agent.free - agent.overhead)
    check(workload, [Placement(demand=demand, agent=agent.id, count=fitting)])
    with pytest.raises(AssertionError, match="over-committed"):
        check(workload, [Placement(demand=demand, agent=agent.id, count=fitting + 1)])


def test_a_cycle_and_a_turn_are_measured() -> None:
    """On a small cluster with something free everything has a figure."""
    order = {"agents": 30, "jobs": 5, "tasks": 1000, "projects": 2, "busy": 0.8, "freed": 0.5, "rounds": 3}
    assert cycle.main({**order, "most": None})["placed"] > 0
    figures = turn.main(dict(order))
    assert figures["turn_median_ms"] > 0
    assert figures["live_attempts"] > 24


def test_first_fit_places_validly_and_all_that_fits() -> None:
    """An idle cluster takes every task of a short queue, by either way."""
    workload = make_workload(agents=100, jobs=4, tasks=40, projects=2, busy=0.0)
    placements = firstfit.first_fit(workload.agents, workload.demands)
    check(workload, placements)
    assert sum(entry.count for entry in placements) == 40
    assert firstfit.measure(20, 400)["placed_by_first_fit"] > 100


def test_an_exponent_is_the_slope_of_the_logarithms() -> None:
    """Time that grows with the square of the size has 2."""
    assert fit_exponent([1, 10, 100], [3, 300, 30_000]) == pytest.approx(2)


def test_the_bound_of_a_packing_is_that_of_the_scarcest_resource_where_agents_are_identical() -> None:
    """By linear programming, and by division; the matcher comes near it and never above."""
    puzzle = packing.make_puzzle(1, 1 / 20, packing.KINDS[:1], 10)
    shapes = zip(puzzle.shapes, puzzle.times, strict=True)
    mix = sum((shape.scaled(times) for shape, times in shapes), Resources()).as_tuple()
    total = [10 * amount for amount in packing.KINDS[0].as_tuple()]
    bound = packing.find_bound(puzzle)
    assert bound == pytest.approx(min(have / need for need, have in zip(mix, total, strict=True) if need))
    assert 0.5 * bound < packing.find_multiple(puzzle, bound) <= bound


def test_shares_are_measured_in_a_cycle_and_over_time() -> None:
    """Ten equal projects share a small cluster out: nearly equally, and nearly all of it."""
    case = fairness.CASES["ten_equal"]
    alike = fairness.make_alike(case)
    undivided = fairness.share_undivided(case, alike, drops=1000)
    for shares in (fairness.share_in_a_cycle(case, alike, 10), fairness.share_over_time(case, alike, agents=4)):
        figures = fairness.describe(case, shares, undivided)
        assert (figures["spread_percent"] < 10, figures["largest_lack_percent"] < 10) == (True, True)
        assert 0.9 < sum(shares.values()) <= 1


def test_shares_of_an_undivided_cluster_are_those_of_the_paper() -> None:
    """One project wants cpus, the other memory (Ghodsi 2011, figure 1): both hold two thirds, and weights count."""
    cpus, mem = fairness.AGENT.cpus_m, fairness.AGENT.mem
    shapes = {"a": Resources(cpus_m=cpus // 9, mem=mem * 4 // 18), "b": Resources(cpus_m=cpus * 3 // 9, mem=mem // 18)}
    equal = fairness.Case(parts={"a": 1, "b": 1}, goal_percent=2)
    assert fairness.share_undivided(equal, shapes) == {name: pytest.approx(2 / 3, abs=0.001) for name in shapes}
    double = replace(equal, projects=(Project(name="b", weight=2),))
    shares = fairness.share_undivided(double, shapes)
    assert shares["b"] == pytest.approx(2 * shares["a"], abs=0.001)


def test_the_wait_for_a_whole_agent_is_measured_in_mean_run_times() -> None:
    """It starts, and not at once."""
    assert 0 < whole_agent.find_wait(1, whole_agent.Case(project="large")) < 5


def test_a_plan_of_a_workload_is_valid() -> None:
    """Whatever is free and whoever waits."""
    workload = make_workload(agents=60, jobs=20, tasks=5000, projects=4, busy=0.5, freed=0.3)
    check(workload, plan(workload.agents, workload.demands, tenants=workload.tenants, work=workload.work).placements)

"""Who is served: equal dominant shares by weight, quotas and limits, then priority and age."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.domain.projects import Project
from swath.domain.resources import Resources
from swath.matching.model import Plan, Policy, Tenants
from swath.matching.plan import plan
from tests.matching.build import NOON, Holds, a_demand, an_agent, holding, started, why


def cluster(agents: int, cpus: float = 16) -> list[object]:
    return [an_agent(f"a{number:03}", cpus=cpus, mem=65536) for number in range(agents)]


def test_ten_equal_projects_get_equal_shares():
    """Each saturates; the counts differ by less than two in a hundred, whoever has submitted first."""
    demands = [a_demand(f"j{n}", 10_000, project=f"p{n}", since=NOON + timedelta(hours=n)) for n in range(10)]
    counts = started(plan(cluster(100), demands)).values()
    assert sum(counts) == 1600
    assert max(counts) - min(counts) <= 0.02 * 160


def test_shares_follow_weights():
    """1 : 2 : 4 within three in a hundred."""
    projects = {name: Project(name=name, weight=weight) for name, weight in (("a", 1.0), ("b", 2.0), ("c", 4.0))}
    demands = [a_demand(name, 10_000, project=name) for name in projects]
    counts = started(plan(cluster(100), demands, tenants=Tenants(projects=projects)))
    for name, project in projects.items():
        assert counts[name] == pytest.approx(1600 * project.weight / 7, rel=0.03)


def test_what_is_shared_is_the_dominant_resource():
    """One project wants cpus, the other memory (Ghodsi 2011, figure 1): 3 tasks of <1 cpu, 4 GB> beside 2 of <3 cpus, 1 GB>."""
    agent = an_agent("a", cpus=9, mem=18 * 1024)
    memory = a_demand("memory", 100, cpus=1, mem=4 * 1024, project="a")
    cpus = a_demand("cpus", 100, cpus=3, mem=1 * 1024, project="b")
    assert started(plan([agent], [memory, cpus])) == {"memory": 3, "cpus": 2}


def test_a_parent_shares_with_its_sibling_and_its_children_with_each_other():
    """Half for the lone project, a quarter for each of the two below the other."""
    projects = {
        name: Project(name=name, parent=parent) for name, parent in (("land", None), ("a", "land"), ("b", "land"))
    }
    demands = [a_demand(name, 10_000, project=name) for name in ("sea", "a", "b")]
    counts = started(plan(cluster(100), demands, tenants=Tenants(projects=projects)))
    assert counts["sea"] == pytest.approx(800, rel=0.03)
    assert counts["a"] == pytest.approx(400, rel=0.03)
    assert counts["b"] == pytest.approx(400, rel=0.03)


def test_jobs_of_a_parent_itself_stand_beside_its_children():
    """They neither starve nor are starved."""
    projects = {"land": Project(name="land"), "a": Project(name="a", parent="land")}
    demands = [a_demand(name, 10_000, project=name) for name in ("land", "a")]
    counts = started(plan(cluster(10), demands, tenants=Tenants(projects=projects)))
    assert counts["land"] == pytest.approx(80, rel=0.03)


def test_who_holds_little_is_served_first():
    """Of four free cpus all go to the project that has none so far."""
    demands = [
        a_demand("rich", 9, project="rich"),
        a_demand("poor", 9, project="poor", since=NOON + timedelta(hours=1)),
    ]
    views = [an_agent("free", cpus=4), an_agent("busy", cpus=12, free=Resources(), offered=False)]
    assert started(plan(views, demands, tenants=holding(rich=12))) == {"poor": 4}


def test_who_is_far_behind_gets_all_there_is_in_one_turn():
    """Whoever would be served again and again until nothing is left is not asked again: each turn looks at all agents."""
    demands = [a_demand(name, 900, project=name) for name in ("poor", "rich")]
    views = [*cluster(2), an_agent("busy", cpus=90, mem=65536, free=Resources(), offered=False)]
    result = plan(views, demands, tenants=holding(rich=90))
    assert [(turn.demand.project, turn.count) for turn in result.assignments] == [("poor", 32)]


def test_a_turn_takes_who_is_behind_up_to_the_others_and_a_step_further():
    """Sixteen cpus are free and the poor one lacks eight: its part is twelve, the other's four."""
    views = [*cluster(1), an_agent("busy", cpus=24, mem=65536, free=Resources(), offered=False)]
    demands = [a_demand(name, 900, project=name) for name in ("poor", "rich")]
    result = plan(views, demands, tenants=holding(rich=16, poor=8))
    assert started(result) == {"poor": 12, "rich": 4}
    assert result.assignments[0].count == 6  # half of twelve: what others need may fit worse than it seems


def test_equal_shares_take_few_turns():
    """Twenty projects share 1,600 cpus: what is left halves each round, to a hundredth of a share, which seven rounds do."""
    demands = [a_demand(f"j{n:02}", 10_000, project=f"p{n:02}") for n in range(20)]
    result = plan(cluster(100), demands)
    assert set(started(result).values()) == {80}
    assert len(result.assignments) <= 7 * 20


def test_what_was_held_of_late_counts_in_part():
    """Two idle projects: the one that had the cluster to itself gets less now, and not nothing."""
    demands = [a_demand("old", 900, project="old"), a_demand("new", 900, project="new")]
    counts = started(plan(cluster(10), demands, tenants=Tenants(past={"old": 1.0})))
    # old / 160 + 0.25 * 1.0 == new / 160, and both make 160.
    assert counts["old"] == pytest.approx(60, abs=2)
    forgetful = started(plan(cluster(10), demands, tenants=Tenants(past={"old": 1.0}), policy=Policy(past_weight=0)))
    assert forgetful["old"] == pytest.approx(80, abs=2)


def test_within_a_project_priority_goes_before_age_and_without_fairness_everywhere():
    """One agent of two cpus."""
    demands = [
        a_demand("old", project="a"),
        a_demand("urgent", 2, project="a", priority=9, since=NOON + timedelta(hours=1)),
        a_demand("other", 2, project="b", since=NOON + timedelta(hours=2)),
    ]
    assert started(plan([an_agent(cpus=2)], demands)) == {"urgent": 1, "other": 1}
    assert started(plan([an_agent(cpus=2)], demands, policy=Policy(fair=False))) == {"urgent": 2}


def test_a_quota_holds_over_the_whole_subtree_and_says_so():
    """Of ten cpus for the parent seven are held below it: three more tasks start, and the rest reads why not."""
    projects = {
        "land": Project(name="land", quota={"cpus": 10_000}),
        "forest": Project(name="forest", parent="land"),
    }
    tenants = Tenants(projects=projects, held=holding(forest=7).held)
    result = plan(cluster(4), [a_demand("f", 9, project="forest"), a_demand("free", 2, project="sea")], tenants=tenants)
    assert started(result) == {"f": 3, "free": 2}
    assert why(result) == {"f": "project land is at 100 % of its quota of 10 cpus"}


def test_a_user_has_a_quota_of_its_own_within_a_project():
    """Ben goes on where Ana may not."""
    projects = {"forest": Project(name="forest", user_max_running=2)}
    demands = [a_demand(name, 9, project="forest", user=name) for name in ("ana", "ben")]
    held = {("forest", "ana"): Holds(resources=Resources(cpus_m=1000), tasks=1)}
    result = plan(cluster(4), demands, tenants=Tenants(projects=projects, held=held))
    assert started(result) == {"ana": 1, "ben": 2}
    assert why(result)["ana"] == "user ana in project forest is at 100 % of its quota of 2 tasks"


def test_a_limit_of_tasks_and_a_quota_too_small_for_one_task():
    """The project's own limit counts tasks; memory is one that no task fits under."""
    projects = {
        "tasks": Project(name="tasks", max_running=2),
        "small": Project(name="small", quota={"mem": 50}),
    }
    demands = [a_demand("t", 9, project="tasks"), a_demand("s", 9, project="small", mem=100)]
    result = plan(cluster(4), demands, tenants=Tenants(projects=projects))
    assert started(result) == {"t": 2}
    assert why(result)["s"] == "project small is at 0 % of its quota of 50 MiB memory"


def test_interactive_work_goes_before_batch_whatever_its_project_holds():
    """One cpu is free."""
    demands = [a_demand("batch", 5, project="poor"), a_demand("notebook", project="rich", interactive=True)]
    views = [an_agent(cpus=1), an_agent("busy", cpus=9, free=Resources(), offered=False)]
    assert started(plan(views, demands, tenants=holding(rich=9))) == {"notebook": 1}


def test_a_plan_that_is_cut_places_fairly_as_far_as_it_goes():
    """A hundred tasks of two projects are fifty each; what could follow is not called a leftover."""
    demands = [a_demand(name, 10_000, project=name) for name in ("a", "b")]
    result = plan(cluster(100), demands, most=100)
    assert result.cut
    assert started(result) == {"a": pytest.approx(50, abs=2), "b": pytest.approx(50, abs=2)}
    assert result.leftovers == ()


@given(
    st.integers(1, 12),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3)), min_size=1, max_size=6),
)
def test_an_agent_more_makes_no_project_worse_off_by_more_than_one_task(
    agents: int, cpus: float, rows: list[tuple[int, int]]
):
    """With identical agents and tasks of one shape. (With unlike shapes no order of service promises it: Ghodsi 2011, table 2,
    and what is left of an agent depends on what else is there.)
    """
    demands = [
        a_demand(f"j{n}", count, cpus=cpus, mem=512, project=f"p{project}") for n, (count, project) in enumerate(rows)
    ]
    before = plan(cluster(agents, cpus=4), demands)
    after = plan(cluster(agents + 1, cpus=4), demands)
    for project in {demand.project for demand in demands}:
        assert _tasks(after, project) >= _tasks(before, project) - 1


def _tasks(result: Plan, project: str) -> int:
    return sum(a.count for a in result.assignments if a.demand.project == project)


@given(st.permutations(range(8)), st.permutations(range(6)))
def test_the_order_of_the_input_changes_nothing(demand_order: list[int], agent_order: list[int]):
    """Agents and demands are told apart by what they are."""
    demands = [a_demand(f"j{n}", 7, cpus=0.5 + n % 3, project=f"p{n % 3}") for n in range(8)]
    agents = cluster(6)
    straight = plan(agents, demands)
    shuffled = plan([agents[n] for n in agent_order], [demands[n] for n in demand_order])
    assert started(straight) == started(shuffled)

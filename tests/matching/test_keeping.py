"""Agents kept for large tasks, so that a stream of small ones cannot starve them."""

from __future__ import annotations

from datetime import timedelta

from swath.domain.resources import Resources
from swath.matching.model import Claim
from swath.matching.plan import plan
from tests.matching.build import FULL, NOON, ONE, a_busy, a_demand, a_running, an_agent, holding, placed, started, works


def test_a_large_task_has_an_agent_kept_and_small_ones_go_elsewhere():
    """Both agents have one cpu free; the small job's tasks may not take the one that is kept."""
    agents = [a_busy("a", ONE), a_busy("b", ONE)]
    work = works(
        a=[a_running(f"a{n}", ends_in_s=10) for n in range(3)], b=[a_running(f"b{n}", ends_in_s=99) for n in range(3)]
    )
    demands = [
        a_demand("large", cpus=4),
        a_demand("small", 9, cpus=0.5, since=NOON + timedelta(hours=1), expected_s=60),
    ]
    result = plan(agents, demands, work=work)
    assert result.claims == (Claim(agent="a", job="large", resources=demands[0].resources),)
    assert placed(result) == {("small", "b"): 2}


def test_what_is_kept_for_a_whole_agent_is_not_for_tasks_of_a_quarter():
    """Agents are kept for both kinds; the smaller ones, though they are older here, go elsewhere."""
    work = works(**{name: [a_running(f"{name}{n}", ends_in_s=9) for n in range(3)] for name in ("a", "b")})
    whole = a_demand("whole", cpus=4, since=NOON + timedelta(hours=1))
    claims = (Claim(agent="a", job="whole", resources=whole.resources),)
    quarter = a_demand("quarter", 9, cpus=1, expected_s=60)
    result = plan([a_busy("a", ONE), a_busy("b", ONE)], [whole, quarter], work=work, claims=claims)
    assert placed(result) == {("quarter", "b"): 1}
    assert {claim.job for claim in result.claims} == {"whole"}
    full = works(**{name: [a_running(f"{name}{n}", ends_in_s=9) for n in range(4)] for name in ("a", "b")})
    first = plan([a_busy("a"), a_busy("b")], [whole, quarter], work=full)
    assert [claim.job for claim in first.claims] == ["whole"]


def test_what_ends_before_there_is_room_runs_on_a_kept_agent_meanwhile():
    """Backfill: five seconds are over before the ten that the large task has to wait."""
    work = works(a=[a_running(f"a{n}", ends_in_s=10) for n in range(3)])
    small = a_demand("small", 9, cpus=0.5, since=NOON + timedelta(hours=1), expected_s=5)
    result = plan([a_busy("a", ONE)], [a_demand("large", cpus=4), small], work=work)
    assert placed(result) == {("small", "a"): 2}


def test_what_fits_beside_a_large_task_runs_there_meanwhile():
    """Of four cpus the large task needs three and a half."""
    work = works(a=[a_running(f"a{n}", ends_in_s=10) for n in range(3)])
    small = a_demand("small", 9, cpus=0.5, since=NOON + timedelta(hours=1), expected_s=1e6)
    result = plan([a_busy("a", ONE)], [a_demand("large", cpus=3.5), small], work=work)
    assert placed(result) == {("small", "a"): 1}


def test_the_same_agents_are_kept_in_the_next_cycle_from_its_beginning():
    """Though the small job is older this time: what was kept is not given away before the large task's turn."""
    work = works(**{name: [a_running(f"{name}{n}", ends_in_s=30) for n in range(3)] for name in ("a", "b")})
    large = a_demand("large", cpus=4, since=NOON + timedelta(hours=1))
    small = a_demand("small", 9, cpus=0.5, expected_s=60)
    agents = [a_busy("a", ONE), a_busy("b", ONE)]
    claims = (Claim(agent="a", job="large", resources=large.resources),)
    result = plan(agents, [large, small], work=work, claims=claims)
    assert [claim.agent for claim in result.claims] == ["a"]
    assert placed(result) == {("small", "b"): 2}


def test_what_has_room_and_is_not_offered_is_kept_for_nobody():
    """Though it was kept before; one that is not offered because it is full is still."""
    large = a_demand("large", cpus=4)
    claims = (Claim(agent="a", job="large", resources=large.resources),)
    work = works(b=[a_running(f"b{n}", ends_in_s=99) for n in range(3)], a=[a_running("a", 4, ends_in_s=9)])
    for free, kept in ((an_agent().total, "b"), (FULL, "a")):
        agents = [an_agent("a", free=free, offered=False, withheld=True), a_busy("b", ONE)]
        assert [claim.agent for claim in plan(agents, [large], work=work, claims=claims).claims] == [kept]


def test_what_runs_in_between_does_not_cost_the_large_task_its_agent():
    """The small tasks end within the thirty seconds that it has to wait."""
    work = works(a=[a_running(f"a{n}", ends_in_s=30) for n in range(3)])
    large = a_demand("large", cpus=4, since=NOON + timedelta(hours=1))
    claims = (Claim(agent="a", job="large", resources=large.resources),)
    small = a_demand("small", 9, cpus=0.5, expected_s=20)
    result = plan([a_busy("a", ONE)], [large, small], work=work, claims=claims)
    assert started(result) == {"small": 2}
    assert result.claims == claims


def test_a_claim_ends_with_its_job():
    """Nobody waits for the kept agent any more."""
    claims = (Claim(agent="a", job="gone", resources=Resources(cpus_m=4000)),)
    result = plan([a_busy("a", ONE)], [a_demand("small", 9, cpus=0.5)], claims=claims)
    assert (result.claims, started(result)) == ((), {"small": 2})


def test_few_agents_are_kept_at_a_time():
    """A fifth of them, whatever waits."""
    agents = [a_busy(f"a{n:02}", ONE) for n in range(20)]
    work = works(**{agent.id: [a_running(agent.id, 3, ends_in_s=9)] for agent in agents})
    result = plan(agents, [a_demand("large", 50, cpus=4)], work=work)
    assert len(result.claims) == 4


def test_a_large_task_of_a_project_above_its_share_keeps_nothing():
    """Its tasks get what is free, as everybody's."""
    agents = [a_busy("a", ONE), a_busy("b")]
    work = works(a=[a_running("r", 3, "rich", ends_in_s=9)])
    demands = [a_demand("large", cpus=4, project="rich"), a_demand("small", 9, cpus=0.5, project="poor")]
    result = plan(agents, demands, work=work, tenants=holding(rich=7))
    assert ({claim.job for claim in result.claims}, started(result)) == ({"small"}, {"small": 2})


def test_a_cycle_that_is_cut_short_forgets_no_claims():
    """The large job has had no turn in it: its agent stays kept."""
    large = a_demand("large", cpus=4)
    claim = Claim(agent="b", job="large", resources=large.resources)
    work = works(b=[a_running(f"b{n}", ends_in_s=1e6) for n in range(3)])
    result = plan(
        [an_agent("a"), a_busy("b", ONE)],
        [a_demand("urgent", 9, priority=99), large],
        work=work,
        claims=[claim],
        most=2,
    )
    assert result.cut
    assert result.claims == (claim,)


def test_small_tasks_are_not_let_in_before_what_is_overdue():
    """It may end at any moment, and the large task could start: they would take its place for another minute, over and over."""
    demands = [
        a_demand("large", cpus=4),
        a_demand("small", 9, cpus=0.5, since=NOON + timedelta(hours=1), expected_s=60),
    ]
    for overdue, taken in ((True, {}), (False, {("small", "a"): 2})):
        running = [a_running(f"a{n}", ends_in_s=90, overdue=overdue) for n in range(3)]
        assert placed(plan([a_busy("a", ONE)], demands, work=works(a=running))) == taken

"""Resources taken back: interactive users do not wait for batch, projects get their shares, and nobody is ended in vain."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle

from hypothesis import given
from hypothesis import strategies as st

from swath.domain.constraints import Constraint
from swath.domain.projects import Project
from swath.domain.resources import Resources
from swath.matching.model import AgentView, Claim, Demand, Policy, Preemption, Running, Tenants
from swath.matching.plan import plan
from tests.matching.build import ONE, a_busy, a_demand, a_running, an_agent, holding, placed, started, works


def victims(preemptions: tuple[Preemption, ...]) -> set[str]:
    return {entry.attempt for entry in preemptions}


def test_interactive_work_takes_back_what_the_least_important_and_youngest_hold():
    """Two cpus: the priority counts first, then the age; what may not be ended is left alone."""
    running = [
        a_running("important", priority=90, age_s=1),
        a_running("old", age_s=900),
        a_running("young", age_s=10),
        a_running("fixed", age_s=1, preemptible=False),
    ]
    result = plan([a_busy("a")], [a_demand("notebook", cpus=2, interactive=True)], work=works(a=running))
    assert victims(result.preemptions) == {"old", "young"}
    assert [claim.job for claim in result.claims] == ["notebook"]


def test_as_little_as_possible_is_taken_back_where_it_costs_least():
    """One attempt of two cpus rather than two of one; the agent whose attempts are young."""
    work = works(
        a=[a_running("a1", age_s=50), a_running("a2", 2, age_s=60), a_running("a3", age_s=70)],
        b=[a_running("b1", 4, age_s=9000)],
    )
    result = plan([a_busy("a"), a_busy("b")], [a_demand("notebook", cpus=2, interactive=True)], work=work)
    assert victims(result.preemptions) == {"a2"}


def test_nothing_more_is_taken_back_while_the_first_victims_end():
    """What they leave is promised, and nobody else gets it."""
    running = [a_running("v1", 1, ending=True), a_running("r", 2)]
    demand = a_demand("notebook", cpus=2, interactive=True)
    claims = (Claim(agent="a", job="notebook", resources=demand.resources, urgent=True),)
    agents = [a_busy("a", ONE)]
    result = plan(agents, [demand, a_demand("batch", 9, cpus=0.5)], work=works(a=running), claims=claims)
    assert result.preemptions == ()
    assert started(result) == {}


def test_what_is_free_beside_the_victims_is_kept_in_the_very_cycle_that_ends_them():
    """One cpu is free and one is taken back: the batch that waits would fill the first, and the promise could not be kept."""
    running = [a_running("v", 1, priority=1), a_running("fixed", 2, preemptible=False)]
    demands = [a_demand("notebook", cpus=2, interactive=True), a_demand("batch", 9, cpus=0.5)]
    result = plan([a_busy("a", ONE)], demands, work=works(a=running))
    assert victims(result.preemptions) == {"v"}
    assert started(result) == {}


STARVED = a_demand("poor", cpus=3, project="poor", waited_s=100)
PROMISED = Claim(agent="a", job="poor", resources=STARVED.resources, urgent=True)


def test_what_is_taken_back_for_a_share_stays_promised_in_the_cycles_in_which_nothing_may_be_taken_back():
    """The victims' own tasks wait again at once, and would begin where they were ended, to be ended again."""
    running = [a_running("v", 2, "rich", ending=True), a_running("r", 1, "rich")]
    again = a_demand("rich", 9, cpus=1, project="rich")
    between = Policy(preempt_for_share=False)
    agents = [a_busy("a", ONE)]
    for claims in (
        (PROMISED,),
        (PROMISED, replace(PROMISED, urgent=False)),
        (replace(PROMISED, urgent=False), PROMISED),
    ):
        result = plan(
            agents, [STARVED, again], work=works(a=running), tenants=holding(rich=3), policy=between, claims=claims
        )
        assert started(result) == {}
        assert PROMISED in result.claims


def test_what_is_taken_back_for_a_share_stays_promised_until_it_is_offered():
    """Between the victims' end and the offer nothing is ending and nothing can start."""
    agent = replace(a_busy("a", Resources(cpus_m=3000, mem=8192, disk=10_000)), offered=False, freed_lately=True)
    work, between = works(a=[a_running("r", 1, "rich")]), Policy(preempt_for_share=False)
    result = plan([agent], [STARVED], work=work, tenants=holding(rich=1), policy=between, claims=(PROMISED,))
    assert PROMISED in result.claims
    assert result.preemptions == ()


def test_what_is_overdue_is_not_counted_on_for_whom_others_are_ended():
    """Of four cpus one is free, one is being freed and two are overdue: a batch task of one may not begin in between."""
    running = [a_running("late", 2, ends_in_s=0, preemptible=False), a_running("victim", 1, ending=True)]
    demand = a_demand("notebook", cpus=2, interactive=True)
    claims = (Claim(agent="a", job="notebook", resources=demand.resources, urgent=True),)
    batch = a_demand("batch", 9, expected_s=0.1)
    result = plan([a_busy("a", ONE)], [demand, batch], work=works(a=running), claims=claims)
    assert (started(result), result.preemptions) == ({}, ())


def test_batch_takes_nothing_back_and_nobody_takes_where_room_is_about_to_be_offered():
    """An agent that is idle and not offered yet will be."""
    work = works(a=[a_running("r", 4)])
    assert plan([a_busy("a")], [a_demand("batch", cpus=2)], work=work).preemptions == ()
    idle = an_agent("b", offered=False)
    notebook = a_demand("notebook", interactive=True)
    assert plan([a_busy("a"), idle], [notebook], work=work).preemptions == ()
    late = a_demand("notebook", interactive=True, waited_s=10)  # it was not offered in all this time
    assert victims(plan([a_busy("a"), idle], [late], work=work).preemptions) == {"r"}


def test_a_starved_project_takes_back_what_others_hold_above_their_share():
    """Four agents of four cpus all held by one project: it keeps its half."""
    agents = [a_busy(f"a{n}") for n in range(4)]
    work = works(
        **{f"a{n}": [a_running(f"{n}{k}", project="rich", age_s=9 * n + k) for k in range(4)] for n in range(4)}
    )
    demand = a_demand("poor", 100, project="poor", waited_s=100)
    result = plan(agents, [demand], work=work, tenants=holding(rich=16))
    assert 0 < len(result.preemptions) <= 8
    assert all(entry.for_share for entry in result.preemptions)
    patient = a_demand("poor", 100, project="poor", waited_s=10)
    assert plan(agents, [patient], work=work, tenants=holding(rich=16)).preemptions == ()
    off = Policy(preempt_for_share=False)
    assert plan(agents, [demand], work=work, tenants=holding(rich=16), policy=off).preemptions == ()


def test_whom_nothing_can_help_does_not_stand_before_others():
    """Twenty demands of a starved project are larger than any agent; its last one gets its share all the same."""
    agents = [a_busy(f"a{n}") for n in range(4)]
    work = works(**{f"a{n}": [a_running(f"{n}{k}", project="rich") for k in range(4)] for n in range(4)})
    vain = [a_demand(f"vain{n:02}", cpus=64, project="poor", waited_s=100, priority=90) for n in range(20)]
    result = plan(
        agents, [*vain, a_demand("poor", 9, project="poor", waited_s=100)], work=work, tenants=holding(rich=16)
    )
    assert {entry.demand.job for entry in result.preemptions} == {"poor"}


def test_who_has_had_the_cluster_of_late_takes_nothing_back_from_who_has_not():
    """The order gives the newcomer what is free; what it got so must not be taken back in turn."""
    agents = [a_busy(f"a{n}") for n in range(5)]
    work = works(
        **{f"a{n}": [a_running(f"{n}{k}", project="new" if n < 3 else "old") for k in range(4)] for n in range(5)}
    )
    tenants = Tenants(held=holding(old=8, new=12).held, past={"old": 1.0})
    demands = [a_demand(name, 100, cpus=0.5, project=name, waited_s=1000) for name in ("old", "new")]
    assert plan(agents, demands, work=work, tenants=tenants).preemptions == ()


def test_a_project_at_its_share_takes_nothing_back():
    """Both hold half."""
    agents = [a_busy("a"), a_busy("b")]
    work = works(a=[a_running("a", 4, "x")], b=[a_running("b", 4, "y")])
    demands = [a_demand("j", 9, project="x", waited_s=1000)]
    assert plan(agents, demands, work=work, tenants=holding(x=4, y=4)).preemptions == ()


@given(
    st.lists(
        st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3), st.booleans()), max_size=4), min_size=1, max_size=4
    ),
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_victims_make_room_for_what_they_were_ended_for(rows: list[list[tuple[int, int, bool]]], cpus: int, count: int):
    """Every agent whose attempts are ended could hold a task once they are gone; what may not be ended never is."""
    work = {
        f"a{n}": [a_running(f"{n}-{k}", c, priority=p, preemptible=ok) for k, (c, p, ok) in enumerate(row)]
        for n, row in enumerate(rows)
    }
    used = {name: sum(entry.resources.cpus for entry in entries) for name, entries in work.items()}
    agents = [
        an_agent(name, cpus=12, offered=False, free=Resources(cpus_m=int(1000 * (12 - used[name]))), attributes={})
        for name in work
    ]
    full = [
        AgentView(id=view.id, free=Resources(mem=8192, disk=10_000), total=view.total, offered=False) for view in agents
    ]
    demand = a_demand("notebook", count, cpus=cpus, interactive=True)
    result = plan(full, [demand], work=works(**work))
    freed: dict[str, float] = {}
    for entry in result.preemptions:
        victim = next(one for one in work[entry.agent] if one.attempt == entry.attempt)
        assert victim.preemptible
        freed[entry.agent] = freed.get(entry.agent, 0) + victim.resources.cpus
    assert all(amount >= cpus for amount in freed.values())
    assert len({entry.attempt for entry in result.preemptions}) == len(result.preemptions)


SPREAD = Constraint(attribute="hostname", operator="unique")


def test_nothing_is_taken_back_where_the_jobs_own_tasks_are_in_the_way():
    """Each agent has a task of the job already, which wants no second one there; nor is an agent kept for it."""
    agents = [replace(a_busy(name), attributes={"hostname": name}) for name in ("a", "b")]
    work = works(**{name: [a_running(f"{name}{n}") for n in range(4)] for name in ("a", "b")})
    demand = a_demand("notebook", 3, interactive=True, constraints=(SPREAD,), running_on={"a": 1, "b": 1})
    result = plan(agents, [demand], work=work)
    assert (result.preemptions, result.claims) == ((), ())


def test_as_much_is_taken_back_as_tasks_can_start_beside_each_other():
    """Two of the three agents are in one rack, of which the job wants one task."""
    agents = [replace(a_busy(name), attributes={"rack": rack}) for name, rack in (("a", "1"), ("b", "1"), ("c", "2"))]
    work = works(**{name: [a_running(f"{name}{n}") for n in range(4)] for name in ("a", "b", "c")})
    apart = Constraint(attribute="rack", operator="unique")
    result = plan(agents, [a_demand("notebook", 3, interactive=True, constraints=(apart,))], work=work)
    assert {entry.agent for entry in result.preemptions} == {"a", "c"}
    assert len(result.preemptions) == 2


def test_agents_without_victims_do_not_hide_those_with_some():
    """A thousand agents have more room, but nothing on them may be ended."""
    half = Resources(cpus_m=2000, mem=1000, disk=1000)
    shy = [replace(a_busy(f"n{n}", half), offered=False) for n in range(1000)]
    work = works(
        z=[a_running(f"z{n}") for n in range(4)],
        **{f"n{n}": [a_running(f"n{n}", cpus=2, preemptible=False)] for n in range(1000)},
    )
    result = plan([*shy, a_busy("z")], [a_demand("notebook", cpus=4, interactive=True)], work=work)
    assert len(victims(result.preemptions)) == 4


def test_what_the_victims_have_left_is_awaited_until_it_is_offered():
    """They have ended a moment ago: their agent is free, and nobody else is ended meanwhile."""
    freed = replace(a_busy("a", ONE), offered=False, freed_lately=True)
    work = works(b=[a_running(f"b{n}") for n in range(4)])
    demand = a_demand("notebook", interactive=True, waited_s=30)
    claim = Claim(agent="a", job="notebook", resources=demand.resources, urgent=True)
    result = plan([freed, a_busy("b")], [demand], work=work, claims=[claim])
    assert (result.preemptions, result.claims) == ((), (claim,))
    late = replace(freed, freed_lately=False)  # somebody else has it
    assert plan([late, a_busy("b")], [demand], work=work, claims=[claim]).preemptions != ()


def test_what_is_free_beside_the_victims_is_kept_from_the_first_moment():
    """One of four cpus is free, and needed beside the one that is taken back: the batch job behind it does not get it."""
    work = works(a=[a_running(f"a{n}", ends_in_s=1e6) for n in range(3)])
    demands = [a_demand("notebook", cpus=2, interactive=True), a_demand("batch", 9, expected_s=60)]
    result = plan([a_busy("a", ONE)], demands, work=work)
    assert len(result.preemptions) == 1
    assert placed(result) == {}


def test_all_that_one_task_takes_back_leaves_its_owner_a_fair_share():
    """Each of the four alone could be spared, but not all of them: whoever lost everything would be the next to take."""
    work = works(a=[a_running(f"a{n}", project="rich") for n in range(4)])
    large = a_demand("large", cpus=4, project="poor", waited_s=100)
    assert plan([a_busy("a")], [large], work=work, tenants=holding(rich=4)).preemptions == ()
    half = a_demand("half", cpus=2, project="poor", waited_s=100)
    assert len(plan([a_busy("a")], [half], work=work, tenants=holding(rich=4)).preemptions) == 2


def test_what_was_taken_back_is_kept_in_cycles_that_take_nothing_back():
    """Though only one agent may be kept by itself, and another one is: else those that were ended began anew in its place."""
    work = works(
        a=[a_running(f"a{n}", project="rich") for n in range(4)],
        b=[a_running(f"b{n}", project="rich", ending=True) for n in range(4)],
    )
    large = a_demand("large", 2, cpus=4, project="poor", waited_s=100)
    claims = [Claim(agent=name, job="large", resources=large.resources, urgent=name == "b") for name in ("a", "b")]
    resting = Policy(preempt_for_share=False)
    result = plan(
        [a_busy("a"), a_busy("b")], [large], work=work, tenants=holding(rich=8), claims=claims, policy=resting
    )
    assert claims[1] in result.claims


def test_what_is_overdue_does_not_count_as_free_beside_the_victims():
    """It may run on for long: the batch job gets nothing of what is free and needed together with what the victim leaves."""
    overdue = a_running("overdue", cpus=2, ends_in_s=0, preemptible=False)
    work = works(a=[overdue, a_running("batch", ends_in_s=1e6)])
    demands = [a_demand("notebook", cpus=2, interactive=True), a_demand("batch", 9, expected_s=60)]
    result = plan([a_busy("a", ONE)], demands, work=work)
    assert victims(result.preemptions) == {"batch"}
    assert placed(result) == {}


def test_nothing_is_taken_back_where_nothing_may_start_yet():
    """The agent is busy starting as many tasks as it may at once: what victims left there would lie idle."""
    work = works(a=[a_running(f"a{n}") for n in range(4)], b=[a_running(f"b{n}", priority=99) for n in range(4)])
    demand = a_demand("notebook", interactive=True)
    busy = replace(a_busy("a"), starting=2)
    result = plan([busy, a_busy("b")], [demand], work=work, policy=Policy(most_starting=2))
    assert {entry.agent for entry in result.preemptions} == {"b"}


def test_all_that_others_were_ended_for_on_one_agent_is_kept():
    """Two tasks of one job are to come to the agent, or one of each of two jobs: the batch fits beside one of them only."""
    running = [a_running(f"v{n}", cpus=1, ending=True) for n in range(3)]
    batch = a_demand("batch", 9, cpus=1, expected_s=60)
    for jobs in (("x", "x"), ("x", "y")):
        demands = [a_demand(job, jobs.count(job), cpus=2, interactive=True) for job in sorted(set(jobs))]
        claims = [Claim(agent="a", job=job, resources=demands[0].resources, urgent=True) for job in jobs]
        result = plan([a_busy("a", ONE)], [*demands, batch], work=works(a=running), claims=claims)
        assert (started(result), result.preemptions) == ({}, ())
        assert sorted(claim.job for claim in result.claims) == list(jobs)


def test_a_cycle_that_is_cut_short_forgets_nobody_for_whom_others_were_ended():
    """Of two jobs that are to come to one agent the first has its turn, and the cycle ends."""
    running = [a_running(f"v{n}", cpus=1, ending=True) for n in range(4)]
    demands = [a_demand(job, cpus=2, interactive=True, priority=n) for n, job in enumerate("yx")]
    claims = [Claim(agent="a", job=job, resources=demands[0].resources, urgent=True) for job in "xy"]
    other = a_demand("other", 9, cpus=1, interactive=True)
    result = plan([a_busy("a"), an_agent("b", cpus=1)], [*demands, other], work=works(a=running), claims=claims, most=1)
    assert result.cut
    assert sorted(claim.job for claim in result.claims) == ["x", "y"]


def test_a_quota_is_kept_for_what_others_were_ended_for():
    """Two projects share four cpus of quota: while the victim of the one ends, the other may not take the last of them."""
    tenants = Tenants(
        projects={
            "both": Project(name="both", quota={"cpus": 4000}),
            "x": Project(name="x", parent="both"),
            "y": Project(name="y", parent="both"),
        },
        held=holding(y=2).held,
    )
    screen = a_demand("screen", cpus=2, project="x", interactive=True)
    batch = a_demand("batch", 9, cpus=1, project="y", expected_s=60)
    agents, running = [a_busy("a"), an_agent("b", cpus=1)], [a_running(f"v{n}", 2, project="z") for n in range(2)]
    first = plan(agents, [screen, batch], tenants=tenants, work=works(a=running))
    assert (len(first.preemptions), started(first)) == (1, {})
    ending = [replace(running[0], ending=True), running[1]]
    again = plan(agents, [screen, batch], tenants=tenants, work=works(a=ending), claims=first.claims)
    assert (again.preemptions, started(again), again.claims) == ((), {}, first.claims)


class Rounds:
    """One busy agent, round by round: batch runs until it is ended and begins anew where it may, who is at a screen stays."""

    def __init__(self, batch: list[int], screens: list[tuple[int, int]], graces: list[int]) -> None:
        self.now = 0
        self.preempted = 0
        self._left = {f"b{n}": (1, cpus) for n, cpus in enumerate(batch)}
        self._left |= {f"s{n}": (count, cpus) for n, (count, cpus) in enumerate(screens)}
        self._live: dict[str, tuple[str, int, int | None]] = {}  # attempt -> job, cpus, when it ends
        self._claims: tuple[Claim, ...] = ()
        self._graces = cycle(graces)
        self._names = iter(range(10_000))

    def go(self) -> None:
        """What was ended long enough ago is gone; then a plan, and what it says is done."""
        self.now += 1
        for attempt, (job, cpus, ends) in list(self._live.items()):
            if ends is not None and ends <= self.now:
                del self._live[attempt]
                self._left[job] = (self._left[job][0] + 1, cpus)
        used = sum(cpus for _, cpus, _ in self._live.values())
        view = replace(an_agent("a", cpus=8), free=Resources(cpus_m=1000 * (8 - used), mem=8192, disk=10_000))
        result = plan([view], self._demands(), work=works(a=self._running()), claims=self._claims)
        self._claims = result.claims
        for (job, _), count in placed(result).items():
            left, cpus = self._left[job]
            self._left[job] = (left - count, cpus)
            self._live |= {f"{job}-{next(self._names)}": (job, cpus, None) for _ in range(count)}
        for entry in result.preemptions:
            job, cpus, ends = self._live[entry.attempt]
            assert ends is None
            self._live[entry.attempt] = (job, cpus, self.now + next(self._graces))
            self.preempted += 1

    def _demands(self) -> list[Demand]:
        return [
            a_demand(job, count, cpus=cpus, interactive=job.startswith("s"), expected_s=60, waited_s=self.now, mem=0)
            for job, (count, cpus) in self._left.items()
            if count and (self.now > 1 or job.startswith("b"))
        ]

    def _running(self) -> list[Running]:
        return [
            a_running(name, cpus, job=job, ending=ends is not None, preemptible=job.startswith("b"), ends_in_s=30)
            for name, (job, cpus, ends) in self._live.items()
        ]


@given(
    batch=st.lists(st.integers(1, 2), min_size=8, max_size=10),
    screens=st.lists(st.tuples(st.integers(1, 2), st.integers(2, 3)), min_size=1, max_size=3),
    graces=st.lists(st.integers(1, 9), min_size=3, max_size=7),
)
def test_nobody_is_ended_twice_for_the_same_task(batch: list[int], screens: list[tuple[int, int]], graces: list[int]):
    """A task at a screen costs no more attempts than it has cpus: what they leave, one by one, is its own."""
    rounds = Rounds(batch, screens, graces)
    for _ in range(40):
        rounds.go()
    assert rounds.preempted <= sum(count * cpus for count, cpus in screens)

"""The engine against schedules that were worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from swath.domain.constraints import Constraint
from swath.domain.errors import InternalError, InvalidInputError
from swath.matching.model import Assignment, Plan
from swath.simulation.books import Books
from swath.simulation.engine import simulate
from swath.simulation.history import End
from swath.simulation.model import Cluster, Timing, Trace, TraceAgent
from tests.simulate.build import EXACT, a_job, agents, ends, run, schedule


def test_one_agent_serves_one_task_after_the_other() -> None:
    """Three jobs on one cpu: each begins when the one before has ended, the oldest first."""
    history = run(agents(1), a_job("a", 0, 10), a_job("b", 2, 5), a_job("c", 1, 3))
    assert schedule(history) == [("a", 0, 0, 10), ("c", 0, 10, 13), ("b", 0, 13, 18)]
    assert history.ended_s == 18


def test_an_idle_cluster_waits_for_the_next_submission() -> None:
    """Nothing is launched before it was submitted."""
    history = run(agents(1), a_job("a", 0, 1), a_job("b", 100, 1))
    assert schedule(history) == [("a", 0, 0, 1), ("b", 0, 100, 101)]


def test_an_array_spreads_over_what_is_free_and_the_rest_follows() -> None:
    """Five tasks on two agents of two cpus: four at once, the fifth when the first ends."""
    history = run(agents(2, cpus=2), a_job("a", 0, 4, 3, 2, 1, 9))
    assert [launched for _, _, launched, _ in schedule(history)] == [0, 0, 0, 0, 1]
    assert history.ended_s == 10


def test_the_largest_priority_goes_first() -> None:
    """Not the oldest job."""
    history = run(agents(1), a_job("a", 0, 10), a_job("low", 1, 1, priority=10), a_job("high", 2, 1, priority=90))
    assert [job for job, *_ in schedule(history)] == ["a", "high", "low"]


def test_a_job_runs_no_more_tasks_at_once_than_it_allows() -> None:
    """max_running=2 of four: two pairs, one after the other."""
    history = run(agents(4), a_job("a", 0, 5, 5, 5, 5, max_running=2))
    assert [launched for _, _, launched, _ in schedule(history)] == [0, 0, 5, 5]


def test_a_constraint_keeps_a_job_waiting_for_its_agent() -> None:
    """The other agent stays idle."""
    there = Constraint(attribute="zone", operator="equals", value="b")
    size = agents(1).agents[0].total
    cluster = Cluster(
        name="two zones",
        agents=(TraceAgent(id="a", total=size), TraceAgent(id="b", total=size, attributes={"zone": "b"})),
    )
    history = run(cluster, a_job("x", 0, 5, 5, constraints=(there,)))
    assert history.attempts.agent.tolist() == [1, 1]
    assert history.ended_s == 10


def test_plans_are_a_cycle_apart() -> None:
    """What ends between two cycles is used by the next one."""
    timing = Timing(cycle_s=4.0)
    history = run(agents(1), a_job("a", 0, 1), a_job("b", 0, 1), timing=timing)
    assert schedule(history) == [("a", 0, 0, 1), ("b", 0, 4, 5)]


def test_starting_takes_time_and_pulling_an_image_more() -> None:
    """The agent is held meanwhile; the second task finds the image there."""
    timing = Timing(cycle_s=0.0, launch_s=1.0, pull_s=20.0)
    history = run(agents(1), a_job("a", 0, 10, 10, image="ndvi"), timing=timing)
    assert schedule(history) == [("a", 0, 0, 31), ("a", 1, 31, 42)]
    assert history.attempts.started.tolist() == [21, 32]


def test_executors_take_their_part() -> None:
    """Two cpus of which an executor takes one run one task at a time."""
    reserved = agents(1).agents[0].total
    history = run(agents(1, cpus=2, reserved=reserved), a_job("a", 0, 5, 5))
    assert [launched for _, _, launched, _ in schedule(history)] == [0, 5]


def test_what_can_never_run_ends_the_simulation_with_a_reason() -> None:
    """It neither hangs nor forgets the job."""
    history = run(agents(1), a_job("huge", 0, 1, cpus=2), a_job("a", 0, 7))
    assert [job for job, *_ in schedule(history)] == ["a"]
    assert "needs 2 cpus" in history.waiting["huge"]


def test_the_simulation_may_be_cut() -> None:
    """What runs then is marked, what waits is told."""
    history = run(agents(1), a_job("a", 0, 10, 10, 10), timing=Timing(cycle_s=0.0, until_s=15.0))
    assert schedule(history) == [("a", 0, 0, 10), ("a", 1, 10, 15)]
    assert ends(history) == [End.FINISHED, End.CUT]
    assert set(history.waiting) == {"a"}
    assert history.ended_s == 15


def test_progress_is_told() -> None:
    """Tasks done and the time of the cluster, both rising to the end."""
    told: list[tuple[int, float]] = []
    run(agents(1), a_job("a", 0, 2, 2), on_progress=lambda done, now: told.append((done, now)))
    assert told == sorted(told)
    assert told[-1] == (2, 4.0)


def test_a_plan_that_overcommits_is_an_error() -> None:
    """The engine verifies what it is told, as the scheduler does."""

    def careless(books: Books, now: float) -> Plan:
        rows, views = np.array([0]), books.make_views()
        demands = books.make_demands(now)
        twice = [Assignment(demand=demand, views=views, rows=rows, counts=np.array([2])) for demand in demands]
        return Plan(assignments=tuple(twice))

    with pytest.raises(InternalError, match="more on agent a0"):
        simulate(Trace(name="t", jobs=(a_job("a", 0, 1, 1),)), agents(1), careless, timing=EXACT)


def test_two_jobs_of_one_id_are_refused() -> None:
    """With the id."""
    with pytest.raises(InvalidInputError, match="'a'"):
        run(agents(1), a_job("a", 0, 1), a_job("a", 1, 1))


def test_an_empty_trace_is_over_at_once() -> None:
    """Without a plan."""
    history = run(agents(1))
    assert (len(history.attempts), history.plans, history.ended_s) == (0, 0, 0.0)

"""Preemption in the simulation: what is taken back, what that costs, and that nothing is lost by it."""

from __future__ import annotations

import pytest

from swath.matching.model import Policy
from swath.matching.policies import PRESETS
from swath.simulation.books import Books, JobBook
from swath.simulation.engine import simulate
from swath.simulation.figures import make_figures
from swath.simulation.history import End, History
from swath.simulation.model import Cluster, Timing, Trace, TraceJob
from swath.simulation.planning import make_planner
from swath.simulation.waits import make_waits
from tests.simulate.build import a_job, agents, ends, schedule

GRACE = Timing(cycle_s=0.0, grace_s=5.0)


def run(cluster: Cluster, *jobs: TraceJob, policy: Policy | None = None) -> History:
    return simulate(Trace(name="t", jobs=jobs), cluster, make_planner(policy), timing=GRACE)


BATCH = a_job("batch", 0, 100)
SCREEN = a_job("screen", 20, 10, interactive=True, preemptible=False)


def test_interactive_work_takes_an_agent_back_from_batch() -> None:
    """After the victim's grace; the victim runs again from its beginning."""
    history = run(agents(1), BATCH, SCREEN)
    batch, screen, again = schedule(history)
    assert (batch[0], batch[2], ends(history)[0]) == ("batch", 0, End.PREEMPTED)
    assert batch[3] <= 30
    assert (screen[0], screen[2]) == ("screen", batch[3])
    assert again == ("batch", 0, screen[3], screen[3] + 100)
    figures = make_figures(history)
    assert (figures.preemptions, figures.wasted_s) == (1, batch[3])
    assert figures.wasted_cpu_hours == pytest.approx(batch[3] / 3600)
    assert figures.projects[0].preempted == 1


def test_who_finishes_within_the_grace_was_not_preempted() -> None:
    """Nothing was lost."""
    history = run(agents(1), a_job("batch", 0, 22), SCREEN)
    assert ends(history) == [End.FINISHED, End.FINISHED]
    assert schedule(history)[1][2] == 22


def test_first_in_first_out_takes_nothing_back() -> None:
    """The screen waits for the batch."""
    history = run(agents(1), BATCH, SCREEN, policy=PRESETS["fifo"])
    assert schedule(history) == [("batch", 0, 0, 100), ("screen", 0, 100, 110)]


def test_what_is_not_preemptible_stays() -> None:
    """Whoever waits."""
    history = run(agents(1), a_job("batch", 0, 100, preemptible=False), SCREEN)
    assert schedule(history)[1] == ("screen", 0, 100, 110)


def test_a_project_below_its_share_takes_it_back() -> None:
    """After its patience, of one that holds more than its own; and not where the policy forbids it."""
    hog, first = a_job("hog", 0, 1000, 1000, 1000, project="p"), a_job("first", 0, 1000, project="q")
    late = a_job("late", 10, 50, project="q")
    assert 70 <= start_of("late", run(agents(4), hog, first, late)) < 200
    assert start_of("late", run(agents(4), hog, first, late, policy=Policy(preempt_for_share=False))) == 1000


def test_a_project_without_anything_gets_its_share() -> None:
    """One that came late and has never held a thing is below its share too."""
    hog, late = a_job("hog", 0, *[1000] * 4, project="p"), a_job("late", 10, 50, 50, project="q")
    starts = [launched for job, _, launched, _ in schedule(run(agents(4), hog, late)) if job == "late"]
    assert len(starts) == 2
    assert max(starts) < 200


def test_shares_are_taken_back_once_in_a_while() -> None:
    """Every time costs work that was done: the next project's turn is ten seconds after the last one's."""
    books, decide = Books(agents(6), GRACE), make_planner()
    hog = JobBook(0, a_job("hog", 0, *[1000] * 6, project="p"))
    for job in (hog, JobBook(1, a_job("q", 10, 500, project="q")), JobBook(2, a_job("r", 16, 500, project="r"))):
        books.submit(job)
    for agent in books.agents.values():
        books.start(books.launch(hog, agent, 0.0))
    preempted = {}
    for now in (72.0, 78.0, 83.0):
        found = decide(books, now).preemptions
        preempted[now] = [preemption.demand.job for preemption in found]
        for preemption in found:
            books.live[int(preemption.attempt)].ask(now, 100.0)
    assert preempted == {72.0: ["q"], 78.0: [], 83.0: ["r"]}


def test_a_preempted_task_waits_from_its_end_to_its_next_launch() -> None:
    """Beside the wait for its first launch."""
    history = run(agents(1), BATCH, SCREEN)
    waits = make_waits(history)
    again = ~waits.first
    assert again.tolist().count(True) == 1
    first, _, second = schedule(history)
    assert (waits.begun[again], waits.ended[again]) == (first[3], second[2])


def test_a_large_task_is_not_starved_by_small_ones() -> None:
    """It gets a whole agent soon; first come first served without reservations lets it wait until the stream ends."""
    stream = [
        a_job(f"s{n:03d}", 5 * n, 10, 10, 10, 10) for n in range(40)
    ]  # they overlap: eight cpus are never free at once
    jobs = sorted([*stream, a_job("large", 12, 10, cpus=8)], key=lambda job: job.submitted_s)
    kept, starved = (run(agents(1, cpus=8), *jobs, policy=PRESETS[name]) for name in ("fair", "fifo"))
    assert start_of("large", kept) < 30
    assert start_of("large", starved) >= 200


def start_of(job: str, history: History) -> float:
    return next(launched for name, _, launched, _ in schedule(history) if name == job)

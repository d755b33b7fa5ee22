"""The matcher's look ahead against the simulation of the same cluster: two ways to the same future."""

from __future__ import annotations

from dataclasses import replace
from statistics import median

import pytest

from swath.matching.forecast import Start, forecast
from swath.matching.model import Policy
from swath.simulation.books import Books, JobBook
from swath.simulation.engine import simulate
from swath.simulation.history import History
from swath.simulation.model import Timing, Trace, TraceJob
from swath.simulation.planning import make_planner
from swath.simulation.synthetic import Synthetic, make_trace
from tests.simulate.build import agents

CLUSTER = agents(6, cpus=8, mem=64 * 1024)
CALM = Policy(preempt=False, preempt_for_share=False)  # a forecast takes nothing back
WORK = Synthetic(jobs=12, tasks=40, hours=0.1, large=0.1, large_cpus=8)


def as_expected(seed: int) -> Trace:
    """Everything is submitted at once, and every task runs just as long as its job expects."""
    trace = make_trace(WORK, seed)
    return replace(trace, jobs=tuple(at_once(job, 50.0 + 10 * (number % 5)) for number, job in enumerate(trace.jobs)))


def at_once(job: TraceJob, run_s: float) -> TraceJob:
    return replace(job, submitted_s=0.0, runs_s=(run_s,) * len(job.runs_s), expected_s=run_s)


def foresee(trace: Trace) -> dict[str, Start]:
    books = Books(CLUSTER, Timing())
    for number, job in enumerate(trace.jobs):
        books.submit(JobBook(number, job))
    return forecast(books.make_views(), books.make_demands(0.0), policy=CALM)


def last_starts(history: History) -> dict[str, float]:
    table = history.attempts
    return {job.id: float(table.launched[table.job == row].max()) for row, job in enumerate(history.trace.jobs)}


@pytest.fixture(scope="module")
def futures() -> list[tuple[dict[str, float], dict[str, float]]]:
    """(foreseen, come) last starts by job, of some workloads that take ten to thirty mean run times."""
    found = []
    for seed in range(6):
        trace = as_expected(seed)
        come = last_starts(simulate(trace, CLUSTER, make_planner(CALM), timing=Timing(cycle_s=0.0)))
        foreseen = {job: start.last_s for job, start in foresee(trace).items() if start.last_s is not None}
        found.append((foreseen, come))
    return found


def test_every_job_has_a_forecast(futures: list[tuple[dict[str, float], dict[str, float]]]) -> None:
    """To its last task, however long the queue."""
    assert [set(foreseen) for foreseen, _ in futures] == [set(come) for _, come in futures]


def test_starts_come_when_they_were_foreseen(futures: list[tuple[dict[str, float], dict[str, float]]]) -> None:
    """Within a tenth for half of the jobs."""
    errors = [abs(foreseen[job] - came) / came for foreseen, come in futures for job, came in come.items() if came > 0]
    assert len(errors) > 40
    assert median(errors) < 0.1


def test_the_end_of_the_queue_is_foreseen(futures: list[tuple[dict[str, float], dict[str, float]]]) -> None:
    """Coarse steps far ahead neither waste nor invent room: within a quarter."""
    for foreseen, come in futures:
        assert 0.8 < max(foreseen.values()) / max(come.values()) < 1.25

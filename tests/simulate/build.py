"""Small workloads and clusters, and how a history is read by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swath.domain.errors import InvalidInputError
from swath.domain.resources import Resources
from swath.simulation.engine import simulate
from swath.simulation.history import End, History
from swath.simulation.model import Cluster, Timing, Trace, TraceAgent, TraceJob
from swath.simulation.planning import make_planner

DATA = Path(__file__).parent / "data"
EXACT = Timing(cycle_s=0.0, grace_s=0.0)  # a plan at the very moment at which something changes


def a_job(name: str, at: float, *runs_s: float, cpus: float = 1, mem: int = 0, **more: Any) -> TraceJob:
    return TraceJob(
        id=name, submitted_s=at, runs_s=runs_s, resources=Resources(cpus_m=round(cpus * 1000), mem=mem), **more
    )


def agents(count: int, cpus: float = 1, mem: int = 0, **more: Any) -> Cluster:
    total = Resources(cpus_m=round(cpus * 1000), mem=mem)
    return Cluster(name="test", agents=tuple(TraceAgent(id=f"a{n}", total=total) for n in range(count)), **more)


def run(cluster: Cluster, *jobs: TraceJob, timing: Timing = EXACT, **more: Any) -> History:
    return simulate(Trace(name="test", jobs=jobs), cluster, make_planner(), timing=timing, **more)


def schedule(history: History) -> list[tuple[str, int, float, float]]:
    """(job, task, launched, ended) of every attempt, in the order of the launches."""
    table = history.attempts
    jobs = [history.trace.jobs[number].id for number in table.job]
    return list(zip(jobs, table.task.tolist(), table.launched.tolist(), table.ended.tolist(), strict=True))


def ends(history: History) -> list[End]:
    return [End(end) for end in history.attempts.end]


@contextmanager
def refused_by_line() -> Iterator[None]:
    """Whatever is done within succeeds, or is refused with the number of a line."""
    try:
        yield
    except InvalidInputError as refused:
        if "line " not in str(refused):
            raise AssertionError(f"no line is named: {refused}") from refused

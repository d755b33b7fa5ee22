"""A history in figures: waits, slowdowns, utilisation, fairness, and what preemption has cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from swath.simulation.history import Bools, End, Floats, History, Ints
from swath.simulation.timeline import Timeline, make_timeline
from swath.simulation.waits import first_rows, first_waits, last_rows

SHORTEST_S = 10.0  # a slowdown is bounded by it: a task of a second is not hurt by waiting for five


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """How some numbers lie; NaN where there are none."""

    mean: float
    median: float
    p95: float
    largest: float

    @classmethod
    def of(cls, values: Floats) -> Spread:
        """Of all `values`."""
        if not len(values):
            return cls(mean=np.nan, median=np.nan, p95=np.nan, largest=np.nan)
        median, p95 = np.percentile(values, [50, 95])
        return cls(mean=float(values.mean()), median=float(median), p95=float(p95), largest=float(values.max()))


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectFigures:
    """What one project got."""

    project: str
    weight: float
    tasks: int
    wait_s: Spread
    cpu_hours: float
    share: float  # its mean dominant share while it had tasks waiting, 0 to 1; NaN if it never had
    preempted: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What one policy made of one workload."""

    policy: str
    tasks: int
    finished: int
    never_ran: int
    makespan_s: float  # from the first submission to the last end
    wait_s: Spread  # of tasks, from submission to first launch; those that never ran are not in it
    wait_interactive_s: Spread
    wait_large_s: Spread  # of tasks that need at least half of the largest agent
    slowdown: Spread  # bounded: (wait + run) / max(run, 10 s), at least 1 (Feitelson 2001)
    turnaround_s: Spread  # of jobs, from submission to the end of the last task; finished jobs only
    utilisation: Mapping[str, float]  # by resource, over the makespan
    utilisation_waiting: Mapping[str, float]  # by resource, while tasks waited
    fairness: float  # Jain's index, the mean over the time in which something was to be divided; NaN if there was none
    preemptions: int
    wasted_s: float  # seconds that preempted attempts had run
    wasted_cpu_hours: float
    plans: int
    projects: tuple[ProjectFigures, ...]


def make_figures(
    history: History, timeline: Timeline | None = None, *, weights: Mapping[str, float] | None = None
) -> Figures:
    """All figures of the history; `timeline` where it is there already."""
    line = timeline or make_timeline(history, weights=weights)
    attempts = history.attempts
    preempted = attempts.end == End.PREEMPTED
    finished = int((attempts.end == End.FINISHED).sum())
    rows = first_rows(history)
    wait = first_waits(history)
    jobs = attempts.job[rows]
    lost = np.where(preempted, attempts.ended - attempts.launched, 0.0)
    return Figures(
        policy=history.policy,
        tasks=history.trace.tasks,
        finished=finished,
        never_ran=history.trace.tasks - len(rows),
        makespan_s=float(history.ended_s - line.edges[0]),
        wait_s=Spread.of(wait),
        wait_interactive_s=Spread.of(wait[_interactive(history)[jobs]]),
        wait_large_s=Spread.of(wait[_large(history)[jobs]]),
        slowdown=Spread.of(_slowdowns(history)),
        turnaround_s=Spread.of(_turnarounds(history)),
        utilisation=_utilisation(line, np.ones(len(line.edges) - 1, dtype=np.bool_)),
        utilisation_waiting=_utilisation(line, line.contended),
        fairness=_mean(line.fairness),
        preemptions=int(preempted.sum()),
        wasted_s=float(lost.sum()),
        wasted_cpu_hours=float((lost * _cpus(history)[attempts.job]).sum() / 3600),
        plans=history.plans,
        projects=tuple(_of_project(history, line, number, rows, wait) for number in range(len(line.projects))),
    )


def _of_project(history: History, line: Timeline, number: int, rows: Ints, wait: Floats) -> ProjectFigures:
    attempts, owners = history.attempts, history.job_projects
    own = owners[attempts.job] == number
    held = (attempts.ended - attempts.launched) * _cpus(history)[attempts.job]
    waiting = line.waiting[number] >= 1.0
    return ProjectFigures(
        project=line.projects[number],
        weight=float(line.weights[number]),
        tasks=int(history.sizes[owners == number].sum()),
        wait_s=Spread.of(wait[owners[attempts.job[rows]] == number]),
        cpu_hours=float(held[own].sum() / 3600),
        share=_mean(line.shares[number][waiting]),
        preempted=int((own & (attempts.end == End.PREEMPTED)).sum()),
    )


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _utilisation(line: Timeline, spans: Bools) -> dict[str, float]:
    """The mean over `spans`, by resource."""
    used = line.used.sum(axis=0)[:, spans]
    return {name: _mean(used[row]) for row, name in enumerate(line.resources)}


def _cpus(history: History) -> Floats:
    """Of one task of each job."""
    return history.needs(["cpus"])[:, 0] / 1000


def _interactive(history: History) -> Bools:
    return np.array([job.interactive for job in history.trace.jobs], dtype=np.bool_)


def _large(history: History) -> Bools:
    """Jobs whose tasks need half of the largest agent or more, of any resource."""
    agents = [(agent.total - history.cluster.reserved).amounts() for agent in history.cluster.agents]
    largest: dict[str, int] = {}
    for amounts in agents:
        largest = {name: max(largest.get(name, 0), amounts.get(name, 0)) for name in {*largest, *amounts}}
    needs = [job.resources.amounts() for job in history.trace.jobs]
    return np.array([any(2 * need >= largest.get(name, 0) for name, need in row.items()) for row in needs], dtype=bool)


def _slowdowns(history: History) -> Floats:
    """Of finished tasks; one that was preempted has run in vain before, and that counts as waiting."""
    attempts, last = history.attempts, last_rows(history)
    done = last[attempts.end[last] == End.FINISHED]
    response = attempts.ended[done] - history.submitted[attempts.job[done]]
    run = attempts.ended[done] - attempts.started[done]
    return np.asarray(np.maximum(response / np.maximum(run, SHORTEST_S), 1.0), dtype=np.float64)


def _turnarounds(history: History) -> Floats:
    """Of jobs all of whose tasks have finished."""
    attempts, sizes = history.attempts, history.sizes
    done = attempts.end == End.FINISHED
    ended = np.zeros(len(sizes))
    np.maximum.at(ended, attempts.job[done], attempts.ended[done])
    whole = np.bincount(attempts.job[done], minlength=len(sizes)) == sizes
    return np.asarray((ended - history.submitted)[whole], dtype=np.float64)

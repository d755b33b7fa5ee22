"""How long tasks wait: from a submission, or from a preemption, to the next launch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from swath.simulation.history import Bools, End, Floats, History, Ints


@dataclass(frozen=True, kw_only=True, slots=True)
class Waits:
    """A row a wait; a task has one more after each preemption."""

    job: Ints  # index in the trace
    begun: Floats  # seconds since the trace began
    ended: Floats  # the launch; the simulation's end where there was none
    first: Bools  # since the submission
    launched: Bools  # it ended with a launch


def make_waits(history: History) -> Waits:
    """Every wait of the history."""
    parts = (_before_launches(history), _never_launched(history), _not_launched_again(history))
    names = Waits.__dataclass_fields__
    return Waits(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def first_waits(history: History) -> Floats:
    """Seconds from submission to first launch of every task that was launched, task by task."""
    rows = first_rows(history)
    return history.attempts.launched[rows] - history.submitted[history.attempts.job[rows]]


def first_rows(history: History) -> Ints:
    """The rows of the attempts that are the first of their task, task by task."""
    order, starts = _by_task(history)
    return order[starts]


def last_rows(history: History) -> Ints:
    """The rows of the attempts that are the last of their task, task by task."""
    order, starts = _by_task(history)
    return order[np.append(starts[1:], True)] if len(order) else order


def _by_task(history: History) -> tuple[Ints, Bools]:
    """The attempts' rows by task and launch, and which of them are their task's first."""
    attempts = history.attempts
    order = np.lexsort((attempts.launched, attempts.task, attempts.job))
    job, task = attempts.job[order], attempts.task[order]
    starts = np.ones(len(order), dtype=np.bool_)
    starts[1:] = (np.diff(job) != 0) | (np.diff(task) != 0)
    return order, starts


def _before_launches(history: History) -> Waits:
    order, first = _by_task(history)
    attempts, submitted = history.attempts, history.submitted
    job = attempts.job[order]
    before = np.roll(attempts.ended[order], 1)  # of the same task where this is not its first
    return Waits(
        job=job,
        begun=np.where(first, submitted[job], before),
        ended=attempts.launched[order],
        first=first,
        launched=np.ones(len(order), dtype=np.bool_),
    )


def _never_launched(history: History) -> Waits:
    sizes = history.sizes
    launched = np.bincount(history.attempts.job[first_rows(history)], minlength=len(sizes))
    submitted = history.submitted
    in_time = submitted <= history.ended_s
    job = np.repeat(np.arange(len(sizes)), np.where(in_time, sizes - launched, 0))
    return _open(history, job, submitted[job], first=True)


def _not_launched_again(history: History) -> Waits:
    last = last_rows(history)
    rows = last[history.attempts.end[last] == End.PREEMPTED]
    return _open(history, history.attempts.job[rows], history.attempts.ended[rows], first=False)


def _open(history: History, job: Ints, begun: Floats, *, first: bool) -> Waits:
    return Waits(
        job=job,
        begun=begun,
        ended=np.full(len(job), history.ended_s),
        first=np.full(len(job), first),
        launched=np.zeros(len(job), dtype=np.bool_),
    )

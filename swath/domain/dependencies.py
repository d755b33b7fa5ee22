"""What jobs wait for: other jobs as wholes, or task by task. Everything here works on ranges: a million tasks are one pair."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from typing import Any

from swath.domain.ranges import Ranges
from swath.domain.states import JobCounts, JobState, TaskState, job_state

MOST_DEPENDENCIES = 200  # of one job: each is read whenever a scheduler starts while the job waits


class Condition(StrEnum):
    """What is waited for."""

    SUCCEEDED = "succeeded"
    ENDED = "ended"  # whichever way


@dataclass(frozen=True, kw_only=True, slots=True)
class Dependency:
    """That a job starts after another one, or each of its tasks after the task of the same index there."""

    job: str  # id of the job that is waited for
    condition: Condition = Condition.SUCCEEDED
    elementwise: bool = False  # between arrays of equal length

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Dependency:
        """The dependency of an entry of a job document's `after`."""
        return cls(
            job=document["job"],
            condition=Condition(document.get("condition") or Condition.SUCCEEDED),
            elementwise=bool(document.get("elementwise")),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Upstream:
    """A job that others wait for, as far as they have to know it."""

    id: str
    name: str
    counts: JobCounts
    succeeded: Ranges | None = None  # indices; None where nobody waits for single tasks
    unsuccessful: Ranges | None = None  # FAILED or CANCELLED, with a row or without

    @property
    def ended(self) -> bool:
        """True when no task of it will run, unless somebody asks for a retry."""
        return self.counts.complete

    @property
    def has_succeeded(self) -> bool:
        """True when all of its tasks have."""
        return self.counts.succeeded == self.counts.total

    def __str__(self) -> str:
        return f"job {self.name} ({self.id})"


def make_upstream(
    *,
    id: str,
    name: str,
    counts: JobCounts,
    pending: Ranges,
    dropped: Ranges,
    rows: Mapping[TaskState, Ranges],
) -> Upstream:
    """A job as its stored row tells it: `pending` are its tasks without a row, `rows` those with one by state, except for
    the many that have succeeded: they are the others.
    """
    nothing = Ranges()
    unfinished = pending.union(*(rows.get(state, nothing) for state in TaskState if state is not TaskState.SUCCEEDED))
    unsuccessful = dropped.union(*(rows.get(state, nothing) for state in (TaskState.FAILED, TaskState.CANCELLED)))
    if counts.pending == rows.get(TaskState.PENDING, nothing).count:  # then those without a row do not wait any more
        unsuccessful = unsuccessful.union(pending)
    succeeded = Ranges.of(counts.total).minus(unfinished)
    return Upstream(id=id, name=name, counts=counts, succeeded=succeeded, unsuccessful=unsuccessful)


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """A job's tasks that never ran, by what the jobs before it allow."""

    ready: Ranges  # may start
    blocked: Ranges  # wait
    dropped: Ranges  # cannot start any more, as things are


def split(after: Iterable[Dependency], upstream: Mapping[str, Upstream], never_ran: Ranges, *, started: bool) -> Split:
    """Divide `never_ran`. A job that has `started` is past its conditions on whole jobs, whatever becomes of those.

    A task whose counterpart has failed waits until the other job has ended: until then a retry may help. After that it is
    dropped, and comes back if the other job is retried later.
    """
    ready, dropped = never_ran, Ranges()
    for dependency in after:
        other = upstream[dependency.job]
        if dependency.elementwise:
            ready = ready.intersection(_released(dependency, other))
            dropped = dropped.union(never_ran.intersection(_broken(dependency, other)))
        elif not started and not holds(dependency, other):
            ready = Ranges()
            dropped = never_ran if other.ended else dropped
    ready = ready.minus(dropped)
    return Split(ready=ready, blocked=never_ran.minus(ready).minus(dropped), dropped=dropped)


def holds(dependency: Dependency, other: Upstream) -> bool:
    """True when nothing is left to wait for in the other job."""
    return other.ended and (dependency.condition is Condition.ENDED or other.has_succeeded)


def _released(dependency: Dependency, other: Upstream) -> Ranges:
    """Indices whose counterpart has done what is waited for."""
    succeeded, unsuccessful = other.succeeded or Ranges(), other.unsuccessful or Ranges()
    return succeeded if dependency.condition is Condition.SUCCEEDED else succeeded.union(unsuccessful)


def _broken(dependency: Dependency, other: Upstream) -> Ranges:
    """Indices whose counterpart will not do it."""
    if dependency.condition is Condition.ENDED or not other.ended:
        return Ranges()
    return Ranges.of(other.counts.total).minus(other.succeeded or Ranges())


def why_waiting(after: Iterable[Dependency], upstream: Mapping[str, Upstream], *, started: bool) -> str | None:
    """What is waited for, in one sentence with numbers; None when all conditions hold."""
    open_ones = [
        dependency
        for dependency in after
        if not holds(dependency, upstream[dependency.job]) and (dependency.elementwise or not started)
    ]
    if not open_ones:
        return None
    first, more = open_ones[0], len(open_ones) - 1
    other = upstream[first.job]
    who = "each task waits for its counterpart in" if first.elementwise else "waits for"
    others = f", and for {more} more job{'' if more == 1 else 's'}" if more else ""
    return f"{who} {other}: {_progress(other.counts)}{others}"


def _progress(counts: JobCounts) -> str:
    bad = counts.failed + counts.cancelled
    said = f"{counts.ended} of {counts.total} task{'' if counts.total == 1 else 's'} done"
    return f"{said}, {bad} of them in vain" if bad else said


def why_dropped(after: Iterable[Dependency], upstream: Mapping[str, Upstream]) -> str:
    """Why tasks could not start any more: the first job that did not do what was waited for."""
    for dependency in after:
        other = upstream[dependency.job]
        if other.ended and not holds(dependency, other):
            counts = other.counts
            ended = "was cancelled" if job_state(counts, started=True) is JobState.CANCELLED else "has failed"
            return (
                f"{other}, which had to succeed before, {ended}: {counts.succeeded} of {counts.total} tasks succeeded"
            )
    return "a job that had to succeed before has not"


class CyclicError(ValueError):
    """Jobs that wait for each other; `cycle` begins and ends with the same one, each waiting for the next."""

    def __init__(self, cycle: Sequence[str]) -> None:
        self.cycle = list(cycle)
        super().__init__(" waits for ".join(self.cycle))


def in_order(after: Mapping[str, Iterable[str]]) -> list[str]:
    """The jobs, each behind those that it waits for; what is not a key counts as there already. Raises CyclicError."""
    known = {name: [other for other in others if other in after] for name, others in after.items()}
    try:
        return list(_stable_order(known))
    except CycleError as error:
        raise CyclicError(list(reversed(error.args[1]))) from None


def _stable_order(after: Mapping[str, Iterable[str]]) -> Iterator[str]:
    sorter = TopologicalSorter(after)
    sorter.prepare()
    place = {name: index for index, name in enumerate(after)}
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=lambda name: place[name])
        yield from ready
        sorter.done(*ready)

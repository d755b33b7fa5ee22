"""The jobs as the core keeps them: those that have not ended, and those that others wait for."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from swath.domain.changes import PutTask
from swath.domain.dependencies import Upstream
from swath.domain.jobs import INTERACTIVE
from swath.domain.ranges import Ranges
from swath.domain.resources import Resources
from swath.domain.states import Desired, JobCounts, JobState
from swath.store.rows import JobRecord

Size = tuple[int, int]  # MiB memory and disk of an attempt: what grows when a task runs out of it


@dataclass(slots=True)
class Due:
    """Tasks with a row that could start now. Those for which the same has grown stand in one queue, each with its time:
    a turn looks at as many as it launches, not at all that wait.
    """

    queues: dict[Size, dict[int, datetime]] = field(
        default_factory=dict
    )  # what has grown, else 0 -> task -> since when
    _grown: dict[int, Size] = field(default_factory=dict)  # in whose queue a task stands

    def __len__(self) -> int:
        """How many there are."""
        return len(self._grown)

    def add(self, task: PutTask, now: datetime) -> None:
        """The task may start from `now` on; where it could already, it keeps its place."""
        grown = self._grown.setdefault(task.index, (task.mem or 0, task.disk or 0))
        self.queues.setdefault(grown, {}).setdefault(task.index, now)

    def discard(self, index: int) -> None:
        """The task waits no more, if it did."""
        if (grown := self._grown.pop(index, None)) is not None:
            del self.queues[grown][index]
            if not self.queues[grown]:
                del self.queues[grown]


@dataclass(slots=True)
class Job:
    """An open job: what does not change is in `record`."""

    record: JobRecord
    pending: Ranges  # tasks without a row that may start, as far as other jobs go
    counts: JobCounts
    state: JobState
    desired: Desired
    observed_rev: int
    retry_rev_done: int
    started_at: datetime | None
    ended_at: datetime | None
    wait_reason: str | None
    blocked: Ranges = field(default_factory=Ranges)  # tasks without a row that wait for other jobs
    dropped: Ranges = field(default_factory=Ranges)  # tasks without a row that have failed by other jobs
    message: str | None = None  # why tasks of it have ended that never ran
    tasks: dict[int, PutTask] = field(default_factory=dict)  # those with a row that have not ended
    running: dict[int, str] = field(default_factory=dict)  # ACTIVE tasks and their live attempts
    due: Due = field(default_factory=Due)
    resting: list[datetime] = field(default_factory=list)  # a heap: when tasks with a row may start again
    held_until: datetime | None = None  # not_before, while it lies ahead
    asks: Size | None = None  # of tasks never launched, where more was learned to be needed than the user said
    failed_on: dict[int, tuple[str, ...]] = field(default_factory=dict)  # task -> agents where it has failed
    seen_waiting: int = 0  # `waiting` when the last turn ended
    hopeless: bool = False  # as things are, no freed resource would help
    longest_run_s: float | None = None  # of its attempts that succeeded
    pace_s: float | None = None  # how long its attempts in slots take of late
    reason_kind: str = ""  # of the reason that was written last
    reason_at: datetime | None = None  # when it was written
    served_at: datetime | None = None  # when one of its tasks was launched last, since this core began

    @property
    def id(self) -> str:
        """The job's id."""
        return self.record.id

    @property
    def is_interactive(self) -> bool:
        """True for a job that somebody waits for at a screen."""
        return self.record.spec.job_class == INTERACTIVE

    @property
    def waiting(self) -> int:
        """Tasks that could start now, resources and max_running aside."""
        if self.desired is Desired.CANCELLED or self.held_until is not None or not self.counts.pending:
            return 0  # what was cancelled or came too late without ever having a row is in `pending` still
        return self.fresh + len(self.due)

    @property
    def fresh(self) -> int:
        """Tasks without a row that wait: all of them, or none, after they were ended together.

        A deadline that has passed by one scheduler's clock may lie ahead by the next one's: the counts say what holds.
        """
        return self.pending.count if self.waiting_rowless else 0

    @property
    def waiting_rowless(self) -> int:
        """Tasks without a row that wait for whatever it is."""
        return self.counts.pending - (len(self.tasks) - self.counts.active)

    @property
    def room(self) -> int | None:
        """How many more of its tasks may run; None for no limit."""
        limit = self.record.spec.max_running
        return None if limit is None else max(0, limit - self.counts.active)

    def rest(self, until: datetime, now: datetime) -> None:
        """One of its tasks may start again then, and not before."""
        self.find_resting(now)
        heapq.heappush(self.resting, until)

    def find_resting(self, now: datetime) -> tuple[int, datetime] | None:
        """How many of its tasks may not start again yet, and when the first of them may; None where none rests."""
        while self.resting and self.resting[0] <= now:
            heapq.heappop(self.resting)
        return (len(self.resting), self.resting[0]) if self.resting else None

    def size_of(self, grown: Size) -> Size:
        """What a task asks for: as all others do, or what has grown for it where that is more."""
        mem, disk = self.fresh_size
        return max(mem, grown[0]), max(disk, grown[1])

    def find_due(self) -> dict[Size, list[Mapping[int, datetime]]]:
        """The queues of the tasks with a row that could start now, by what these ask for."""
        found: dict[Size, list[Mapping[int, datetime]]] = {}
        for grown, queue in self.due.queues.items():
            found.setdefault(self.size_of(grown), []).append(queue)
        return found

    @property
    def fresh_size(self) -> Size:
        """What tasks that were never launched ask for."""
        return self.asks or (self.record.resources.mem, self.record.resources.disk)

    def request_of(self, size: Size) -> Resources:
        """All that a task of this size asks for."""
        mem, disk = size
        return replace(self.record.resources, mem=mem, disk=disk)


@dataclass(slots=True)
class Followed:
    """A job that others wait for, which may have ended long ago."""

    known: Upstream  # as of the end of the last turn
    dependents: dict[str, None] = field(default_factory=dict)  # open jobs that wait for it
    succeeded: list[int] = field(default_factory=list)  # tasks that have, in this turn
    unsuccessful: list[int] = field(default_factory=list)  # tasks that have failed or were cancelled, in this turn
    again: list[int] = field(default_factory=list)  # failed tasks that wait again, in this turn

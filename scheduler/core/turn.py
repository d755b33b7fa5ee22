"""One turn of the core: the state, the time, and the effects that gather while a batch of events is handled."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any

from scheduler.core.effects import Call, Effects, Note
from scheduler.core.open_jobs import Job
from scheduler.core.state import State
from scheduler.core.timers import NO_KEY, Key, Kind
from swath.domain.attempts import Attempt
from swath.domain.changes import (
    AddAttempt,
    AddEvent,
    AddUsage,
    Change,
    ChangeAttempt,
    ChangeJob,
    CordonAgent,
    DeactivateAgent,
    ObserveAgentWish,
    PutAgent,
    PutImages,
    PutLearned,
    PutPast,
    PutTask,
    TellOfEnded,
)

_ATTEMPT_FIELDS = tuple(entry.name for entry in fields(ChangeAttempt))


class Turn:
    """What handlers are given. Several changes of one thing in a turn become one write: the store gets each thing once."""

    def __init__(self, state: State, now: datetime) -> None:
        self.state = state
        self.now = now
        self.touched: dict[str, Job] = {}  # jobs whose row has to be written
        self._changes: dict[object, Change] = {}
        self._events: list[AddEvent | TellOfEnded] = []
        self._calls: list[Call] = []
        self._once: set[Call] = set()
        self._notes: list[Note] = []

    def write(self, change: Change) -> None:
        """Have a change committed."""
        if isinstance(change, AddEvent | TellOfEnded):
            self._events.append(change)
            return
        key = _key(change)
        earlier = self._changes.pop(key, None)
        if isinstance(earlier, ChangeAttempt) and isinstance(change, ChangeAttempt):
            change = _merged(earlier, change)
        if isinstance(earlier, AddUsage) and isinstance(change, AddUsage):
            change = replace(change, amounts=earlier.amounts + change.amounts)
        if isinstance(change, PutAgent):  # it is there after all; but one to be deactivated has to be written first
            self._changes.pop((DeactivateAgent, change.agent_id), None)
        self._changes[key] = change

    def tell(self, job_id: str, kind: str, **data: Any) -> None:
        """Add a line to a job's history."""
        self.write(AddEvent(job_id=job_id, kind=kind, data=data))

    def call(self, call: Call) -> None:
        """Have a call made, after the commit."""
        self._calls.append(call)

    def call_once(self, call: Call) -> None:
        """The same, once in this turn: several attempts may want the same of their Mesos task."""
        if call not in self._once:
            self._once.add(call)
            self.call(call)

    def note(self, level: str, event: str, **data: Any) -> None:
        """Have a line written to the log."""
        self._notes.append(Note(level=level, event=event, data=data))

    def note_of(self, attempt: Attempt, level: str, event: str, **data: Any) -> None:
        """The same about an attempt: whoever reads it finds the job, the task, the attempt and the agent."""
        where = {"job": attempt.job_id, "task": attempt.task_index, "attempt": attempt.id}
        self.note(level, event, **where, agent=attempt.agent_id, hostname=attempt.hostname, **data)

    def touch(self, job: Job) -> None:
        """Have the job's row written, and its need for offers looked at, when the turn ends."""
        self.touched[job.id] = job

    def after(self, seconds: float) -> datetime:
        """The time `seconds` from now."""
        return self.now + timedelta(seconds=seconds)

    def set_timer(self, kind: Kind, seconds: float, key: Key = NO_KEY) -> None:
        """Be called again in `seconds`."""
        self.state.timers.set(kind, self.after(seconds), key)

    def make_effects(self) -> Effects:
        """Everything gathered."""
        return Effects(
            changes=(*self._changes.values(), *self._events),
            calls=tuple(self._calls),
            notes=tuple(self._notes),
            wake_at=self.state.timers.next_at,
            outstanding=self.state.reconciliation.outstanding,
        )


def _key(change: Change) -> object:
    """What the change is of: a later one of the same replaces it."""
    match change:
        case AddAttempt():
            return AddAttempt, change.attempt.id
        case ChangeAttempt():
            return ChangeAttempt, change.attempt_id
        case PutTask():
            return PutTask, change.job_id, change.index
        case ChangeJob():
            return ChangeJob, change.job_id
        case PutLearned():
            return PutLearned, change.image_version_id, change.asked
        case PutAgent() | DeactivateAgent() | PutImages() | ObserveAgentWish() | CordonAgent():
            return type(change), change.agent_id
        case PutPast():
            return PutPast, change.project
        case AddUsage():
            return AddUsage, change.day, change.project, change.user, change.image, change.outcome
        case _:
            return type(change)


def _merged(earlier: ChangeAttempt, later: ChangeAttempt) -> ChangeAttempt:
    """Both changes in one: what the later one says wins, what it leaves out stays."""
    said = {name: value for name in _ATTEMPT_FIELDS if (value := getattr(later, name)) is not None}
    return replace(earlier, **said)

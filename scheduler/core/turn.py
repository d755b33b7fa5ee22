"""One turn of the core: the state, the time, and the effects that gather while a batch of events is handled."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any

from scheduler.core.effects import Call, Effects, Note
from scheduler.core.state import Job, State
from scheduler.core.timers import NO_KEY, Key, Kind
from swath.domain.changes import AddEvent, Change, ChangeAttempt, PutTask

_ATTEMPT_FIELDS = tuple(entry.name for entry in fields(ChangeAttempt))


class Turn:
    """What handlers are given. Several changes of one attempt or task in a turn become one write."""

    def __init__(self, state: State, now: datetime) -> None:
        self.state = state
        self.now = now
        self.touched: dict[str, Job] = {}  # jobs whose row has to be written
        self._changes: list[Change] = []
        self._attempts: dict[str, ChangeAttempt] = {}
        self._tasks: dict[tuple[str, int], PutTask] = {}
        self._events: list[AddEvent] = []
        self._calls: list[Call] = []
        self._notes: list[Note] = []

    def write(self, change: Change) -> None:
        """Have a change committed."""
        match change:
            case ChangeAttempt():
                earlier = self._attempts.get(change.attempt_id)
                self._attempts[change.attempt_id] = change if earlier is None else _merged(earlier, change)
            case PutTask():
                self._tasks[(change.job_id, change.index)] = change
            case AddEvent():
                self._events.append(change)
            case _:
                self._changes.append(change)

    def tell(self, job_id: str, kind: str, **data: Any) -> None:
        """Add a line to a job's history."""
        self.write(AddEvent(job_id=job_id, kind=kind, data=data))

    def call(self, call: Call) -> None:
        """Have a call made, after the commit."""
        self._calls.append(call)

    def note(self, level: str, event: str, **data: Any) -> None:
        """Have a line written to the log."""
        self._notes.append(Note(level=level, event=event, data=data))

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
        """Everything gathered, in the order in which the store may write it."""
        changes = (*self._changes, *self._tasks.values(), *self._attempts.values(), *self._events)
        return Effects(
            changes=changes,
            calls=tuple(self._calls),
            notes=tuple(self._notes),
            wake_at=self.state.timers.next_at,
        )


def _merged(earlier: ChangeAttempt, later: ChangeAttempt) -> ChangeAttempt:
    """Both changes in one: what the later one says wins, what it leaves out stays."""
    said = {name: value for name in _ATTEMPT_FIELDS if (value := getattr(later, name)) is not None}
    return replace(earlier, **said)

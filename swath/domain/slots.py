"""A slot: one Mesos task in which several attempts of a job run, one after another (ADR 23).

Three documents: what the slot's TaskInfo carries, what is handed over to it later, and what its updates tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from swath.domain.attempts import Attempt, AttemptReport, AttemptSpec
from swath.domain.document import Document
from swath.domain.errors import InvalidInputError
from swath.domain.states import Observation

WORK = "work"  # the kind of the message
VERSION = 1

# What tells one attempt of a slot from another; all else is the same for all of them.
_OWN = ("attempt", "task", "number", "files", "parameters")
_SHARED = tuple(entry.name for entry in fields(AttemptSpec) if entry.name not in _OWN)

# What an executor says of an attempt in a slot.
TOLD = frozenset(
    {
        *(Observation.STARTING, Observation.RUNNING, Observation.KILLING),
        *(Observation.FINISHED, Observation.FAILED, Observation.KILLED),
    }
)


def is_shared(attempt: Attempt) -> bool:
    """True for an attempt whose slot may hold others; a slot of its own has the attempt's id."""
    return attempt.slot_id != attempt.id


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotSpec(Document):
    """The JSON in the TaskInfo.data of a slot."""

    slot: int = VERSION  # an AttemptSpec has no such field
    shared: Mapping[str, Any]  # of an AttemptSpec
    work: tuple[Mapping[str, Any], ...]  # the rest of it, for each attempt, in order

    @classmethod
    def of(cls, specs: Iterable[AttemptSpec]) -> Self:
        """The slot that begins with these attempts, of which there is one at least."""
        all_of_them = tuple(specs)
        first = all_of_them[0]
        return cls(shared={name: getattr(first, name) for name in _SHARED}, work=tuple(map(own_part, all_of_them)))

    @classmethod
    def _typed(cls, document: dict[str, Any]) -> dict[str, Any]:
        if document["slot"] != VERSION or not isinstance(document["shared"], dict):
            raise ValueError("is a slot of another version")
        return {**document, "work": _to_work(document["work"])}


def own_part(spec: AttemptSpec) -> dict[str, Any]:
    """What has to be said of an attempt whose slot is known."""
    return {name: getattr(spec, name) for name in _OWN}


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkOrder(Document):
    """What the scheduler hands over to a slot that is open: each attempt is taken once, however often it is told."""

    kind: str = WORK
    version: int = VERSION
    slot: str
    work: tuple[Mapping[str, Any], ...]

    @classmethod
    def _typed(cls, document: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(document["slot"], str):
            raise TypeError("a slot's id is text")
        return {**document, "kind": WORK, "work": _to_work(document["work"])}


def _to_work(value: Any) -> tuple[Mapping[str, Any], ...]:
    if not (
        isinstance(value, list) and all(isinstance(one, dict) and isinstance(one["attempt"], str) for one in value)
    ):
        raise ValueError("work is a list of attempts")
    return tuple(value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """News of one attempt."""

    attempt: str
    state: Observation
    message: str = ""
    report: Mapping[str, Any]  # an AttemptReport, unread

    def read(self) -> AttemptReport:
        """The report; raises InvalidInputError where it is none."""
        return AttemptReport.from_value(self.report)


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotReport(Document):
    """What an executor says of a slot: the JSON in the TaskStatus.data of every update of it."""

    slot: int = VERSION
    taken: tuple[str, ...] = ()  # attempts that it has, or had
    told: tuple[Told, ...] = ()  # in the order in which it happened

    @classmethod
    def _typed(cls, document: dict[str, Any]) -> dict[str, Any]:
        if document["slot"] != VERSION:
            raise ValueError("is a report of another version")
        taken, told = document.get("taken", []), document.get("told", [])
        if not (isinstance(taken, list) and all(isinstance(one, str) for one in taken) and isinstance(told, list)):
            raise TypeError("impossible news of a slot")
        return {**document, "taken": tuple(taken), "told": tuple(map(_to_told, told))}

    def divide(self) -> list[SlotReport]:
        """The same news, of one attempt at a time."""
        return [SlotReport(taken=self.taken), *(SlotReport(told=(one,)) for one in self.told)]


def _to_told(value: Any) -> Told:
    state = Observation(value["state"])
    message = value.get("message", "")
    if not (isinstance(value["attempt"], str) and isinstance(message, str) and isinstance(value["report"], dict)):
        raise TypeError("impossible news of an attempt")
    if state not in TOLD:
        raise ValueError(f"no executor says {state}")
    return Told(attempt=value["attempt"], state=state, message=message, report=value["report"])


def read_slot_report(data: bytes | None) -> SlotReport | None:
    """None where there is none, or it cannot be read."""
    if not data:
        return None
    try:
        return SlotReport.from_json(data)
    except InvalidInputError:
        return None

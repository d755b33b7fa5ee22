"""What the core wants done: changes for the database first, calls after their commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from swath.domain.attempts import Attempt
from swath.domain.changes import Change
from swath.domain.resources import Resources
from swath.domain.wishes import AgentWish
from swath.store.rows import JobRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """One attempt in an Accept."""

    attempt: Attempt
    job: JobRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Accept:
    """Launch on all of an agent's offers at once (M17)."""

    agent_id: str
    offer_ids: tuple[str, ...]
    launches: tuple[Launch, ...]
    refuse_s: float  # filter for what is left over


@dataclass(frozen=True, kw_only=True, slots=True)
class HandOver:
    """Give an open slot attempts to run after those that it has; lost, it is said again (ADR 23)."""

    agent_id: str
    executor_id: str
    slot_id: str
    launches: tuple[Launch, ...]
    again: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Decline:
    """Give offers back."""

    offer_ids: tuple[str, ...]
    refuse_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Revive:
    """Ask for offers, and drop all filters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Suppress:
    """Ask for no offers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Acknowledge:
    """An update is safe in the database (M20)."""

    agent_id: str
    task_id: str
    uuid: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Kill:
    """End a task."""

    task_id: str
    agent_id: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reconcile:
    """Ask for the state of tasks, always with their agents (M25); none means all that the master knows."""

    tasks: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerInverse:
    """Say whether agents may be taken away for maintenance."""

    accept: bool
    offer_ids: tuple[str, ...]
    refuse_s: float  # until they are asked for again


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """Tell an executor something, best effort: it is lost without a word where nobody hears it (surprise 24)."""

    agent_id: str
    executor_id: str
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class SendSecrets:
    """Send an executor the secrets of an attempt, sealed for the key that it named; lost as any message may be."""

    agent_id: str
    executor_id: str
    attempt: str
    project: str
    wanted: Mapping[str, str]  # setting -> name of its secret
    key: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateFramework:
    """Have the master offer only what holds one of these amounts (M30)."""

    minimums: tuple[Resources, ...]
    suppressed: bool  # the call says it anew


@dataclass(frozen=True, kw_only=True, slots=True)
class Operate:
    """Have Mesos cordon, drain or reactivate an agent; the answer is an Operated."""

    wish: AgentWish


@dataclass(frozen=True, kw_only=True, slots=True)
class Teardown:
    """Remove the framework from Mesos, which kills all its tasks: on an operator's explicit command only (M4)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListAgents:
    """Ask the leading master for its agents; the answer is an AgentsListed."""


class StopKind(StrEnum):
    """What to do after the core has given up."""

    STEP_DOWN = "step down"  # another instance is subscribed: do not fight (M5)
    REMOVED = "removed"  # the framework is gone for the master: an operator has to decide
    ANEW = "anew"  # as an operator has decided: begin again with what the database says


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """This core's work is over."""

    kind: StopKind
    message: str
    framework_id: str | None = None  # of REMOVED: which one is gone


Call = (
    Accept
    | HandOver
    | Decline
    | Revive
    | Suppress
    | Acknowledge
    | Kill
    | Reconcile
    | AnswerInverse
    | Message
    | SendSecrets
    | UpdateFramework
    | Operate
    | Teardown
    | ListAgents
    | Stop
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """A line for the log."""

    level: str  # "info", "warning" or "error"
    event: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Effects:
    """What one turn asks for: commit all `changes` in one transaction, then make the `calls` in order."""

    changes: tuple[Change, ...] = ()
    calls: tuple[Call, ...] = ()
    notes: tuple[Note, ...] = ()
    wake_at: datetime | None = None  # the next time at which something is due
    outstanding: int = 0  # answers that the explicit reconciliation under way still waits for

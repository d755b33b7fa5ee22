"""What the scheduler's core wants written: one record a change, applied by the store in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from swath.domain.attempts import Attempt
from swath.domain.ranges import Ranges
from swath.domain.resources import Resources
from swath.domain.retries import Cause
from swath.domain.shares import Past
from swath.domain.states import AttemptState, JobCounts, JobState, TaskState
from swath.domain.usage import Amounts


@dataclass(frozen=True, kw_only=True, slots=True)
class SetFrameworkId:
    """Mesos' name for this framework; None to register anew."""

    framework_id: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AddAttempt:
    """An attempt that is about to be launched: write it before Mesos hears of it."""

    attempt: Attempt


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeAttempt:
    """An attempt's new state. A field that is None keeps what is stored (M22: never erase stored detail)."""

    attempt_id: str
    state: AttemptState
    started_at: datetime | None = None
    ended_at: datetime | None = None
    sandbox: str | None = None
    runtime: str | None = None
    cause: Cause | None = None
    exit_code: int | None = None
    error: str | None = None
    message: str | None = None
    output_dir: str | None = None
    outputs: list[dict[str, Any]] | None = None
    report: Mapping[str, Any] | None = None  # the rest of the executor's report: usage, json_outputs, warnings
    unreachable_at: datetime | None = None  # since when nobody has heard of it, the last time that it was UNREACHABLE
    kill_cause: Cause | None = None  # why the scheduler has decided to end it: written before the KILL leaves


@dataclass(frozen=True, kw_only=True, slots=True)
class PutTask:
    """The whole row of a task: made at its first launch (or when it ends without one), replaced at every change."""

    job_id: str
    index: int
    state: TaskState
    attempts: int  # attempts so far
    failures: int = 0  # attempts that cost one of the policy's
    free_retries: int = 0
    retry_at: datetime | None = None  # a PENDING task waits until then
    mem: int | None = None  # MiB, where it has grown beyond the job's
    disk: int | None = None  # MiB, the same
    winner_attempt: str | None = None  # the attempt whose output is the task's
    cause: Cause | None = None
    exit_code: int | None = None
    message: str | None = None
    agent_id: str | None = None  # of the last attempt
    hostname: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeJob:
    """A job's new figures, all of them."""

    job_id: str
    state: JobState
    pending: Ranges  # indices that have no row in `tasks` yet
    counts: JobCounts
    observed_rev: int  # the `desired_rev` that the scheduler has taken in
    retry_rev_done: int  # the `retry_rev` that the scheduler has carried out
    wait_reason: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    longest_run_s: float | None = None  # of its attempts that succeeded
    asks_mem: int | None = None  # MiB that tasks never launched ask for, where more was learned than the user said
    asks_disk: int | None = None  # MiB
    dropped: Ranges = field(default_factory=Ranges)  # those of `pending` that have failed by a job before this one
    message: str | None = None  # why tasks of it have ended that never ran


@dataclass(frozen=True, kw_only=True, slots=True)
class PutAgent:
    """An agent as the master describes it."""

    agent_id: str
    hostname: str
    url: str  # of its HTTP API, "http://host:port"
    total: Resources
    attributes: Mapping[str, str] = field(default_factory=dict)
    region: str | None = None
    zone: str | None = None
    active: bool = True
    deactivated: bool = False  # by an operator of Mesos, ours or another: it is there, and offers nothing
    drain: str | None = None  # "DRAINING" or "DRAINED", as the master says
    unavailable_from: datetime | None = None  # of its next maintenance window
    unavailable_until: datetime | None = None  # None for a window without an end


@dataclass(frozen=True, kw_only=True, slots=True)
class DeactivateAgent:
    """An agent that the master no longer has."""

    agent_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PutImages:
    """What an agent's engine holds, as its executor has said."""

    agent_id: str
    report: Mapping[str, Any]  # an ImagesReport as JSON


@dataclass(frozen=True, kw_only=True, slots=True)
class AddEvent:
    """One line of a job's history; followers see it after the commit."""

    job_id: str
    kind: str  # "job.state", "task.state", "attempt.state"
    data: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class TellOfEnded:
    """A line in the history of the job whose attempt ran in this Mesos task; nothing where no attempt did."""

    slot_id: str
    kind: str
    data: Mapping[str, Any]  # the store adds "task" and "attempt"


@dataclass(frozen=True, kw_only=True, slots=True)
class ObserveAgentWish:
    """An operator's wish has been carried out, as far as `message` says."""

    agent_id: str
    rev: int
    message: str | None = None  # what Mesos had against it; None where it did all of it


@dataclass(frozen=True, kw_only=True, slots=True)
class PutLearned:
    """What tasks of an image version need that ask for so much, as those that ran out of it have shown."""

    image_version_id: int
    asked: str  # the whole request as text: "cpus=1000 disk=4096 mem=2048"
    mem: int | None  # MiB; None where what is asked for suffices
    disk: int | None  # MiB


@dataclass(frozen=True, kw_only=True, slots=True)
class CordonAgent:
    """The scheduler's own wish: an agent that fails everything takes no tasks until an operator says otherwise.

    Nothing where an operator wants something of the agent already.
    """

    agent_id: str
    message: str  # what speaks against the agent


@dataclass(frozen=True, kw_only=True, slots=True)
class ObserveFrameworkWish:
    """An operator's wish about the framework has been carried out."""

    rev: int
    torn_down: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ObserveProjects:
    """The projects as of this revision have been taken in."""

    rev: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AddUsage:
    """To be added to what is accounted of a day: written with the end of the attempts that it is of, and so once."""

    day: date  # of UTC
    project: str
    user: str
    image: str  # "name:version"
    outcome: str  # SUCCEEDED, or the cause
    amounts: Amounts


@dataclass(frozen=True, kw_only=True, slots=True)
class PutPast:
    """What a project has held of late."""

    project: str
    past: Past


@dataclass(frozen=True, kw_only=True, slots=True)
class PutSchedulerStatus:
    """How the scheduler itself is doing."""

    connected: bool
    master: str | None = None
    heartbeat_at: datetime | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


Change = (
    SetFrameworkId
    | AddAttempt
    | ChangeAttempt
    | PutTask
    | ChangeJob
    | PutAgent
    | DeactivateAgent
    | PutImages
    | AddEvent
    | TellOfEnded
    | ObserveAgentWish
    | CordonAgent
    | PutLearned
    | ObserveFrameworkWish
    | ObserveProjects
    | AddUsage
    | PutPast
    | PutSchedulerStatus
)

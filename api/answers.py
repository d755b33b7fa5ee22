"""What the REST API answers, for its OpenAPI document."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Answered(BaseModel):
    """What the service answers."""

    model_config = ConfigDict(extra="ignore")


class CountsAnswer(Answered):
    """How many tasks are in which state."""

    total: int
    pending: int
    active: int
    succeeded: int
    failed: int
    cancelled: int


class LinkAnswer(Answered):
    """A job that another one waits for, or that waits for it."""

    job: str
    name: str
    state: str
    counts: CountsAnswer
    condition: str = Field(description="what is waited for: succeeded, or ended")
    elementwise: bool = Field(description="task by task")


class JobAnswer(Answered):
    """A job."""

    id: str
    name: str
    project: str
    user: str | None
    image: str
    image_digest: str = Field(description="what the image's name meant when the job was submitted")
    warnings: list[str] = Field(default=[], description="what its submission has found out about the image; then only")
    state: str = Field(description="PENDING, RUNNING, SUCCEEDED, FAILED or CANCELLED")
    desired: str = Field(description="RUN or CANCELLED")
    counts: CountsAnswer
    priority: int
    resources: dict[str, Any] = Field(description="of one task; ports and custom scalars where there are any")
    learned: dict[str, float] | None = Field(
        description="mem, disk: what tasks not launched yet ask for instead, for others of the image version needed it"
    )
    labels: dict[str, str]
    submitted_at: str
    started_at: str | None
    ended_at: str | None
    why: str | None = Field(description="why it waits, in one sentence")
    message: str | None = Field(default=None, description="why tasks of it have ended that never ran")
    after: list[LinkAnswer] | None = Field(
        default=None, description="the jobs that it starts after; null where several jobs are told of"
    )
    before: list[LinkAnswer] | None = Field(default=None, description="the jobs that start after it, the first 1000")
    spec: dict[str, Any] = Field(description="as it was submitted; without the array's items")


class BlockerAnswer(Answered):
    """Agents that take no task of the job for the same reason."""

    agents: int
    why: str


class ShareAnswer(Answered):
    """What the job's project holds beside what it is due, as parts of the cluster."""

    name: str
    share: float = Field(description="its dominant share, 0 to 1")
    fair_share: float


class PositionAnswer(Answered):
    """The job's place among those that wait, by their expected starts."""

    place: int
    of: int


class EstimateAnswer(Answered):
    """When the first and the last waiting task may start, if all goes as expected and nothing else is submitted."""

    first_start: str
    first_start_s: float = Field(description="seconds from now")
    last_start: str | None = Field(description="null where it lies beyond what was looked at")
    last_start_s: float | None


class ExplainAnswer(Answered):
    """Why tasks of a job wait, and when they may start."""

    job: str | None = Field(description="null for one that was only tried out")
    state: str | None
    why: str | None = Field(description="in one sentence; null when nothing waits")
    waiting: int = Field(description="tasks that could start now, were there room")
    blockers: list[BlockerAnswer] = Field(description="all agents, by what keeps tasks from each, most first")
    limits: list[str] = Field(description="how much of each quota that it stands under is used")
    project: ShareAnswer | None
    position: PositionAnswer | None
    estimate: EstimateAnswer | None = Field(description="null where no start is in sight")
    unforeseen: int = Field(
        description="open jobs without expected_s of which no task has ended, nor one of a job like it (image version and "
        "project): nothing is estimated behind their tasks"
    )


class AgentRefAnswer(Answered):
    """An agent, by name."""

    id: str
    hostname: str


class TaskAnswer(Answered):
    """One element of a job's array."""

    job: str
    index: int
    state: str = Field(description="PENDING, ACTIVE, SUCCEEDED, FAILED or CANCELLED")
    attempts: int
    item: Any
    agent: AgentRefAnswer | None
    cause: str | None
    exit_code: int | None
    message: str | None
    started_at: str | None
    ended_at: str | None
    why: str | None


class AttemptAnswer(Answered):
    """One run of a task on an agent."""

    id: str
    job: str
    task: int
    number: int
    state: str
    agent: AgentRefAnswer
    runtime: str | None
    cause: str | None
    exit_code: int | None
    error: str | None = Field(description="name of the image's own error with this exit code")
    message: str | None
    resources: dict[str, Any]
    ports: list[int] = Field(description="of the agent, which are this attempt's alone")
    warnings: list[str]
    launched_at: str
    started_at: str | None
    ended_at: str | None
    unreachable_at: str | None = Field(
        description="since when nobody heard of it, the last time that it was UNREACHABLE"
    )
    kill_cause: str | None = Field(description="why the scheduler has decided to end it, as PREEMPTED")
    usage: dict[str, float]


class OutputAnswer(Answered):
    """One published file."""

    task: int
    name: str
    path: str
    size: int
    media_type: str | None
    sha256: str | None = Field(description="of the file's bytes, in hex; null where the executor did not tell")
    href: str
    file: str = Field(description="absolute path on the shared file system, or s3://bucket/key")


class JobPage(Answered):
    """Jobs, the newest first."""

    items: list[JobAnswer]
    next: str | None = Field(description="cursor of the next page")


class JobList(Answered):
    """Jobs that were submitted together, in the order of their documents."""

    items: list[JobAnswer]


class TaskPage(Answered):
    """Tasks by index."""

    items: list[TaskAnswer]
    next: str | None


class AttemptList(Answered):
    """Attempts by number."""

    items: list[AttemptAnswer]


class OutputPage(Answered):
    """Outputs by task."""

    items: list[OutputAnswer]
    next: str | None


class RunAnswer(Answered):
    """A fire time, and what became of it."""

    at: str
    outcome: str = Field(description="SUBMITTED, SKIPPED, MISSED or REFUSED")
    job: str | None
    message: str | None
    done_at: str


class ScheduleAnswer(Answered):
    """A job that recurs."""

    id: str
    name: str
    user: str
    cron: str
    timezone: str
    overlap: str
    catch_up: str
    paused: bool
    created_at: str
    next: list[str] = Field(description="the next three fire times, UTC")
    job: dict[str, Any] = Field(description="the job's document, as it was sent")
    runs: list[RunAnswer] | None = Field(
        default=None, description="the last 20 fire times, the newest first; null in a list"
    )


class ScheduleList(Answered):
    """Jobs that recur, by name."""

    items: list[ScheduleAnswer]


class ErrorEntry(Answered):
    """One thing that is wrong."""

    path: str = Field(description="JSON pointer into the body; query:NAME, header:NAME or path:NAME elsewhere")
    message: str


class ProblemAnswer(Answered):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[ErrorEntry] | None = None

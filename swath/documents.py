"""What the REST API answers, as types for those who read it: plain dictionaries, as they come out of the JSON."""

from __future__ import annotations

from typing import Any, TypedDict


class Counts(TypedDict):
    """How many tasks of a job are in which state."""

    total: int
    pending: int
    active: int
    succeeded: int
    failed: int
    cancelled: int


class AgentRef(TypedDict):
    """The agent that runs or ran something."""

    id: str
    hostname: str


class Job(TypedDict):
    """A job. Times are RFC 3339 in UTC; memory and disk are MiB."""

    id: str
    name: str
    project: str
    user: str | None
    image: str  # "name:version"
    state: str  # PENDING, RUNNING, SUCCEEDED, FAILED or CANCELLED
    desired: str  # RUN or CANCELLED
    counts: Counts
    priority: int
    resources: dict[str, float]
    labels: dict[str, str]
    submitted_at: str
    started_at: str | None
    ended_at: str | None
    why: str | None  # why it waits, in one sentence
    spec: dict[str, Any]  # as it was submitted


class Task(TypedDict):
    """One element of a job's array."""

    job: str
    index: int
    state: str
    attempts: int
    item: Any
    agent: AgentRef | None
    cause: str | None
    exit_code: int | None
    message: str | None
    started_at: str | None
    ended_at: str | None
    why: str | None


class Attempt(TypedDict):
    """One run of a task."""

    id: str
    job: str
    task: int
    number: int
    state: str
    agent: AgentRef
    runtime: str | None
    cause: str | None
    exit_code: int | None
    error: str | None  # name of the image's own error
    message: str | None
    resources: dict[str, float]
    warnings: list[str]  # what the runtime could not do, such as enforce a limit
    launched_at: str
    started_at: str | None
    ended_at: str | None
    usage: dict[str, float]


class Output(TypedDict):
    """One file that a task published."""

    task: int
    name: str
    path: str
    size: int
    media_type: str | None
    href: str  # where the API serves it
    file: str  # where it lies on the shared file system


class Event(TypedDict):
    """Something that happened."""

    id: int
    job: str | None
    at: str
    kind: str
    data: dict[str, Any]

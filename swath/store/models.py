"""The tables. The api writes `jobs.desired`, `desired_rev` and `retry_rev`, new jobs and images; the scheduler all the rest.

Every change here needs a migration (`migrations/versions`); a test proves that both say the same on both databases.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Date,
    Float,
    ForeignKey,
    Index,
    String,
    TextClause,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from swath.domain.dependencies import Condition
from swath.domain.retries import Cause
from swath.domain.states import AttemptState, Desired, JobState, TaskState
from swath.domain.wishes import AgentMode, FrameworkDesire
from swath.store.base import Amount, LongId
from swath.store.base import Base as Base
from swath.store.catalogue_models import Image as Image
from swath.store.catalogue_models import ImageDetails as ImageDetails
from swath.store.catalogue_models import ImageTransition as ImageTransition
from swath.store.catalogue_models import ImageVersion as ImageVersion
from swath.store.recurring_models import Schedule as Schedule
from swath.store.recurring_models import ScheduleRun as ScheduleRun
from swath.store.secret_models import Secret as Secret
from swath.store.token_models import Token as Token

# What is open. Written out, not bound: a planner uses a partial index only where it can see that the query implies it.
JOB_IS_OPEN = "jobs.state IN ('PENDING', 'RUNNING')"
JOB_IS_CHANGED = "jobs.desired_rev <> jobs.observed_rev"
TASK_IS_OPEN = "tasks.state IN ('PENDING', 'ACTIVE')"
TASK_IS_UNSUCCESSFUL = "tasks.state IN ('PENDING', 'ACTIVE', 'FAILED', 'CANCELLED')"
AGENT_WISH_IS_CHANGED = "agent_wishes.rev <> agent_wishes.observed_rev"
PROJECTS_ARE_CHANGED = "project_tree.rev <> project_tree.observed_rev"
FRAMEWORK_WISH_IS_CHANGED = "framework_wishes.rev <> framework_wishes.observed_rev"
ATTEMPT_IS_OPEN = "attempts.state IN ('LAUNCHING', 'STAGING', 'RUNNING', 'KILLING', 'UNREACHABLE')"


def _where(condition: str) -> TextClause:
    """The condition of a partial index, whose columns may not be qualified."""
    table = condition.partition(".")[0]
    return text(condition.replace(f"{table}.", ""))


def _partial(name: str, *columns: str, condition: str) -> Index:
    where = _where(condition)
    return Index(name, *columns, postgresql_where=where, sqlite_where=where)


class Framework(Base):
    """One row: the name that Mesos knows this framework by (MESOS.md, M1)."""

    __tablename__ = "framework"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # always 1
    framework_id: Mapped[str | None]


class Leadership(Base):
    """Who leads, until when; every change of leader raises the epoch."""

    __tablename__ = "leadership"
    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str | None]  # None once released
    epoch: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[datetime]


class LearnedNeed(Base):
    """What tasks of an image version need that ask for so much, as those that ran out of it have shown."""

    __tablename__ = "learned_needs"
    image_version_id: Mapped[int] = mapped_column(
        ForeignKey("image_versions.id"), primary_key=True, autoincrement=False
    )
    asked: Mapped[str] = mapped_column(primary_key=True)  # the whole request, "cpus=1000 disk=4096 mem=2048"
    mem: Mapped[Amount | None]  # MiB; None where what is asked for suffices
    disk: Mapped[Amount | None]  # MiB
    at: Mapped[datetime]


class Job(Base):
    """What a user submitted once, and how far it is."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index(None, "name", "id"),
        Index(None, "project", "id"),
        Index(None, "user", "id"),
        Index(None, "state", "id"),
        Index(None, "image_version_id", "id"),
        _partial("ix_jobs_changed", "id", condition=JOB_IS_CHANGED),
    )
    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    name: Mapped[str]
    project: Mapped[str]
    user: Mapped[str]
    image_version_id: Mapped[int] = mapped_column(ForeignKey("image_versions.id"))
    spec: Mapped[dict[str, Any]]  # the document without the array's items
    size: Mapped[int]  # tasks
    cpus_m: Mapped[Amount]  # of one task, in thousandths
    mem: Mapped[Amount]  # MiB
    disk: Mapped[Amount]  # MiB
    gpus: Mapped[Amount]
    priority: Mapped[int]
    labels: Mapped[dict[str, Any]]
    desired: Mapped[Desired]
    desired_rev: Mapped[int]  # raised by the api at every change of what is desired
    observed_rev: Mapped[int]  # the desired_rev that the scheduler has taken in
    retry_rev: Mapped[int]  # how often the user has asked to retry what failed
    retry_rev_done: Mapped[int]
    state: Mapped[JobState]
    pending: Mapped[list[Any]] = mapped_column(JSON(none_as_null=True))  # ranges of indices without a row in `tasks`
    pending_count: Mapped[int]
    active_count: Mapped[int]
    succeeded_count: Mapped[int]
    failed_count: Mapped[int]
    cancelled_count: Mapped[int]
    wait_reason: Mapped[str | None]
    submitted_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    more_resources: Mapped[dict[str, Any] | None]  # of one task, {"ports": 2, "licences": 1000}: see Resources.amounts
    dropped: Mapped[list[Any]] = mapped_column(JSON(none_as_null=True), server_default="[]")  # see domain.changes
    message: Mapped[str | None]  # why tasks of it have ended that never ran
    asks_mem: Mapped[Amount | None]  # MiB that tasks never launched ask for, where more was learned than the user said
    asks_disk: Mapped[Amount | None]  # MiB
    longest_run_s: Mapped[float | None] = mapped_column(Float)  # of its attempts that succeeded


class JobDependency(Base):
    """That a job starts after another one. The same stands in its spec; here it is found from the other side."""

    __tablename__ = "dependencies"
    __table_args__ = (Index(None, "on_id"),)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    on_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    condition: Mapped[Condition]
    elementwise: Mapped[bool]


class JobInput(Base):
    """A chunk of an array's items."""

    __tablename__ = "job_inputs"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    chunk: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    items: Mapped[list[Any]]


class Task(Base):
    """One element of an array, from its first launch on."""

    __tablename__ = "tasks"
    __table_args__ = (
        Index(None, "job_id", "state", "index"),
        _partial("ix_tasks_open", "job_id", "index", condition=TASK_IS_OPEN),
    )
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[TaskState]
    attempts: Mapped[int]
    failures: Mapped[int]
    free_retries: Mapped[int]
    retry_at: Mapped[datetime | None]
    mem: Mapped[Amount | None]  # MiB, where it has grown
    winner_attempt: Mapped[str | None] = mapped_column(String(26))
    cause: Mapped[Cause | None]
    exit_code: Mapped[int | None]
    message: Mapped[str | None]
    agent_id: Mapped[str | None]
    hostname: Mapped[str | None]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    disk: Mapped[Amount | None]  # MiB, where it has grown


class Attempt(Base):
    """One run of a task."""

    __tablename__ = "attempts"
    __table_args__ = (
        UniqueConstraint("job_id", "task_index", "number"),
        Index(None, "slot_id"),
        _partial("ix_attempts_open", "id", condition=ATTEMPT_IS_OPEN),
    )
    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    task_index: Mapped[int]
    number: Mapped[int]
    slot_id: Mapped[str]
    executor_id: Mapped[str]
    state: Mapped[AttemptState]
    agent_id: Mapped[str]
    hostname: Mapped[str]
    cpus_m: Mapped[Amount]
    mem: Mapped[Amount]
    disk: Mapped[Amount]
    gpus: Mapped[Amount]
    sandbox: Mapped[str | None]
    runtime: Mapped[str | None]
    output_dir: Mapped[str | None]
    outputs: Mapped[list[Any] | None]
    report: Mapped[dict[str, Any] | None]
    cause: Mapped[Cause | None]
    exit_code: Mapped[int | None]
    error: Mapped[str | None]
    message: Mapped[str | None]
    launched_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    unreachable_at: Mapped[datetime | None]  # since when nobody heard of it, the last time that it was UNREACHABLE
    kill_cause: Mapped[Cause | None]  # why the scheduler has decided to end it
    more_resources: Mapped[dict[str, Any] | None]
    ports: Mapped[list[Any] | None]  # which ones of the agent


class Agent(Base):
    """An agent as the master described it last."""

    __tablename__ = "agents"
    id: Mapped[str] = mapped_column(primary_key=True)
    hostname: Mapped[str]
    url: Mapped[str]
    cpus_m: Mapped[Amount]
    mem: Mapped[Amount]
    disk: Mapped[Amount]
    gpus: Mapped[Amount]
    attributes: Mapped[dict[str, Any]]
    region: Mapped[str | None]
    zone: Mapped[str | None]
    active: Mapped[bool]
    first_seen: Mapped[datetime]
    last_seen: Mapped[datetime]
    deactivated: Mapped[bool] = mapped_column(server_default=false())
    drain: Mapped[str | None] = mapped_column(String(16))  # DRAINING or DRAINED, as the master says
    unavailable_from: Mapped[datetime | None]  # of the next maintenance window
    unavailable_until: Mapped[datetime | None]
    images: Mapped[dict[str, Any] | None]  # what its executor has said of its engine
    more_resources: Mapped[dict[str, Any] | None]


class AgentWish(Base):
    """What operators want of one agent. The api writes all of it but the last two columns, which are the scheduler's."""

    __tablename__ = "agent_wishes"
    __table_args__ = (_partial("ix_agent_wishes_changed", "agent_id", condition=AGENT_WISH_IS_CHANGED),)
    agent_id: Mapped[str] = mapped_column(primary_key=True)
    mode: Mapped[AgentMode]
    max_grace_s: Mapped[float | None] = mapped_column(Float)
    mark_gone: Mapped[bool]
    rev: Mapped[int]
    user: Mapped[str]
    at: Mapped[datetime]
    observed_rev: Mapped[int]
    message: Mapped[str | None]


class FrameworkWish(Base):
    """One row: what operators want of the framework. The last two columns are the scheduler's."""

    __tablename__ = "framework_wishes"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # always 1
    desire: Mapped[FrameworkDesire]
    rev: Mapped[int]
    user: Mapped[str]
    at: Mapped[datetime]
    observed_rev: Mapped[int]
    torn_down: Mapped[bool]


class Project(Base):
    """A declared project: the api's to write. One that nobody declared has no row and the defaults."""

    __tablename__ = "projects"
    name: Mapped[str] = mapped_column(primary_key=True)
    parent: Mapped[str | None]  # no foreign key: the whole tree is checked at every change
    weight: Mapped[float] = mapped_column(Float)
    quota: Mapped[dict[str, Any]]  # fixed-point amounts by resource
    max_running: Mapped[int | None]
    user_quota: Mapped[dict[str, Any]]
    user_max_running: Mapped[int | None]
    user: Mapped[str]  # who changed it last
    at: Mapped[datetime]


class ProjectTree(Base):
    """One row: which revision the projects are at. The last column is the scheduler's."""

    __tablename__ = "project_tree"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # always 1
    rev: Mapped[int]
    observed_rev: Mapped[int]


class ProjectPast(Base):
    """What a project has held of late, as a part of the cluster: the scheduler's own (swath.domain.shares)."""

    __tablename__ = "project_pasts"
    project: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float] = mapped_column(Float)
    share: Mapped[float] = mapped_column(Float)
    half_life_s: Mapped[float] = mapped_column(Float)
    at: Mapped[datetime]


class Usage(Base):
    """What ended attempts have held and used, by day: sums (swath.domain.usage). The scheduler adds to them with each end."""

    __tablename__ = "usage"
    day: Mapped[date] = mapped_column(Date, primary_key=True)  # of UTC
    project: Mapped[str] = mapped_column(primary_key=True)
    user: Mapped[str] = mapped_column(primary_key=True)
    image: Mapped[str] = mapped_column(primary_key=True)  # "name:version"
    outcome: Mapped[str] = mapped_column(String(16), primary_key=True)  # SUCCEEDED, or the cause
    attempts: Mapped[int] = mapped_column(BigInteger)
    held_s: Mapped[float] = mapped_column(Float)
    cpu_s: Mapped[float] = mapped_column(Float)
    mem_mib_s: Mapped[float] = mapped_column(Float)
    gpu_s: Mapped[float] = mapped_column(Float)
    used_cpu_s: Mapped[float] = mapped_column(Float)
    used_mem_mib_s: Mapped[float] = mapped_column(Float)
    measured_cpu_s: Mapped[float] = mapped_column(Float)
    measured_mem_mib_s: Mapped[float] = mapped_column(Float)
    used_mean_mem_mib_s: Mapped[float] = mapped_column(Float, server_default="0")
    read_mib: Mapped[float] = mapped_column(Float, server_default="0")
    written_mib: Mapped[float] = mapped_column(Float, server_default="0")
    received_mib: Mapped[float] = mapped_column(Float, server_default="0")
    sent_mib: Mapped[float] = mapped_column(Float, server_default="0")


class Event(Base):
    """One line of a job's history. Only the scheduler writes it, so ids become visible in order: `id > last` misses nothing."""

    __tablename__ = "events"
    __table_args__ = (Index(None, "job_id", "id"), {"sqlite_autoincrement": True})
    id: Mapped[int] = mapped_column(LongId, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    at: Mapped[datetime]
    kind: Mapped[str]
    data: Mapped[dict[str, Any]]


class IdempotencyKey(Base):
    """What a client's key stood for. No foreign key: it is written before its job, so that the second of two waits for it."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index(None, "at"),)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[str]
    job_id: Mapped[str] = mapped_column(String(26))
    at: Mapped[datetime]
    job_ids: Mapped[list[Any] | None]  # all of them, where several were submitted together


class SchedulerStatus(Base):
    """One row: how the scheduler itself is doing."""

    __tablename__ = "scheduler_status"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # always 1
    connected: Mapped[bool]
    master: Mapped[str | None]
    heartbeat_at: Mapped[datetime | None]
    data: Mapped[dict[str, Any]]

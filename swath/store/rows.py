"""What the store gives back: frozen values, complete, so that nothing is read from the database behind a caller's back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Generic, TypeVar

from swath.domain.attempts import Attempt
from swath.domain.changes import PutAgent, PutLearned, PutTask
from swath.domain.dependencies import Condition, Upstream
from swath.domain.jobs import JobSpec
from swath.domain.projects import Project
from swath.domain.ranges import Ranges
from swath.domain.resources import Resources
from swath.domain.retries import Cause
from swath.domain.shares import Past
from swath.domain.states import AttemptState, Desired, JobCounts, JobState, TaskState
from swath.domain.usage import Amounts
from swath.domain.wishes import AgentMode, AgentWish, FrameworkWish, ProjectTree
from swath.store.catalogue_rows import CataloguedRow as CataloguedRow
from swath.store.catalogue_rows import DetailsRow as DetailsRow
from swath.store.catalogue_rows import ImageFilters as ImageFilters
from swath.store.catalogue_rows import ImageRow as ImageRow
from swath.store.catalogue_rows import TransitionRow as TransitionRow

Item = TypeVar("Item")
Cursor = TypeVar("Cursor")


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[Item, Cursor]):
    """A part of a listing."""

    items: Sequence[Item]
    next: Cursor | None  # pass it as `after` for the page that follows; None when there is none


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRow:
    """A job as users see it."""

    id: str
    name: str
    project: str
    user: str
    image_version_id: int
    image_name: str
    image_version: str
    image_digest: str
    spec: Mapping[str, Any]  # the submitted document; an array of items reads {"over": "SCENE", "size": 12}
    size: int  # tasks
    resources: Resources  # of one task
    priority: int
    labels: Mapping[str, str]
    desired: Desired
    desired_rev: int
    observed_rev: int  # below desired_rev while the scheduler has not taken the last change in
    retry_rev: int
    state: JobState
    counts: JobCounts
    wait_reason: str | None
    submitted_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    message: str | None = None  # why tasks of it have ended that never ran
    asks_mem: int | None = None  # MiB that tasks never launched ask for, where more was learned than the user said
    asks_disk: int | None = None  # MiB


@dataclass(frozen=True, kw_only=True, slots=True)
class Linked:
    """A job that another one waits for, or that waits for it."""

    job_id: str
    name: str
    state: JobState
    counts: JobCounts
    condition: Condition
    elementwise: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Links:
    """What a job has to do with others."""

    after: Sequence[Linked]  # it starts after these
    before: Sequence[Linked]  # these start after it


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """A job that is to be stored."""

    job_id: str
    spec: JobSpec
    image: ImageRow
    resources: Resources  # of one task: the manifest's and the job's own
    warnings: tuple[str, ...] = ()  # for whoever submits it; not stored


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFilters:
    """Which jobs to list; None lets all pass."""

    project: str | None = None
    user: str | None = None
    state: JobState | None = None
    name: str | None = None
    image: str | None = None  # "name" or "name:version"
    trial_of: int | None = None  # the image version that a trial is of; jobs of users are none, whatever they look like
    labels: Mapping[str, str] = field(default_factory=dict)  # all of them


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRow:
    """A task as users see it, launched or not."""

    job_id: str
    index: int
    state: TaskState
    item: Any  # its element of the array; None for a job without an array
    attempts: int = 0  # so far
    failures: int = 0
    free_retries: int = 0
    retry_at: datetime | None = None
    mem: int | None = None  # MiB, where it has grown beyond the job's
    disk: int | None = None  # MiB, the same
    winner_attempt: str | None = None
    cause: Cause | None = None
    exit_code: int | None = None
    message: str | None = None
    agent_id: str | None = None
    hostname: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    unreachable_at: datetime | None = None  # since when its live attempt is UNREACHABLE


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptRow:
    """An attempt as users see it."""

    id: str
    job_id: str
    task_index: int
    number: int
    slot_id: str
    executor_id: str
    state: AttemptState
    agent_id: str
    hostname: str
    agent_url: str | None  # of the agent's HTTP API, which serves the sandbox's files; None for one never described
    resources: Resources
    ports: Sequence[int]  # of the agent, which are this attempt's alone
    sandbox: str | None
    runtime: str | None
    output_dir: str | None
    outputs: Sequence[Mapping[str, Any]]
    report: Mapping[str, Any]
    cause: Cause | None
    exit_code: int | None
    error: str | None
    message: str | None
    launched_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    unreachable_at: datetime | None  # since when nobody heard of it, the last time that it was UNREACHABLE
    kill_cause: Cause | None  # why the scheduler has decided to end it; how it ended is `cause`


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputRow:
    """One file of a task that has succeeded."""

    job_id: str
    task_index: int
    attempt_id: str
    name: str  # of the manifest's output
    path: str  # below `output_dir`
    size: int  # bytes
    media_type: str | None
    sha256: str | None
    output_dir: str  # absolute, on the shared file system


@dataclass(frozen=True, kw_only=True, slots=True)
class EventRow:
    """One line of a job's history."""

    id: int  # grows in the order in which events become visible
    job_id: str
    at: datetime
    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentRow:
    """An agent as the master described it last."""

    id: str
    hostname: str
    url: str
    total: Resources
    attributes: Mapping[str, str]
    region: str | None
    zone: str | None
    active: bool
    deactivated: bool  # by an operator of Mesos: it is there, and offers nothing
    drain: str | None  # DRAINING or DRAINED, as the master says
    unavailable_from: datetime | None  # of its next maintenance window
    unavailable_until: datetime | None  # None for a window without an end
    first_seen: datetime
    last_seen: datetime
    attempts: int = 0  # not ended
    images: tuple[str, ...] | None = None  # on its engine, as the catalogue calls them; None where nobody has said
    mode: AgentMode = AgentMode.ACTIVE  # what operators want of it
    mode_pending: bool = False  # the scheduler has not taken that in
    mode_message: str | None = None  # what Mesos had against it
    max_grace_s: float | None = None  # of DRAINED
    mark_gone: bool = False  # of DRAINED
    mode_user: str | None = None  # who wanted it last
    mode_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterRow:
    """How the cluster is doing, as its scheduler said last."""

    said: bool  # a scheduler has said anything at all
    connected: bool
    master: str | None
    heartbeat_at: datetime | None
    data: Mapping[str, Any]
    framework_id: str | None
    leader: str | None  # who leads, or led last
    epoch: int  # 0 before the first leader
    lease_expires_at: datetime | None
    agents: int  # active ones
    total: Resources  # of the active agents
    open_attempts: int
    open_jobs: int
    framework_wish: FrameworkWish | None  # None before anybody had one
    framework_wish_user: str | None
    framework_wish_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """What has not ended, in numbers: what an end of the framework would kill."""

    attempts: int
    jobs: int  # those of the attempts
    agents: int  # those that the attempts are on


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRecord:
    """A job as the scheduler needs it."""

    id: str
    name: str
    project: str
    user: str
    spec: JobSpec  # the items of its array are not loaded (`items` is empty): size is here, items by `read_items`
    size: int  # tasks
    resources: Resources  # of one task
    priority: int
    image: ImageRow
    desired: Desired
    desired_rev: int
    observed_rev: int
    retry_rev: int
    retry_rev_done: int
    state: JobState
    pending: Ranges
    counts: JobCounts
    wait_reason: str | None
    submitted_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    dropped: Ranges = field(default_factory=Ranges)  # those of `pending` that have failed by a job before this one
    message: str | None = None  # why tasks of it have ended that never ran
    upstream: tuple[Upstream, ...] = ()  # the jobs that its spec's `after` names
    longest_run_s: float | None = None  # of its attempts that succeeded
    alike_s: float | None = None  # before there is one: of the last jobs of its image version and project
    asks_mem: int | None = None  # MiB that tasks never launched ask for, where more was learned than the user said
    asks_disk: int | None = None  # MiB


@dataclass(frozen=True, kw_only=True, slots=True)
class Declared:
    """By whom and when a project was declared or changed last."""

    user: str
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldRow:
    """What attempts that have not ended hold."""

    resources: Resources
    tasks: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantsRow:
    """The projects, and who holds what of the cluster."""

    tree: ProjectTree
    declared: Mapping[str, Declared]
    held: Mapping[tuple[str, str], HeldRow]  # by (project, user)
    open_jobs: Mapping[str, int]  # by project
    pasts: Mapping[str, Past]  # by project
    total: Resources  # of the active agents


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageFilters:
    """Which usage to sum up, and by what."""

    by: tuple[str, ...]  # of day, project, user, image, outcome; none for one sum
    first: date  # of UTC
    last: date  # of UTC, included
    project: str | None = None
    user: str | None = None
    image: str | None = None  # "name:version"


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageRow:
    """What attempts held and used, those that run up to the present."""

    group: Mapping[str, str]  # the values of what was grouped by
    amounts: Amounts  # `attempts` are those that ended, or run, within the days
    outcomes: Mapping[str, int]  # how many attempts had which: SUCCEEDED, a cause, or RUNNING


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """Whose an attempt is: what its resources are counted and accounted under."""

    project: str
    user: str
    image: str  # "name:version"


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """Everything that is open: what a scheduler that starts has to know."""

    framework_id: str | None
    jobs: list[JobRecord]  # not ended, or with a change of what is desired that nobody has taken in
    tasks: list[PutTask]  # rows that are PENDING or ACTIVE
    attempts: list[Attempt]  # not ended
    agents: list[PutAgent]  # active ones
    images: Mapping[str, Any] = field(default_factory=dict)  # agent -> what was said of its engine, as JSON
    agent_wishes: list[AgentWish] = field(default_factory=list)  # other than ACTIVE, or not carried out yet
    framework_wish: FrameworkWish | None = None  # None before anybody had one
    learned: list[PutLearned] = field(default_factory=list)
    failed_on: list[tuple[str, int, str]] = field(
        default_factory=list
    )  # (job, task, agent) of open tasks, oldest first
    projects: Mapping[str, Project] = field(default_factory=dict)  # those that were declared, by name
    pasts: Mapping[str, Past] = field(default_factory=dict)  # by project: what it has held of late
    owners: Mapping[str, Owner] = field(default_factory=dict)  # by job, of ended ones with attempts that have not ended

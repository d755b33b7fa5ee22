"""The REST API's documents: what it answers, as types of plain dictionaries, and local paths in what it is sent."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict


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


class Link(TypedDict):
    """A job that another one waits for, or that waits for it."""

    job: str
    name: str
    state: str
    counts: Counts
    condition: str  # succeeded or ended
    elementwise: bool


class Blocker(TypedDict):
    """Agents that take no task of a job for the same reason."""

    agents: int
    why: str


class Share(TypedDict):
    """What a project holds beside what it is due, as parts of the cluster."""

    name: str
    share: float
    fair_share: float


class Position(TypedDict):
    """A job's place among those that wait."""

    place: int
    of: int


class Estimate(TypedDict):
    """When the first and the last waiting task may start."""

    first_start: str
    first_start_s: float  # from now
    last_start: str | None  # None where it lies beyond what was looked at
    last_start_s: float | None


class Explanation(TypedDict):
    """Why tasks of a job wait, and when they may start."""

    job: str | None  # None for one that was only tried out
    state: str | None
    why: str | None  # in one sentence; None when nothing waits
    waiting: int  # tasks that could start now, were there room
    blockers: list[Blocker]  # all agents, by what keeps tasks from each
    limits: list[str]  # how much of each quota is used
    project: Share | None
    position: Position | None
    estimate: Estimate | None  # None where no start is in sight
    unforeseen: NotRequired[
        int
    ]  # open jobs of which nobody knows how long a task takes: nothing is estimated behind them


class Job(TypedDict):
    """A job. Times are RFC 3339 in UTC; memory and disk are MiB."""

    id: str
    name: str
    project: str
    user: str | None
    image: str  # "name:version"
    image_digest: NotRequired[str]  # what that meant when the job was submitted
    warnings: NotRequired[list[str]]  # about the image, where the job was just submitted
    state: str  # PENDING, RUNNING, SUCCEEDED, FAILED or CANCELLED
    desired: str  # RUN or CANCELLED
    counts: Counts
    priority: int
    resources: dict[str, Any]
    learned: dict[str, float] | None  # what tasks not launched yet ask for instead, for others needed it
    labels: dict[str, str]
    submitted_at: str
    started_at: str | None
    ended_at: str | None
    why: str | None  # why it waits, in one sentence
    message: NotRequired[str | None]  # why tasks of it have ended that never ran
    after: NotRequired[list[Link] | None]  # the jobs that it starts after, where one job was asked for
    before: NotRequired[list[Link] | None]  # the jobs that start after it
    spec: dict[str, Any]  # as it was submitted


class Run(TypedDict):
    """A fire time of a recurring job."""

    at: str
    outcome: str  # SUBMITTED, SKIPPED, MISSED or REFUSED
    job: str | None
    message: str | None
    done_at: str


class Schedule(TypedDict):
    """A job that recurs."""

    id: str
    name: str
    user: str
    cron: str
    timezone: str
    overlap: str  # skip, queue or cancel
    catch_up: str  # last, all or none
    paused: bool
    created_at: str
    next: list[str]  # the next three times
    job: dict[str, Any]  # the document, as it was sent
    runs: NotRequired[list[Run] | None]  # the last 20, where one schedule was asked for


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
    resources: dict[str, Any]
    ports: list[int]  # of the agent, which are this attempt's alone
    warnings: list[str]  # what the runtime could not do, such as enforce a limit
    launched_at: str
    started_at: str | None
    ended_at: str | None
    unreachable_at: str | None  # since when nobody heard of it, the last time that it was UNREACHABLE
    kill_cause: str | None  # why the scheduler has decided to end it; how it ended is `cause`
    usage: dict[str, float]


class Output(TypedDict):
    """One file that a task published."""

    task: int
    name: str
    path: str
    size: int
    media_type: str | None
    sha256: str | None  # of its bytes, in hex
    href: str  # where the API serves it
    file: str  # where it lies on the shared file system


class Event(TypedDict):
    """Something that happened."""

    id: int
    job: str | None
    at: str
    kind: str
    data: dict[str, Any]


class Agent(TypedDict):
    """An agent, what is on it, and what operators want of it."""

    id: str
    hostname: str
    url: str
    resources: dict[str, Any]
    attributes: dict[str, str]
    region: str | None
    zone: str | None
    active: bool  # the master has it
    first_seen: str
    last_seen: str
    attempts: int  # those on it that have not ended
    images: list[str] | None  # what its engine held when its executor last said so; None where none has
    mode: str  # what is wanted: ACTIVE, CORDONED or DRAINED
    mode_pending: bool  # the scheduler has not carried that out yet
    mode_message: str | None  # what Mesos had against it
    mode_user: str | None  # who wanted it last
    mode_at: str | None
    max_grace_s: float | None
    mark_gone: bool
    deactivated: bool  # it is kept from offering anything, by whomever
    drain: str | None  # DRAINING or DRAINED, as the master says
    unavailable_from: str | None  # of its next maintenance window
    unavailable_until: str | None


class UserShare(TypedDict):
    """What a user holds in a project."""

    user: str
    tasks: int
    held: dict[str, Any]
    share: float


class Project(TypedDict):
    """A project with all that is below it. Shares are parts of the cluster, 0 to 1."""

    name: str
    parent: str | None
    depth: int  # 0 below the root
    declared: bool
    weight: float
    quota: dict[str, Any]
    max_running: int | None
    user_quota: dict[str, Any]
    user_max_running: int | None
    changed_by: str | None
    changed_at: str | None
    pending: bool  # the scheduler has not taken the last change of any project in
    open_jobs: int
    tasks: int
    held: dict[str, Any]
    share: float  # the dominant one
    fair_share: float
    past_share: float
    quota_use: float | None  # the largest part of any of its limits that is in use
    users: list[UserShare] | None  # where one project was asked for
    warnings: NotRequired[list[str] | None]  # the same: limits on what no agent has and no image asks for


class Usage(TypedDict, total=False):
    """What attempts held and used. The first five are there where it is grouped by them."""

    day: str
    project: str
    user: str
    image: str
    outcome: str
    attempts: int
    outcomes: dict[str, int]
    held_s: float
    requested: dict[
        str, float
    ]  # cpu_s, mem_mib_s, mean_mem_mib_s, read_mib, written_mib, received_mib, sent_mib, gpu_s
    used: dict[str, float]  # cpu_s, mem_mib_s
    efficiency: dict[str, float | None]  # cpu, mem


class Running(TypedDict):
    """What has not ended, in numbers."""

    attempts: int
    jobs: int
    agents: int


class Wish(TypedDict):
    """What operators want of the framework."""

    desire: str  # RUN, TEARDOWN or RESET
    pending: bool
    user: str | None
    at: str | None


class Scheduler(TypedDict):
    """The scheduler, and what an end of its framework would kill."""

    health: str  # "ok", or what is wrong in words
    connected: bool
    master: str | None
    heartbeat_at: str | None
    leader: str | None
    epoch: int
    lease_expires_at: str | None
    framework_id: str | None
    torn_down: bool
    wish: Wish | None
    running: Running
    open_jobs: int
    figures: dict[str, Any]


def has_text_items(job: Mapping[str, Any]) -> bool:
    """True for an array of texts over what `inputs` does not name: only the image can say whether they are files."""
    array = job.get("array")
    if not isinstance(array, Mapping) or array.get("over") in (job.get("inputs") or {}):
        return False
    return any(_is_text(item) for item in array.get("items") or ())


def with_hrefs(job: Mapping[str, Any], file_inputs: Collection[str] = ()) -> dict[str, Any]:
    """The job document with every local path of its inputs and items as an absolute file:// href.

    A `Path` is one anywhere; text is one as an input's value, as "href", in "hrefs", and as an item of an array over an input:
    one that `inputs` names, or that is among `file_inputs`, the names that the image declares as files.
    """
    document, inputs = dict(job), job.get("inputs") or {}
    if inputs:
        document["inputs"] = {name: _to_files(value) for name, value in inputs.items()}
    array = job.get("array")
    if array and array.get("items"):
        over = array.get("over")
        convert = _to_files if over in inputs or over in file_inputs else _to_item
        document["array"] = {**array, "items": [convert(item) for item in array["items"]]}
    return document


def _is_text(item: Any) -> bool:
    """True for a text, or a list that holds one."""
    return isinstance(item, str) or (isinstance(item, list | tuple) and any(isinstance(entry, str) for entry in item))


def _to_files(value: Any) -> Any:
    """What is given for a file input, in the API's form."""
    if isinstance(value, str | os.PathLike):
        return {"href": _to_href(value)}
    if isinstance(value, Sequence):
        return {"hrefs": [_to_href(entry) for entry in value]}
    return _to_item(value)


def _to_item(value: Any) -> Any:
    """An array's item: only what is a path for certain becomes a href, for other text may be a parameter."""
    if isinstance(value, os.PathLike):
        return {"href": _to_href(value)}
    if not isinstance(value, Mapping):
        return value
    item = {name: _to_item(entry) for name, entry in value.items()}
    if isinstance(value.get("href"), str | os.PathLike):
        item["href"] = _to_href(value["href"])
    if isinstance(value.get("hrefs"), Sequence):
        item["hrefs"] = [_to_href(entry) for entry in value["hrefs"]]
    return item


def _to_href(path: str | os.PathLike[str]) -> str:
    if isinstance(path, str) and "://" in path:
        return path
    # not resolved: a symbolic link may be how the agents see the file too
    return Path(os.path.abspath(Path(path).expanduser())).as_uri()  # noqa: PTH100

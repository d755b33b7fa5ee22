"""What an agent knows: frameworks, executors, tasks with the updates that wait for their acknowledgement."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Json = dict[str, Any]
FIRST_REGISTRATION_S = 1.0  # Mesos' --registration_backoff_factor; doubling up to a minute
LONGEST_REGISTRATION_S = 60.0
TaskKey = tuple[str, str]  # framework id, task id


class Phase(StrEnum):
    """Of an executor, as in Mesos."""

    REGISTERING = "REGISTERING"  # started (or recovered), not subscribed yet
    RUNNING = "RUNNING"
    TERMINATING = "TERMINATING"  # told to shut down, or being killed


@dataclass(frozen=True, kw_only=True, slots=True)
class Death:
    """What the tasks of an executor are told when it ends."""

    state: str = "TASK_FAILED"
    reason: str = "REASON_EXECUTOR_TERMINATED"
    message: str = "Executor terminated"


@dataclass(kw_only=True, slots=True)
class Executor:
    """An executor whose process runs, or is about to."""

    info: Json
    framework_id: str
    container_id: str
    phase: Phase = Phase.REGISTERING
    pid: int | None = None
    mark: str = ""
    stream: str | None = None
    queued: list[Json] = field(default_factory=list)  # TaskInfos that wait for the first SUBSCRIBE
    due_at: float | None = None  # REGISTERING: give up then; TERMINATING: SIGKILL then
    death: Death = field(default_factory=Death)

    def __post_init__(self) -> None:
        if self.in_docker:
            self.death = Death(message="Container terminated")

    @property
    def executor_id(self) -> str:
        return str(self.info["executor_id"]["value"])

    @property
    def in_docker(self) -> bool:
        return bool(self.info.get("container", {}).get("type") == "DOCKER")


@dataclass(kw_only=True, slots=True)
class Task:
    """A task until its terminal update is acknowledged by the scheduler."""

    info: Json
    framework_id: str
    container_id: str
    state: str = "TASK_STAGING"
    forwarded: Json | None = None  # the newest status that went to the master
    pending: deque[Json] = field(default_factory=deque)  # statuses, the first is under way
    received: set[str] = field(default_factory=set)  # uuids
    retry_at: float = 0.0
    retry_s: float = 0.0

    @property
    def task_id(self) -> str:
        return str(self.info["task_id"]["value"])

    @property
    def executor_id(self) -> str:
        return str(self.info["executor"]["executor_id"]["value"])

    @property
    def key(self) -> TaskKey:
        return (self.framework_id, self.task_id)


@dataclass(kw_only=True, slots=True)
class AgentState:
    """Everything; the functions of agent_*.py change it."""

    agent_id: str
    known_to_master: bool = False  # whether it was ever registered
    registered: bool = False  # whether it is registered now
    recovering_until: float | None = None
    register_at: float | None = None  # when to register once more, for want of an answer
    register_s: float = FIRST_REGISTRATION_S
    drain: Json | None = None  # DrainConfig, while the agent drains
    leaving: bool = False  # its executors are being ended, and it does not register any more
    stopped: bool = False
    frameworks: dict[str, Json] = field(default_factory=dict)  # framework id -> FrameworkInfo
    removed: set[str] = field(default_factory=set)  # frameworks that are being shut down
    executors: dict[str, Executor] = field(default_factory=dict)  # by container id
    tasks: dict[TaskKey, Task] = field(default_factory=dict)
    retries: list[tuple[float, TaskKey]] = field(default_factory=list)  # heap; entries may be out of date

    def find_executor(self, framework_id: str, executor_id: str) -> Executor | None:
        for executor in self.executors.values():
            if executor.framework_id == framework_id and executor.executor_id == executor_id:
                return executor
        return None

    def tasks_of(self, executor: Executor) -> Iterator[Task]:
        return (task for task in list(self.tasks.values()) if task.container_id == executor.container_id)

    def plan_retry(self, task: Task) -> None:
        heapq.heappush(self.retries, (task.retry_at, task.key))

    def is_checkpointed(self, framework_id: str) -> bool:
        return bool(self.frameworks.get(framework_id, {}).get("checkpoint", False))


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentSettings:
    """What does not change while the agent runs. Durations in seconds."""

    info: Json  # AgentInfo without id
    port: int
    work_dir: str  # absolute
    make_uuid: Callable[[], str]
    make_update_uuid: Callable[[], str]  # base64 of 16 bytes
    registration_timeout_s: float = 60.0
    reregistration_timeout_s: float = 10.0
    # Mesos waits the whole time-out, 2 s, before it registers, even if all executors are back (surprise 26). We go on
    # as soon as they are, and can therefore give slow ones more time.
    waits_for_timeout: bool = False
    cleans_up: bool = False  # --recover=cleanup: end what an earlier agent left, and stop
    shutdown_grace_s: float = 5.0
    recovery_timeout: str = "15mins"
    subscription_backoff_max: str = "2secs"
    hostname: str = "127.0.0.1"
    # Of an executor's claims (tokens.py) its token; None where nobody is asked for one.
    make_token: Callable[[Mapping[str, str]], str] | None = None

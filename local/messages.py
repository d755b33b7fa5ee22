"""What goes into the state machines of `local` and what comes out: plain values, no behaviour.

`Master.handle(event, now)` and `Agent.handle(event, now)` return a list of effects, to be performed in their order.
Master and agents speak with each other by the values of the last two sections; whoever carries them (the runtime, or a
simulation) may delay or lose them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

# --- events from outside -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A validated call of the scheduler API (at the master) or of the executor API (at an agent)."""

    call: Json
    stream: str | None  # scheduler API: the header Mesos-Stream-Id


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatorCall:
    """A validated call of the operator API that changes the master's state; the others only read it."""

    call: Json


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamClosed:
    """The subscriber's socket is gone."""

    stream: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Timer:
    """Time has passed; what is due by now is to be done."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessStarted:
    """An executor's process runs. `mark` tells it from a later process with the same pid."""

    container_id: str
    pid: int
    mark: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessExited:
    """An executor's process has ended. `status` is the raw wait status, -1 where it is not known."""

    container_id: str
    status: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LaunchFailed:
    """An executor's container could not be made; `problem` says why, in the words of whoever was to make it."""

    container_id: str
    problem: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """The agent starts; `alive` are the containers of its checkpoint whose processes still run."""

    alive: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class MasterChanged:
    """The agent finds another master, or the same one restarted: it must register again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unregister:
    """The agent is to leave for good (SIGUSR1 of a Mesos agent): its executors end, and the master is told."""


# --- effects -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Respond:
    """The whole answer to the call that is being handled; text is text/plain."""

    status: int
    text: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenStream:
    """The answer to the call is 200 and an open stream of events."""

    stream: str
    header: bool  # whether the answer carries Mesos-Stream-Id (the scheduler API does, the executor API does not)


@dataclass(frozen=True, kw_only=True, slots=True)
class SendEvent:
    """One RecordIO record on a stream."""

    stream: str
    event: Json


@dataclass(frozen=True, kw_only=True, slots=True)
class CloseStream:
    """Orderly end of a stream (the terminating 0-chunk)."""

    stream: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StartProcess:
    """Make the sandbox and start an executor in it, in a session of its own."""

    container_id: str
    framework_id: str
    executor_id: str
    executable: str
    arguments: tuple[str, ...]  # with argv[0]
    environment: Mapping[str, str]
    directory: str  # absolute path of the sandbox
    container: Json | None = None  # ContainerInfo of an executor that is to run in a container


@dataclass(frozen=True, kw_only=True, slots=True)
class KillProcess:
    """SIGKILL to an executor and its process group; no SIGTERM before (transcripts, surprise 6)."""

    container_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A line for the agent's checkpoint; written before the effects that follow it."""

    record: Json


@dataclass(frozen=True, kw_only=True, slots=True)
class StopAgent:
    """The last executor has ended, and the agent's process would exit 0 now."""


# --- from the master to an agent -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class ToAgent:
    """Effect of the master: a message to one agent."""

    agent_id: str
    message: MasterMessage


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentAccepted:
    """The master has (re-)registered the agent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunTask:
    framework_info: Json
    task: Json  # TaskInfo with its ExecutorInfo


@dataclass(frozen=True, kw_only=True, slots=True)
class KillTask:
    framework_id: str
    task_id: str
    kill_policy: Json | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ShutdownExecutor:
    framework_id: str
    executor_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ShutdownFramework:
    framework_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameworkSubscribed:
    """A scheduler is (back) on the framework's stream: send it what it has not acknowledged."""

    framework_info: Json


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateAcknowledged:
    framework_id: str
    task_id: str
    uuid: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageToExecutor:
    framework_id: str
    executor_id: str
    data: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ShutdownAgent:
    """The agent may not serve any more: its executors end, and then it stops."""

    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReconcileTasks:
    """Live tasks of which the agent said nothing when it registered again: (FrameworkInfo, TaskInfo)."""

    tasks: tuple[tuple[Json, Json], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DrainAgent:
    """Kill all tasks. DrainConfig: max_grace_period (a DurationInfo) where given, mark_gone."""

    config: Json


MasterMessage = (
    AgentAccepted
    | DrainAgent
    | ReconcileTasks
    | ShutdownAgent
    | RunTask
    | KillTask
    | ShutdownExecutor
    | ShutdownFramework
    | FrameworkSubscribed
    | UpdateAcknowledged
    | MessageToExecutor
)

# --- from an agent to the master -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class ToMaster:
    """Effect of an agent: a message to the master."""

    message: AgentMessage


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportedTask:
    """A task as the agent knows it when it registers again."""

    framework_id: str
    info: Json  # TaskInfo
    state: str  # newest state, whether forwarded or not
    forwarded: Json | None  # the newest status that was sent towards the scheduler


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentRegistered:
    """An agent registers, with what it runs."""

    agent_info: Json
    port: int
    again: bool  # whether it was registered before
    frameworks: tuple[Json, ...]
    executors: tuple[Json, ...]
    tasks: tuple[ReportedTask, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentGone:
    """The connection to an agent is broken.

    A partition is this at its begin and `MasterChanged` at the agent when it heals: the agent registers again then.
    """

    agent_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentUnregistered:
    """The agent leaves."""

    agent_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusUpdated:
    agent_id: str
    framework_id: str
    status: Json
    latest_state: str  # the newest state that the agent has, which may lie behind `status` in its queue


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutorExited:
    agent_id: str
    framework_id: str
    executor_id: str
    status: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutorGone:
    """An executor ended while nobody watched: resources are free, but no FAILURE is told (surprise 10)."""

    agent_id: str
    framework_id: str
    executor_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageToScheduler:
    agent_id: str
    framework_id: str
    executor_id: str
    data: str


AgentMessage = (
    AgentRegistered | AgentGone | AgentUnregistered | StatusUpdated | ExecutorExited | ExecutorGone | MessageToScheduler
)

MasterEvent = Call | OperatorCall | StreamClosed | Timer | AgentMessage
AgentEvent = (
    Call
    | StreamClosed
    | Timer
    | Started
    | MasterChanged
    | Unregister
    | ProcessStarted
    | ProcessExited
    | LaunchFailed
    | MasterMessage
)
StreamEffect = Respond | OpenStream | SendEvent | CloseStream
MasterEffect = StreamEffect | ToAgent
AgentEffect = StreamEffect | ToMaster | StartProcess | KillProcess | Record | StopAgent
Effect = MasterEffect | AgentEffect

"""An agent: events in, effects out. No clock, no sockets, no processes of its own."""

from __future__ import annotations

from typing import Any

from local.agent_checkpoint import replay, take_snapshot
from local.agent_drain import end_drain, on_drain
from local.agent_environment import make_directory
from local.agent_executors import (
    end_overdue,
    on_exited,
    on_kill_task,
    on_launch_failed,
    on_message,
    on_run_task,
    on_started,
    on_subscribe,
    shut_down,
    shut_down_framework,
)
from local.agent_leaving import leave, on_unregister, stop_when_empty
from local.agent_state import (
    FIRST_REGISTRATION_S,
    LONGEST_REGISTRATION_S,
    AgentSettings,
    AgentState,
    Executor,
    Phase,
)
from local.agent_updates import on_acknowledged, on_executor_status, on_reconcile_tasks, repeat_due, resend
from local.messages import (
    AgentAccepted,
    AgentEffect,
    AgentEvent,
    AgentRegistered,
    Call,
    DrainAgent,
    FrameworkSubscribed,
    KillTask,
    LaunchFailed,
    MasterChanged,
    MessageToExecutor,
    MessageToScheduler,
    ProcessExited,
    ProcessStarted,
    ReconcileTasks,
    Record,
    ReportedTask,
    Respond,
    RunTask,
    ShutdownAgent,
    ShutdownExecutor,
    ShutdownFramework,
    Started,
    StreamClosed,
    Timer,
    ToMaster,
    Unregister,
    UpdateAcknowledged,
)

Json = dict[str, Any]


class Agent:
    """The agent's state machine.

    `state` comes from `agent_checkpoint.replay`, or is a fresh `AgentState`. The first event is `Started`. After each
    `handle`, `due_at()` says when the next `Timer` event is wanted.
    """

    def __init__(self, *, settings: AgentSettings, state: AgentState) -> None:
        self.settings = settings
        self.state = state

    def handle(self, event: AgentEvent, now: float) -> list[AgentEffect]:
        settings, state = self.settings, self.state
        match event:
            case Call():
                return self._on_call(event.call, now)
            case UpdateAcknowledged():
                return on_acknowledged(state, event, now)
            case RunTask():
                return on_run_task(settings, state, event, now)
            case KillTask():
                return on_kill_task(settings, state, event, now)
            case Timer():
                effects = end_overdue(settings, state, now) + repeat_due(state, now)
                return effects + self._finish_recovery(now) + self._register_again(now)
            case ProcessStarted():
                return on_started(state, event.container_id, event.pid, event.mark)
            case ProcessExited():
                effects = on_exited(settings, state, event.container_id, event.status, now)
                return effects + self._finish_recovery(now) + end_drain(state) + stop_when_empty(state)
            case StreamClosed():
                return self._on_stream_closed(event.stream)
            case LaunchFailed():
                return on_launch_failed(settings, state, event, now) + stop_when_empty(state)
            case AgentAccepted():
                return self._on_accepted(now)
            case FrameworkSubscribed():
                return self._on_framework_subscribed(event.framework_info, now)
            case ShutdownExecutor():
                executor = state.find_executor(event.framework_id, event.executor_id)
                return [] if executor is None else shut_down(settings, executor, now)
            case ShutdownFramework():
                return shut_down_framework(settings, state, event.framework_id, now)
            case MessageToExecutor():
                return on_message(state, event)
            case Started():
                return self._on_start(event.alive, now)
            case MasterChanged():
                return self._on_master_changed(now)
            case DrainAgent():
                return on_drain(settings, state, event, now)
            case ReconcileTasks():
                return on_reconcile_tasks(settings, state, event, now)
            case ShutdownAgent():
                return leave(settings, state, now)
            case Unregister():
                return on_unregister(settings, state, now)

    def due_at(self) -> float | None:
        due = [e.due_at for e in self.state.executors.values() if e.due_at is not None]
        if self.state.recovering_until is not None:
            due.append(self.state.recovering_until)
        if self.state.register_at is not None:
            due.append(self.state.register_at)
        if self.state.retries:
            due.append(self.state.retries[0][0])
        return min(due, default=None)

    def snapshot(self) -> list[Json]:
        return take_snapshot(self.state)

    def directory_of(self, executor: Executor) -> str:
        """The sandbox of an executor, an absolute path."""
        return make_directory(self.settings, self.state.agent_id, executor.info, executor.container_id)

    def _on_call(self, call: Json, now: float) -> list[AgentEffect]:
        """Checks in Mesos' order (transcripts 01, 04h)."""
        framework_id = call["framework_id"]["value"]
        if framework_id not in self.state.frameworks:
            return [Respond(status=400, text="Framework cannot be found")]
        executor = self.state.find_executor(framework_id, call["executor_id"]["value"])
        if executor is None:
            return [Respond(status=400, text="Executor cannot be found")]
        if call["type"] == "SUBSCRIBE":
            effects = on_subscribe(self.settings, self.state, executor, call, now)
            return effects + self._finish_recovery(now)
        if executor.stream is None and executor.phase is Phase.REGISTERING:
            if self.state.recovering_until is not None:
                return [Respond(status=503, text="Agent has not finished recovery")]
            return [Respond(status=403, text="Executor is not subscribed")]
        return [Respond(status=202), *self._on_executor_call(executor, call, now)]

    def _on_executor_call(self, executor: Executor, call: Json, now: float) -> list[AgentEffect]:
        if call["type"] == "UPDATE":
            return on_executor_status(self.state, executor, call["update"]["status"], now)
        if call["type"] == "MESSAGE" and self.state.registered:
            message = MessageToScheduler(
                agent_id=self.state.agent_id,
                framework_id=executor.framework_id,
                executor_id=executor.executor_id,
                data=call["message"]["data"],
            )
            return [ToMaster(message=message)]
        return []

    def _on_stream_closed(self, stream: str) -> list[AgentEffect]:
        """The process decides whether an executor is dead, not its socket."""
        for executor in self.state.executors.values():
            if executor.stream == stream:
                executor.stream = None
        return []

    def _on_start(self, alive: frozenset[str], now: float) -> list[AgentEffect]:
        """After a restart: executors that died meanwhile are reported, the others have some time to come back."""
        effects: list[AgentEffect] = []
        if not self.state.known_to_master:
            effects.append(Record(record={"k": "agent", "id": self.state.agent_id}))
        # Nothing to wait for where nothing ran (transcripts 04e, 04i).
        self.state.recovering_until = now + (self.settings.reregistration_timeout_s if self.state.executors else 0.0)
        for container_id, executor in list(self.state.executors.items()):
            if container_id not in alive:
                effects += on_exited(self.settings, self.state, container_id, None, now)
            elif executor.framework_id in self.state.removed:
                effects += shut_down(self.settings, executor, now)
            else:
                executor.due_at = self.state.recovering_until
        if self.settings.cleans_up:
            return effects + leave(self.settings, self.state, now)
        for framework_id in list(self.state.removed):
            effects += shut_down_framework(self.settings, self.state, framework_id, now)
        return effects + self._finish_recovery(now)

    def _finish_recovery(self, now: float) -> list[AgentEffect]:
        """Register once nothing is missing any more, or the time is up."""
        state = self.state
        if state.recovering_until is None:
            return []
        missing = any(e.phase is Phase.REGISTERING for e in state.executors.values())
        waits = missing or (self.settings.waits_for_timeout and state.known_to_master)
        if waits and now < state.recovering_until:
            return []
        state.recovering_until = None
        return self._register(now)

    def _register(self, now: float) -> list[AgentEffect]:
        """Until the master answers, for it may be away, and messages may be lost."""
        state = self.state
        state.register_at, state.register_s = now + state.register_s, min(2 * state.register_s, LONGEST_REGISTRATION_S)
        return [ToMaster(message=self._make_registration())]

    def _register_again(self, now: float) -> list[AgentEffect]:
        at = self.state.register_at
        return [] if at is None or at > now else self._register(now)

    def _make_registration(self) -> AgentRegistered:
        state = self.state
        reported = [
            ReportedTask(framework_id=t.framework_id, info=t.info, state=t.state, forwarded=t.forwarded)
            for t in state.tasks.values()
        ]
        return AgentRegistered(
            agent_info=self.settings.info | {"id": {"value": state.agent_id}, "checkpoint": True},
            port=self.settings.port,
            again=state.known_to_master,
            frameworks=tuple(info for key, info in state.frameworks.items() if key not in state.removed),
            executors=tuple(e.info for e in state.executors.values() if e.framework_id not in state.removed),
            tasks=tuple(reported),
        )

    def _on_master_changed(self, now: float) -> list[AgentEffect]:
        if self.state.leaving or self.state.recovering_until is not None:
            return []
        self.state.registered, self.state.register_s = False, FIRST_REGISTRATION_S
        return self._register(now)

    def _on_accepted(self, now: float) -> list[AgentEffect]:
        self.state.registered = self.state.known_to_master = True
        self.state.register_at, self.state.register_s = None, FIRST_REGISTRATION_S
        return resend(self.state, now)

    def _on_framework_subscribed(self, info: Json, now: float) -> list[AgentEffect]:
        framework_id = info["id"]["value"]
        if framework_id not in self.state.frameworks:
            return []
        effects: list[AgentEffect] = []
        if self.state.frameworks[framework_id] != info:
            self.state.frameworks[framework_id] = info
            if self.state.is_checkpointed(framework_id):
                effects.append(Record(record={"k": "framework", "info": info}))
        return effects + resend(self.state, now, framework_id)


__all__ = ["Agent", "AgentSettings", "AgentState", "replay"]

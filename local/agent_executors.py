"""The life of executors and the delivery of tasks at the agent."""

from __future__ import annotations

from typing import Any

from local.agent_environment import make_start, shutdown_grace_s
from local.agent_state import AgentSettings, AgentState, Death, Executor, Phase, Task
from local.agent_updates import make_own_update, on_executor_status
from local.messages import (
    AgentEffect,
    CloseStream,
    ExecutorExited,
    KillProcess,
    KillTask,
    LaunchFailed,
    MessageToExecutor,
    OpenStream,
    Record,
    RunTask,
    SendEvent,
    ToMaster,
)
from local.statuses import format_duration, is_terminal

Json = dict[str, Any]


def on_run_task(settings: AgentSettings, state: AgentState, message: RunTask, now: float) -> list[AgentEffect]:
    """Start the task's executor unless it runs; deliver the task, or queue it until the executor subscribes."""
    info: Json = message.task["executor"]
    framework_id = info["framework_id"]["value"]
    effects: list[AgentEffect] = []
    state.removed.discard(framework_id)
    if state.drain is not None:
        # Nobody launches on a draining agent, so it must have been reactivated.
        state.drain = None
        effects.append(Record(record={"k": "drain", "config": None}))
    if framework_id not in state.frameworks:
        state.frameworks[framework_id] = message.framework_info
        effects += _record(state, framework_id, {"k": "framework", "info": message.framework_info})
    executor = state.find_executor(framework_id, info["executor_id"]["value"])
    start: list[AgentEffect] = []
    if executor is None:
        executor = Executor(info=info, framework_id=framework_id, container_id=settings.make_uuid())
        executor.due_at = now + settings.registration_timeout_s
        state.executors[executor.container_id] = executor
        effects += _record(state, framework_id, {"k": "executor", "info": info, "container": executor.container_id})
        start = [make_start(settings, state.agent_id, message.framework_info, info, executor.container_id)]
    task = Task(info=message.task, framework_id=framework_id, container_id=executor.container_id)
    state.tasks[task.key] = task
    record = {"k": "task", "framework": framework_id, "info": message.task, "container": executor.container_id}
    effects += _record(state, framework_id, record)
    if executor.phase is Phase.TERMINATING:
        reason, text = "REASON_EXECUTOR_TERMINATED", "Executor terminating"
        return effects + make_own_update(settings, state, task, now, "TASK_DROPPED", reason, text)
    if start and info["command"].get("uris"):
        # Nothing is fetched here; what needs it must not run without.
        executor.death = _make_fetch_death(executor)
        return effects + on_exited(settings, state, executor.container_id, 1 << 8, now)
    if executor.phase is Phase.REGISTERING:
        executor.queued.append(message.task)
        return effects + start
    return effects + _deliver(executor, message.task)


def on_launch_failed(settings: AgentSettings, state: AgentState, event: LaunchFailed, now: float) -> list[AgentEffect]:
    """FAILURE has the status -1 then (transcript 14)."""
    executor = state.executors.get(event.container_id)
    if executor is not None:
        executor.death = _make_launch_death(event.problem)
    return on_exited(settings, state, event.container_id, -1, now)


def _make_fetch_death(executor: Executor) -> Death:
    problem = f"Failed to fetch all URIs for container '{executor.container_id}': exited with status 1"
    return _make_launch_death(problem)


def _make_launch_death(problem: str) -> Death:
    return Death(reason="REASON_CONTAINER_LAUNCH_FAILED", message=f"Failed to launch container: {problem}")


def _record(state: AgentState, framework_id: str, record: Json) -> list[AgentEffect]:
    return [Record(record=record)] if state.is_checkpointed(framework_id) else []


def _deliver(executor: Executor, task_info: Json) -> list[AgentEffect]:
    if executor.stream is None:
        return []
    return [SendEvent(stream=executor.stream, event={"type": "LAUNCH", "launch": {"task": task_info}})]


def on_subscribe(
    settings: AgentSettings, state: AgentState, executor: Executor, call: Json, now: float
) -> list[AgentEffect]:
    """A second SUBSCRIBE replaces the first stream; no LAUNCH is repeated (surprises 4, 5, 7)."""
    stream = settings.make_uuid()
    effects: list[AgentEffect] = [] if executor.stream is None else [CloseStream(stream=executor.stream)]
    executor.stream = stream
    effects.append(OpenStream(stream=stream, header=False))
    if executor.phase is Phase.TERMINATING:
        return [*effects, SendEvent(stream=stream, event={"type": "SHUTDOWN"})]
    executor.phase, executor.due_at = Phase.RUNNING, None
    effects.append(SendEvent(stream=stream, event=_make_subscribed(settings, state, executor)))
    subscribe = call["subscribe"]
    for update in subscribe.get("unacknowledged_updates", ()):
        effects += on_executor_status(state, executor, update["status"], now)
    held = {info["task_id"]["value"] for info in subscribe.get("unacknowledged_tasks", ())}
    held |= {info["task_id"]["value"] for info in executor.queued}
    for task in state.tasks_of(executor):
        if task.state == "TASK_STAGING" and task.task_id not in held:
            # Launched, never updated, and the executor does not know it (surprise 7).
            reason, text = "REASON_AGENT_RESTARTED", "Task launched during agent restart"
            effects += make_own_update(settings, state, task, now, "TASK_DROPPED", reason, text)
    for info in executor.queued:
        effects += _deliver(executor, info)
    executor.queued = []
    return effects


def _make_subscribed(settings: AgentSettings, state: AgentState, executor: Executor) -> Json:
    body = {
        "executor_info": executor.info,
        "framework_info": state.frameworks[executor.framework_id],
        "agent_info": settings.info | {"id": {"value": state.agent_id}},
        "container_id": {"value": executor.container_id},
    }
    return {"type": "SUBSCRIBED", "subscribed": body}


def on_kill_task(settings: AgentSettings, state: AgentState, message: KillTask, now: float) -> list[AgentEffect]:
    """Each KILL call gives one KILL event; a task that was not delivered yet is killed by the agent (surprises 24, 25)."""
    task = state.tasks.get((message.framework_id, message.task_id))
    executor = state.executors.get(task.container_id) if task is not None else None
    if task is None or executor is None or executor.phase is Phase.TERMINATING:
        return []
    if executor.phase is Phase.REGISTERING:
        executor.queued = [info for info in executor.queued if info["task_id"]["value"] != message.task_id]
        reason, text = "REASON_TASK_KILLED_DURING_LAUNCH", "Killed before delivery to the executor"
        effects = make_own_update(settings, state, task, now, "TASK_KILLED", reason, text)
        return effects if executor.queued else effects + shut_down(settings, executor, now)
    if executor.stream is None:
        return []
    kill: Json = {"task_id": {"value": message.task_id}}
    if message.kill_policy is not None:
        kill["kill_policy"] = message.kill_policy
    return [SendEvent(stream=executor.stream, event={"type": "KILL", "kill": kill})]


def shut_down(settings: AgentSettings, executor: Executor, now: float) -> list[AgentEffect]:
    """SHUTDOWN, and SIGKILL when the grace period is over (surprise 6)."""
    if executor.phase is Phase.TERMINATING:
        return []
    executor.phase = Phase.TERMINATING
    executor.due_at = now + shutdown_grace_s(settings.shutdown_grace_s, executor.info)
    return [] if executor.stream is None else [SendEvent(stream=executor.stream, event={"type": "SHUTDOWN"})]


def shut_down_framework(settings: AgentSettings, state: AgentState, framework_id: str, now: float) -> list[AgentEffect]:
    """Nobody is left to hear of its tasks: they and their updates are forgotten, its executors end."""
    if framework_id not in state.frameworks:
        return []
    effects = _record(state, framework_id, {"k": "removed", "framework": framework_id})
    state.removed.add(framework_id)
    for key in [key for key in state.tasks if key[0] == framework_id]:
        del state.tasks[key]
    for executor in state.executors.values():
        if executor.framework_id == framework_id:
            effects += shut_down(settings, executor, now)
    _drop_idle_framework(state, framework_id)
    return effects


def _drop_idle_framework(state: AgentState, framework_id: str) -> None:
    if framework_id in state.removed and all(e.framework_id != framework_id for e in state.executors.values()):
        state.removed.discard(framework_id)
        del state.frameworks[framework_id]


def on_message(state: AgentState, message: MessageToExecutor) -> list[AgentEffect]:
    executor = state.find_executor(message.framework_id, message.executor_id)
    if executor is None or executor.stream is None:
        return []
    return [SendEvent(stream=executor.stream, event={"type": "MESSAGE", "message": {"data": message.data}})]


def on_started(state: AgentState, container_id: str, pid: int, mark: str) -> list[AgentEffect]:
    executor = state.executors.get(container_id)
    if executor is None:
        return []
    executor.pid, executor.mark = pid, mark
    record = {"k": "forked", "container": container_id, "pid": pid, "mark": mark}
    return _record(state, executor.framework_id, record)


def on_exited(
    settings: AgentSettings, state: AgentState, container_id: str, status: int | None, now: float
) -> list[AgentEffect]:
    """FAILURE first, then an update for each task that had not ended (surprises 10, 11).

    `status` None: it ended while nobody watched, and there is no FAILURE.
    """
    executor = state.executors.pop(container_id, None)
    if executor is None:
        return []
    effects: list[AgentEffect] = [] if executor.stream is None else [CloseStream(stream=executor.stream)]
    if status is not None and state.registered:
        exited = ExecutorExited(
            agent_id=state.agent_id,
            framework_id=executor.framework_id,
            executor_id=executor.executor_id,
            status=status,
        )
        effects.append(ToMaster(message=exited))
    death = executor.death
    for task in state.tasks_of(executor):
        if not is_terminal(task.state):
            effects += make_own_update(settings, state, task, now, death.state, death.reason, death.message)
    effects += _record(state, executor.framework_id, {"k": "exited", "container": container_id})
    _drop_idle_framework(state, executor.framework_id)
    return effects


def end_overdue(settings: AgentSettings, state: AgentState, now: float) -> list[AgentEffect]:
    """SIGKILL for executors that did not subscribe, come back, or shut down in time."""
    effects: list[AgentEffect] = []
    for executor in list(state.executors.values()):
        if executor.due_at is None or executor.due_at > now:
            continue
        executor.due_at = None
        if executor.phase is Phase.REGISTERING:
            executor.death = _make_registration_death(settings, state, executor)
        executor.phase = Phase.TERMINATING
        effects.append(KillProcess(container_id=executor.container_id))
    return effects


def _make_registration_death(settings: AgentSettings, state: AgentState, executor: Executor) -> Death:
    if state.recovering_until is None:
        limit = format_duration(settings.registration_timeout_s)
        message = f"Executor did not register within {limit}" + ("; Container killed" if executor.in_docker else "")
        return Death(reason="REASON_EXECUTOR_REGISTRATION_TIMEOUT", message=message)
    # TASK_GONE, not FAILED (surprise 17).
    limit = format_duration(settings.reregistration_timeout_s)
    message = f"Executor did not reregister within {limit}"
    return Death(state="TASK_GONE", reason="REASON_EXECUTOR_REREGISTRATION_TIMEOUT", message=message)

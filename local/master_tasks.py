"""Tasks at the master: status updates and their acknowledgement, reconciliation, KILL, SHUTDOWN, MESSAGE."""

from __future__ import annotations

from typing import Any

from local.master_state import (
    Framework,
    MasterState,
    Task,
    note_status,
    remove_executor,
    remove_task,
    send,
    set_task_state,
)
from local.messages import (
    ExecutorExited,
    ExecutorGone,
    KillTask,
    MasterEffect,
    MessageToExecutor,
    MessageToScheduler,
    Respond,
    ShutdownExecutor,
    StatusUpdated,
    UpdateAcknowledged,
)
from local.statuses import is_terminal, make_status, make_update_event

Json = dict[str, Any]


def on_status(state: MasterState, update: StatusUpdated, now: float) -> list[MasterEffect]:
    """An update on its way from an agent to the scheduler; passed on even for an unknown task (surprise 2).

    "Ignoring status update from unknown agent": it sends it again once it is registered (transcript 07b).
    """
    framework = state.frameworks.get(update.framework_id)
    if framework is None or update.agent_id not in state.agents:
        return []
    task = framework.tasks.get(update.status["task_id"]["value"])
    if task is not None and task.agent_id == update.agent_id:
        note_status(task, update.status)
        set_task_state(state, framework, task, update.latest_state)
    return send(framework, make_update_event(update.status))


def on_acknowledge(state: MasterState, framework: Framework, call: Json, now: float) -> list[MasterEffect]:
    acknowledge = call["acknowledge"]
    agent_id, task_id = acknowledge["agent_id"]["value"], acknowledge["task_id"]["value"]
    answer: list[MasterEffect] = [Respond(status=202)]
    task = framework.tasks.get(task_id)
    if task is not None and task.uuid == acknowledge["uuid"] and is_terminal(task.forwarded):
        remove_task(state, framework, task)
    message = UpdateAcknowledged(framework_id=framework.framework_id, task_id=task_id, uuid=acknowledge["uuid"])
    return answer + state.tell_agent(agent_id, message)


def on_reconcile(state: MasterState, framework: Framework, call: Json, now: float) -> list[MasterEffect]:
    """Explicit: an answer for each, or silence while agents are missing. Implicit: all that are known."""
    answer: list[MasterEffect] = [Respond(status=202)]
    asked = call["reconcile"].get("tasks", [])
    if not asked:
        for task in framework.tasks.values():
            answer += send(framework, make_update_event(_describe(framework, task, now)))
        return answer
    for entry in asked:
        agent_id = entry.get("agent_id", {}).get("value")
        answer += _reconcile(state, framework, entry["task_id"]["value"], agent_id, now)
    return answer


def _reconcile(
    state: MasterState, framework: Framework, task_id: str, agent_id: str | None, now: float
) -> list[MasterEffect]:
    task = framework.tasks.get(task_id)
    if task is not None:
        return send(framework, make_update_event(_describe(framework, task, now)))
    if agent_id in state.recovered_agents or (agent_id is None and state.recovered_agents):
        return []  # silence for agents that are not back yet (surprise 22)
    newest, message = _find_answer(state, agent_id)
    status = make_status(
        task_id,
        newest if framework.partition_aware else "TASK_LOST",
        source="SOURCE_MASTER",
        reason="REASON_RECONCILIATION",
        message=message,
        timestamp=now,
        agent_id=agent_id,
        unreachable_at=None if agent_id is None else state.unreachable.get(agent_id),
    )
    return send(framework, make_update_event(status))


def _find_answer(state: MasterState, agent_id: str | None) -> tuple[str, str]:
    """State and message for a task that the master does not have; the agent decides (surprise 21)."""
    if agent_id in state.agents:
        return "TASK_GONE", "Reconciliation: Task is unknown to the agent"
    if agent_id in state.unreachable:
        return "TASK_UNREACHABLE", "Reconciliation: Task is unreachable"
    if agent_id in state.gone:
        return "TASK_GONE_BY_OPERATOR", "Reconciliation: Task is gone"
    return "TASK_UNKNOWN", "Reconciliation: Task is unknown"


def _describe(framework: Framework, task: Task, now: float) -> Json:
    container = task.statuses[-1].get("container_status") if task.statuses else None
    return make_status(
        task.task_id,
        task.forwarded,
        source="SOURCE_MASTER",
        reason="REASON_RECONCILIATION",
        message="Reconciliation: Latest task state",
        timestamp=now,
        agent_id=task.agent_id,
        executor_id=task.executor_id,
        container_status=container,
    )


def on_kill(state: MasterState, framework: Framework, call: Json, now: float) -> list[MasterEffect]:
    """KILL of something unknown is answered as a reconciliation (surprise 24)."""
    kill = call["kill"]
    task_id, agent_id = kill["task_id"]["value"], kill.get("agent_id", {}).get("value")
    answer: list[MasterEffect] = [Respond(status=202)]
    task = framework.tasks.get(task_id)
    if task is None:
        return answer + _reconcile(state, framework, task_id, agent_id, now)
    if agent_id not in (None, task.agent_id):
        return answer
    policy = kill.get("kill_policy")
    message = KillTask(framework_id=framework.framework_id, task_id=task_id, kill_policy=policy)
    return answer + state.tell_agent(task.agent_id, message)


def on_shutdown(state: MasterState, framework: Framework, call: Json, now: float) -> list[MasterEffect]:
    shutdown = call["shutdown"]
    agent_id = shutdown["agent_id"]["value"]
    answer: list[MasterEffect] = [Respond(status=202)]
    executor_id = shutdown["executor_id"]["value"]
    message = ShutdownExecutor(framework_id=framework.framework_id, executor_id=executor_id)
    return answer + state.tell_agent(agent_id, message)


def on_message(state: MasterState, framework: Framework, call: Json, now: float) -> list[MasterEffect]:
    body = call["message"]
    agent_id = body["agent_id"]["value"]
    answer: list[MasterEffect] = [Respond(status=202)]
    message = MessageToExecutor(
        framework_id=framework.framework_id, executor_id=body["executor_id"]["value"], data=body["data"]
    )
    return answer + state.tell_agent(agent_id, message)


def on_executor_message(state: MasterState, message: MessageToScheduler, now: float) -> list[MasterEffect]:
    framework = state.frameworks.get(message.framework_id)
    if framework is None or message.agent_id not in state.agents:
        return []
    body = {
        "agent_id": {"value": message.agent_id},
        "executor_id": {"value": message.executor_id},
        "data": message.data,
    }
    return send(framework, {"type": "MESSAGE", "message": body})


def on_executor_exited(state: MasterState, exited: ExecutorExited, now: float) -> list[MasterEffect]:
    """FAILURE comes before the updates of the executor's tasks, also for a clean exit (surprise 10)."""
    framework = state.frameworks.get(exited.framework_id)
    if framework is None or not remove_executor(state, framework, exited.agent_id, exited.executor_id):
        return []
    failure = {
        "agent_id": {"value": exited.agent_id},
        "executor_id": {"value": exited.executor_id},
        "status": exited.status,
    }
    return send(framework, {"type": "FAILURE", "failure": failure})


def on_executor_gone(state: MasterState, gone: ExecutorGone, now: float) -> list[MasterEffect]:
    framework = state.frameworks.get(gone.framework_id)
    if framework is not None:
        remove_executor(state, framework, gone.agent_id, gone.executor_id)
    return []

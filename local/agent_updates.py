"""The agent's status update manager: stored, acknowledged to the executor, sent one at a time per task, repeated."""

from __future__ import annotations

import heapq
from typing import Any

from local.agent_state import AgentSettings, AgentState, Executor, Task
from local.messages import (
    AgentEffect,
    ReconcileTasks,
    Record,
    SendEvent,
    StatusUpdated,
    ToMaster,
    UpdateAcknowledged,
)
from local.statuses import has_capability, is_terminal, make_status

Json = dict[str, Any]
FIRST_RETRY_S = 10.0  # surprise 12: after 10 s, then 20 s, doubling up to 10 min
LONGEST_RETRY_S = 600.0


def on_executor_status(state: AgentState, executor: Executor, status: Json, now: float) -> list[AgentEffect]:
    """An update of an executor. ACKNOWLEDGED means "stored", before the scheduler has seen it (surprise 1)."""
    task = state.tasks.get((executor.framework_id, status["task_id"]["value"]))
    status = status | {"agent_id": {"value": state.agent_id}}
    status.setdefault("timestamp", now)
    status = to_drained(state, status)
    if task is None or task.container_id != executor.container_id:
        # Goes on to the scheduler, but is not stored and never acknowledged to the executor (surprise 2).
        return _to_master(state, executor.framework_id, status, status["state"])
    acknowledged: list[AgentEffect] = []
    if executor.stream is not None:
        body = {"task_id": status["task_id"], "uuid": status["uuid"]}
        acknowledged = [SendEvent(stream=executor.stream, event={"type": "ACKNOWLEDGED", "acknowledged": body})]
    if status["uuid"] in task.received:
        return acknowledged
    status["container_status"] = make_container_status(executor)
    stored, forwarded = _store(state, task, status, now)
    return stored + acknowledged + forwarded


def to_drained(state: AgentState, status: Json) -> Json:
    """What a draining agent makes of a task's KILLING and KILLED.

    Where the agent is to be gone afterwards, both become TASK_GONE_BY_OPERATOR, which ends the task for the master at the
    first of the two (surprise 19; as Mesos' slave.cpp does).
    """
    if state.drain is None or status["state"] not in ("TASK_KILLING", "TASK_KILLED"):
        return status
    status = status | {"reason": "REASON_AGENT_DRAINING"}
    return status | {"state": "TASK_GONE_BY_OPERATOR"} if state.drain["mark_gone"] else status


def make_container_status(executor: Executor) -> Json:
    status: Json = {
        "container_id": {"value": executor.container_id},
        "network_infos": [{"ip_addresses": [{"protocol": "IPv4", "ip_address": "127.0.0.1"}]}],
    }
    if executor.pid is not None and not executor.in_docker:
        status["executor_pid"] = executor.pid
    return status


def make_own_update(
    settings: AgentSettings, state: AgentState, task: Task, now: float, newest: str, reason: str, message: str
) -> list[AgentEffect]:
    """An update that the agent makes itself; it has a uuid and is to be acknowledged (surprise 14)."""
    info = state.frameworks.get(task.framework_id, {})
    if newest in ("TASK_GONE", "TASK_DROPPED") and not has_capability(info, "PARTITION_AWARE"):
        newest = "TASK_LOST"
    status = make_status(
        task.task_id,
        newest,
        source="SOURCE_AGENT",
        reason=reason,
        message=message,
        timestamp=now,
        agent_id=state.agent_id,
        executor_id=task.executor_id,
        uuid=settings.make_update_uuid(),
    )
    status = to_drained(state, status)
    stored, forwarded = _store(state, task, status, now)
    return stored + forwarded


def on_reconcile_tasks(
    settings: AgentSettings, state: AgentState, message: ReconcileTasks, now: float
) -> list[AgentEffect]:
    """Tasks whose launch never came: a terminal update for each, which is repeated like any other."""
    effects: list[AgentEffect] = []
    for framework_info, info in message.tasks:
        task = Task(info=info, framework_id=framework_info["id"]["value"], container_id="")
        if task.key not in state.tasks:
            state.frameworks.setdefault(task.framework_id, framework_info)
            state.tasks[task.key] = task
            reason, text = "REASON_RECONCILIATION", "Reconciliation: task unknown to the agent"
            effects += make_own_update(settings, state, task, now, "TASK_DROPPED", reason, text)
    return effects


def _store(state: AgentState, task: Task, status: Json, now: float) -> tuple[list[AgentEffect], list[AgentEffect]]:
    """-> what writes it down, what sends it if none of the task is under way (surprise 13)."""
    task.received.add(status["uuid"])
    task.pending.append(status)
    if not is_terminal(task.state):
        task.state = status["state"]
    line: list[AgentEffect] = []
    if state.is_checkpointed(task.framework_id):
        record = {"k": "update", "framework": task.framework_id, "task": task.task_id, "status": status}
        line = [Record(record=record)]
    return line, _forward(state, task, now) if len(task.pending) == 1 else []


def _forward(state: AgentState, task: Task, now: float, *, retry_s: float = FIRST_RETRY_S) -> list[AgentEffect]:
    """Send the first pending update of a task and plan its repetition."""
    if not state.registered or not task.pending:
        return []
    status = task.pending[0]
    task.forwarded = status
    task.retry_s, task.retry_at = retry_s, now + retry_s
    state.plan_retry(task)
    return _to_master(state, task.framework_id, status, task.state)


def _to_master(state: AgentState, framework_id: str, status: Json, latest: str) -> list[AgentEffect]:
    if not state.registered:
        return []
    update = StatusUpdated(agent_id=state.agent_id, framework_id=framework_id, status=status, latest_state=latest)
    return [ToMaster(message=update)]


def on_acknowledged(state: AgentState, message: UpdateAcknowledged, now: float) -> list[AgentEffect]:
    """The scheduler has it: the next one, or the end of the task."""
    task = state.tasks.get((message.framework_id, message.task_id))
    if task is None or not task.pending or task.pending[0]["uuid"] != message.uuid:
        return []
    status = task.pending.popleft()
    effects: list[AgentEffect] = []
    if state.is_checkpointed(message.framework_id):
        record = {"k": "ack", "framework": message.framework_id, "task": message.task_id, "uuid": message.uuid}
        effects.append(Record(record=record))
    if is_terminal(status["state"]):
        del state.tasks[task.key]
    else:
        effects += _forward(state, task, now)
    _forget_retries(state)
    return effects


def _forget_retries(state: AgentState) -> None:
    """Drop what need not be repeated any more from the front of the queue, lest a timer wakes for nothing."""
    while state.retries:
        retry_at, key = state.retries[0]
        task = state.tasks.get(key)
        if task is not None and task.pending and task.retry_at == retry_at:
            return
        heapq.heappop(state.retries)


def resend(state: AgentState, now: float, framework_id: str | None = None) -> list[AgentEffect]:
    """All pending updates at once: at registration, and when a scheduler (re-)subscribes (surprise 12)."""
    effects: list[AgentEffect] = []
    for task in list(state.tasks.values()):
        if framework_id in (None, task.framework_id):
            effects += _forward(state, task, now)
    return effects


def repeat_due(state: AgentState, now: float) -> list[AgentEffect]:
    effects: list[AgentEffect] = []
    while state.retries and state.retries[0][0] <= now:
        retry_at, key = heapq.heappop(state.retries)
        task = state.tasks.get(key)
        if task is not None and task.pending and task.retry_at == retry_at:
            effects += _forward(state, task, now, retry_s=min(2 * task.retry_s, LONGEST_RETRY_S))
    return effects

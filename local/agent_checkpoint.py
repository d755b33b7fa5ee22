"""The agent's checkpoint: records in the order in which things happened, and what they add up to.

The lines are written by the runtime before the effects that follow them, so that whatever an executor or the master has
been told survives a kill -9 of `local`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from local.agent_state import AgentState, Executor, Task
from local.statuses import is_terminal

Json = dict[str, Any]


def replay(records: Iterable[Json]) -> AgentState | None:
    """The state that the records describe; None where there is no agent yet. A record that lacks something changes nothing."""
    state: AgentState | None = None
    for record in records:
        if record["k"] == "agent" and isinstance(record.get("id"), str):
            state = AgentState(agent_id=record["id"], known_to_master=True)
        elif state is not None:
            with suppress(KeyError, TypeError, ValueError):
                _apply(state, record)
    return state


def _apply(state: AgentState, record: Json) -> None:
    match record["k"]:
        case "drain":
            state.drain = record["config"]
        case "framework":
            state.frameworks[record["info"]["id"]["value"]] = record["info"]
        case "removed":
            _remove_framework(state, record["framework"])
        case "executor":
            info, container_id = record["info"], record["container"]
            framework_id = info["framework_id"]["value"]
            executor = Executor(info=info, framework_id=framework_id, container_id=str(container_id))
            _ = executor.executor_id  # raises where there is none
            state.executors[container_id] = executor
        case "forked":
            executor = state.executors[record["container"]]
            executor.pid, executor.mark = to_pid(record["pid"]), str(record["mark"])
        case "exited":
            state.executors.pop(record["container"], None)
        case "task":
            task = Task(info=record["info"], framework_id=record["framework"], container_id=record["container"])
            task.state = record.get("state", task.state)
            task.forwarded = record.get("forwarded")
            state.tasks[task.key] = task
        case "update" | "ack":
            _apply_update(state, record)


def to_pid(value: Any) -> int:
    """Raises ValueError for what is no process id: a group is signalled by it."""
    if type(value) is not int or value <= 1:
        raise ValueError(f"{value!r} is no process id")
    return value


def _apply_update(state: AgentState, record: Json) -> None:
    task = state.tasks.get((record["framework"], record["task"]))
    if task is None:
        return
    if record["k"] == "update":
        status = record["status"]
        task.received.add(status["uuid"])
        task.pending.append(status)
        task.state = task.state if is_terminal(task.state) else status["state"]
        return
    while task.pending:
        status = task.pending.popleft()
        task.forwarded = status
        if is_terminal(status["state"]):
            del state.tasks[task.key]
        if status["uuid"] == record["uuid"]:
            return


def _remove_framework(state: AgentState, framework_id: str) -> None:
    """Its executors stay known until they have exited; they are shut down once more after a restart."""
    state.removed.add(framework_id)
    for key in [key for key in state.tasks if key[0] == framework_id]:
        del state.tasks[key]


def take_snapshot(state: AgentState) -> list[Json]:
    """The fewest records that `replay` turns into the same state."""
    kept = [framework_id for framework_id in state.frameworks if state.is_checkpointed(framework_id)]
    records: list[Json] = [{"k": "agent", "id": state.agent_id}]
    if state.drain is not None:
        records.append({"k": "drain", "config": state.drain})
    records += [{"k": "framework", "info": state.frameworks[framework_id]} for framework_id in kept]
    for executor in state.executors.values():
        if executor.framework_id in kept:
            records.append({"k": "executor", "info": executor.info, "container": executor.container_id})
            if executor.pid is not None:
                forked = {"k": "forked", "container": executor.container_id}
                records.append({**forked, "pid": executor.pid, "mark": executor.mark})
    for task in state.tasks.values():
        if task.framework_id in kept:
            records += _snapshot_task(task)
    records += [{"k": "removed", "framework": framework_id} for framework_id in state.removed if framework_id in kept]
    return records


def _snapshot_task(task: Task) -> list[Json]:
    record: Json = {"k": "task", "framework": task.framework_id, "info": task.info, "container": task.container_id}
    acknowledged = task.forwarded is not None and task.forwarded not in task.pending
    if acknowledged and task.forwarded is not None:
        record |= {"state": task.forwarded["state"], "forwarded": task.forwarded}
    updates = [
        {"k": "update", "framework": task.framework_id, "task": task.task_id, "status": status}
        for status in task.pending
    ]
    return [record, *updates]

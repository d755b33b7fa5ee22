"""Builders of the executor's calls: `mesos/v1/executor/executor.proto` as JSON; complete, both ids included."""

from __future__ import annotations

from collections.abc import Sequence

from swath.wire.calls import Message, make_data, make_id
from swath.wire.enums import Source


def _make_call(kind: str, framework_id: str, executor_id: str, body: Message) -> Message:
    ids = {"framework_id": make_id(framework_id), "executor_id": make_id(executor_id)}
    return {"type": kind, **ids, kind.lower(): body}


def make_executor_subscribe(
    framework_id: str, executor_id: str, tasks: Sequence[Message] = (), updates: Sequence[Message] = ()
) -> Message:
    """SUBSCRIBE with the TaskInfos that never had an update acknowledged, and the statuses that were not.

    A task that is missing from both becomes TASK_DROPPED at an agent's restart (surprise 7).
    """
    body = {
        "unacknowledged_tasks": list(tasks),
        "unacknowledged_updates": [{"status": status} for status in updates],
    }
    return _make_call("SUBSCRIBE", framework_id, executor_id, body)


def make_status(
    task_id: str,
    state: str,
    *,
    executor_id: str,
    uuid: bytes,
    timestamp: float,
    data: bytes = b"",
    message: str = "",
    healthy: bool | None = None,
) -> Message:
    """TaskStatus as an executor sends it: uuid (16 bytes) and source are required (surprise 9); `timestamp` in Unix seconds."""
    status: Message = {
        "task_id": make_id(task_id),
        "executor_id": make_id(executor_id),
        "source": str(Source.SOURCE_EXECUTOR),
        "state": str(state),
        "timestamp": timestamp,
        "uuid": make_data(uuid),
    }
    optional = {"data": make_data(data) if data else None, "message": message or None, "healthy": healthy}
    return status | {key: value for key, value in optional.items() if value is not None}


def make_update(framework_id: str, executor_id: str, status: Message) -> Message:
    """UPDATE."""
    return _make_call("UPDATE", framework_id, executor_id, {"status": status})


def make_executor_message(framework_id: str, executor_id: str, data: bytes) -> Message:
    """MESSAGE to the scheduler, best effort."""
    return _make_call("MESSAGE", framework_id, executor_id, {"data": make_data(data)})

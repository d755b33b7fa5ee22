"""TaskStatus documents that master and agent make themselves, and the events that carry them."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
VERSION = "1.12.0"  # of the Mesos that the transcripts were recorded with
TERMINAL = frozenset(
    [
        "TASK_FINISHED",
        "TASK_FAILED",
        "TASK_KILLED",
        "TASK_ERROR",
        "TASK_LOST",
        "TASK_DROPPED",
        "TASK_GONE",
        "TASK_GONE_BY_OPERATOR",
    ]
)


def make_status(
    task_id: str,
    state: str,
    *,
    source: str,
    reason: str,
    message: str,
    timestamp: float,
    agent_id: str | None = None,
    executor_id: str | None = None,
    uuid: str | None = None,
    container_status: Json | None = None,
    unreachable_at: float | None = None,
) -> Json:
    """A TaskStatus. Those of the master have no uuid and must not be acknowledged (surprise 14)."""
    status: Json = {"task_id": {"value": task_id}, "state": state, "message": message, "source": source}
    status["reason"] = reason
    if agent_id is not None:
        status["agent_id"] = {"value": agent_id}
    if executor_id is not None:
        status["executor_id"] = {"value": executor_id}
    status["timestamp"] = timestamp
    if uuid is not None:
        status["uuid"] = uuid
    if container_status is not None:
        status["container_status"] = container_status
    if unreachable_at is not None:
        status["unreachable_time"] = {"nanoseconds": int(unreachable_at * 1e9)}
    return status


def make_update_event(status: Json) -> Json:
    return {"type": "UPDATE", "update": {"status": status}}


def is_terminal(state: str) -> bool:
    return state in TERMINAL


def has_capability(framework_info: Json, capability: str) -> bool:
    return any(c.get("type") == capability for c in framework_info.get("capabilities", ()))


def format_duration(seconds: float) -> str:
    """As Mesos prints durations: `15mins`, `2secs`, `500ms`."""
    for unit, size in (("weeks", 604800.0), ("days", 86400.0), ("hrs", 3600.0), ("mins", 60.0), ("secs", 1.0)):
        if seconds >= size and (seconds / size).is_integer():
            return f"{int(seconds / size)}{unit}"
    return f"{seconds:g}secs" if seconds >= 1 else f"{seconds * 1000:g}ms"

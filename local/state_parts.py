"""Parts of the operators' documents that master and agent share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from local.resources import Bundle, format_intervals, role_of

Json = dict[str, Any]
AGENT_CAPABILITIES = (
    "MULTI_ROLE",
    "HIERARCHICAL_ROLE",
    "RESERVATION_REFINEMENT",
    "RESOURCE_PROVIDER",
    "RESIZE_VOLUME",
    "AGENT_OPERATION_FEEDBACK",
    "AGENT_DRAINING",
    "TASK_RESOURCE_LIMITS",
)


def resources_by_reservation(total: Bundle) -> Json:
    """What /state and /slaves say of an agent's resources, apart from their sum."""
    parts = total.by_role()
    return {
        "reserved_resources": {role: part.to_state() for role, part in parts.items() if role != "*"},
        "unreserved_resources": parts["*"].to_state(),
    }


def full_by_reservation(total: Bundle) -> Json:
    wire = total.to_wire(form="both")
    roles = dict.fromkeys(resource["role"] for resource in wire if resource["role"] != "*")
    return {
        "reserved_resources_full": {role: [r for r in wire if r["role"] == role] for role in roles},
        "unreserved_resources_full": [r for r in wire if r["role"] == "*"],
    }


def nanoseconds(at: float) -> Json:
    return {"nanoseconds": int(at * 1e9)}


def attributes_of(info: Json) -> Json:
    """AgentInfo's attributes as /state shows them."""
    found: Json = {}
    for attribute in info.get("attributes", ()):
        if "ranges" in attribute:
            pieces = [(piece["begin"], piece["end"]) for piece in attribute["ranges"]["range"]]
            found[attribute["name"]] = format_intervals(pieces)
            continue
        part = attribute.get("scalar") or attribute.get("text") or {}
        found[attribute["name"]] = part.get("value")
    return found


def command_of(info: Json) -> Json:
    """ExecutorInfo's command as /state shows it."""
    command = info.get("command", {})
    return {
        "shell": command.get("shell", True),
        "value": command.get("value", ""),
        "argv": command.get("arguments", []),
        "environment": command.get("environment", {}),
        "uris": command.get("uris", []),
    }


def task_document(info: Json, framework_id: str, state: str, statuses: Sequence[Json]) -> Json:
    """v1 Task."""
    document: Json = {
        "name": info["name"],
        "task_id": info["task_id"],
        "framework_id": {"value": framework_id},
        "executor_id": info["executor"]["executor_id"],
        "agent_id": info["agent_id"],
        "state": state,
        "resources": info["resources"],
    }
    if statuses:
        document["statuses"] = [_status_document(status) for status in statuses]
    if "labels" in info:
        document["labels"] = info["labels"]
    return document


def update_fields(status: Json) -> Json:
    """What a v1 Task says of the newest update of its agent."""
    return {"status_update_state": status["state"], "status_update_uuid": status["uuid"]}


def _status_document(status: Json) -> Json:
    """Without data; what the master made itself stands there without its executor's id (transcript 05)."""
    dropped = ("data",) if "uuid" in status else ("data", "executor_id")
    return {name: value for name, value in status.items() if name not in dropped}


def task_state(info: Json, framework_id: str, state: str, bundle: Bundle, statuses: Sequence[Json]) -> Json:
    """A task as /state shows it."""
    document: Json = {
        "id": info["task_id"]["value"],
        "name": info["name"],
        "framework_id": framework_id,
        "executor_id": info["executor"]["executor_id"]["value"],
        "slave_id": info["agent_id"]["value"],
        "state": state,
        "resources": bundle.to_state(),
        "role": role_of(info),
        "statuses": [_status_state(status) for status in statuses],
    }
    if "labels" in info:
        document["labels"] = info["labels"].get("labels", [])
    return document


def _status_state(status: Json) -> Json:
    kept: Json = {"state": status["state"], "timestamp": status["timestamp"]}
    if "container_status" in status:
        kept["container_status"] = {k: v for k, v in status["container_status"].items() if k != "executor_pid"}
    if "healthy" in status:
        kept["healthy"] = status["healthy"]
    return kept

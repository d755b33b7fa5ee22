"""The protobuf messages behind the JSON calls, as far as they are read: what is required, of which kind, in which order.

Reading a document against a shape does what Mesos' JSON-to-protobuf conversion does: unknown fields are dropped, numbers
may be strings, an unknown value of an optional enum counts as absent, errors carry Mesos' texts (transcripts 01, 08).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Shape = dict[str, "Field"]
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/=\s]")


class ShapeError(ValueError):
    """The document does not fit; the text is Mesos'."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field: a nested shape, or a function that reads a scalar. The rest as in protobuf: a default is filled in."""

    kind: Shape | Callable[[str, Any], Any]
    required: bool = False
    repeated: bool = False
    default: Any = None


def convert(shape: Shape, document: Any) -> Json:
    """The document in the shape's order with unknown fields dropped. Raises ShapeError."""
    missing: list[str] = []
    if not isinstance(document, dict):
        raise ShapeError(f"Expecting a JSON object, not a JSON {_json_kind(document)}")
    converted = _convert_message(shape, document, "", missing)
    if missing:
        raise ShapeError(f"Missing required fields: {', '.join(missing)}")
    return converted


def _convert_message(shape: Shape, document: Json, path: str, missing: list[str]) -> Json:
    result: Json = {}
    for name, field in shape.items():
        value = document.get(name)
        if value is None:
            if field.required:
                missing.append(path + name)
            elif field.default is not None:
                result[name] = field.default
            continue
        if field.repeated:
            if not isinstance(value, list):
                raise ShapeError(_not_expecting(name, value))
            converted = [_convert_value(field, name, v, f"{path}{name}[{i}].", missing) for i, v in enumerate(value)]
            result[name] = [v for v in converted if v is not None]
            continue
        single = _convert_value(field, name, value, f"{path}{name}.", missing)
        if single is not None:
            result[name] = single
    return result


def _convert_value(field: Field, name: str, value: Any, path: str, missing: list[str]) -> Any:
    kind = field.kind
    if not isinstance(kind, dict):
        converted = kind(name, value)
        if converted is None and field.required:
            raise ShapeError(f"Failed to find enum for '{value}'")
        return converted
    if not isinstance(value, dict):
        raise ShapeError(_not_expecting(name, value))
    return _convert_message(kind, value, path, missing)


def _json_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return {str: "string", int: "number", float: "number", list: "array", dict: "object"}.get(type(value), "null")


def _not_expecting(name: str, value: Any) -> str:
    return f"Not expecting a JSON {_json_kind(value)} for field '{name}'"


def text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ShapeError(_not_expecting(name, value))
    return value


def number(name: str, value: Any) -> float:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            problem = f"Failed to parse '{value}' as a JSON number for field '{name}'"
            raise ShapeError(f"{problem}: syntax error at line 1 near: {value}") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ShapeError(_not_expecting(name, value))
    return float(value)


def integer(name: str, value: Any) -> int:
    return int(number(name, value))


def boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ShapeError(_not_expecting(name, value))
    return value


def base64_text(name: str, value: Any) -> str:
    bad = _NOT_BASE64.search(text(name, value))
    if bad:
        raise ShapeError(f"Failed to base64 decode bytes field '{name}': Invalid character '{bad.group()}'")
    return str(value)


def anything(name: str, value: Any) -> Any:
    """Messages that are only handed on."""
    return value


def one_of(*names: str) -> Callable[[str, Any], str | None]:
    """An enum; None for an unknown value."""
    known = frozenset(names)

    def read(name: str, value: Any) -> str | None:
        return value if text(name, value) in known else None

    return read


_ID: Shape = {"value": Field(text, required=True)}
_LABELS: Shape = {"labels": Field({"key": Field(text, required=True), "value": Field(text)}, repeated=True)}
_DURATION: Shape = {"nanoseconds": Field(integer, required=True)}
_KILL_POLICY: Shape = {"grace_period": Field(_DURATION)}
_RANGE: Shape = {"begin": Field(integer, required=True), "end": Field(integer, required=True)}

RESOURCE: Shape = {
    "provider_id": Field(anything),
    "name": Field(text, required=True),
    "type": Field(one_of("SCALAR", "RANGES", "SET", "TEXT"), required=True),
    "scalar": Field({"value": Field(number, required=True)}),
    "ranges": Field({"range": Field(_RANGE, repeated=True)}),
    "set": Field({"item": Field(text, repeated=True)}),
    "role": Field(text),
    "allocation_info": Field({"role": Field(text)}),
    "reservation": Field(anything),
    "reservations": Field(anything, repeated=True),
    "disk": Field(anything),
    "revocable": Field(anything),
    "shared": Field(anything),
}
_VARIABLE: Shape = {
    "name": Field(text, required=True),
    "type": Field(one_of("UNKNOWN", "VALUE", "SECRET")),
    "value": Field(text),
    "secret": Field(anything),
}
COMMAND: Shape = {
    "uris": Field(anything, repeated=True),
    "environment": Field({"variables": Field(_VARIABLE, repeated=True)}),
    "shell": Field(boolean),
    "value": Field(text),
    "arguments": Field(text, repeated=True),
    "user": Field(text),
}
_DOCKER: Shape = {
    "image": Field(text, required=True),
    "network": Field(one_of("HOST", "BRIDGE", "NONE", "USER"), default="HOST"),
    "port_mappings": Field(anything, repeated=True),
    "privileged": Field(boolean, default=False),
    "parameters": Field(anything, repeated=True),
    "force_pull_image": Field(boolean),
    "volume_driver": Field(text),
}
CONTAINER: Shape = {
    "type": Field(one_of("DOCKER", "MESOS"), required=True),
    "volumes": Field(anything, repeated=True),
    "hostname": Field(text),
    "docker": Field(_DOCKER),
    "mesos": Field(anything),
    "network_infos": Field(anything, repeated=True),
    "linux_info": Field(anything),
    "rlimit_info": Field(anything),
    "tty_info": Field(anything),
}
EXECUTOR_INFO: Shape = {
    "type": Field(one_of("UNKNOWN", "DEFAULT", "CUSTOM")),
    "executor_id": Field(_ID, required=True),
    "framework_id": Field(_ID),
    "command": Field(COMMAND),
    "container": Field(CONTAINER),
    "resources": Field(RESOURCE, repeated=True),
    "name": Field(text),
    "source": Field(text),
    "data": Field(base64_text),
    "discovery": Field(anything),
    "shutdown_grace_period": Field(_DURATION),
    "labels": Field(_LABELS),
}
TASK_INFO: Shape = {
    "name": Field(text, required=True),
    "task_id": Field(_ID, required=True),
    "agent_id": Field(_ID, required=True),
    "resources": Field(RESOURCE, repeated=True),
    "limits": Field(anything),
    "executor": Field(EXECUTOR_INFO),
    "command": Field(COMMAND),
    "container": Field(anything),
    "health_check": Field(anything),
    "check": Field(anything),
    "kill_policy": Field(_KILL_POLICY),
    "data": Field(base64_text),
    "labels": Field(_LABELS),
    "discovery": Field(anything),
    "max_completion_time": Field(_DURATION),
}
TASK_STATES = [
    "TASK_STAGING",
    "TASK_STARTING",
    "TASK_RUNNING",
    "TASK_KILLING",
    "TASK_FINISHED",
    "TASK_FAILED",
    "TASK_KILLED",
    "TASK_ERROR",
    "TASK_LOST",
    "TASK_DROPPED",
    "TASK_UNREACHABLE",
    "TASK_GONE",
    "TASK_GONE_BY_OPERATOR",
    "TASK_UNKNOWN",
]
TASK_STATUS: Shape = {
    "task_id": Field(_ID, required=True),
    "state": Field(one_of(*TASK_STATES), required=True),
    "message": Field(text),
    "source": Field(one_of("SOURCE_MASTER", "SOURCE_AGENT", "SOURCE_EXECUTOR")),
    "reason": Field(text),
    "data": Field(base64_text),
    "agent_id": Field(_ID),
    "executor_id": Field(_ID),
    "timestamp": Field(number),
    "uuid": Field(base64_text),
    "healthy": Field(boolean),
    "check_status": Field(anything),
    "labels": Field(_LABELS),
    "container_status": Field(anything),
    "limitation": Field(anything),
}
FRAMEWORK_INFO: Shape = {
    "user": Field(text, required=True),
    "name": Field(text, required=True),
    "id": Field(_ID),
    "failover_timeout": Field(number),
    "checkpoint": Field(boolean),
    "roles": Field(text, repeated=True),
    "role": Field(text),
    "hostname": Field(text),
    "principal": Field(text),
    "webui_url": Field(text),
    "capabilities": Field(
        {
            "type": Field(
                one_of(
                    *[
                        "REVOCABLE_RESOURCES",
                        "TASK_KILLING_STATE",
                        "GPU_RESOURCES",
                        "SHARED_RESOURCES",
                        "PARTITION_AWARE",
                    ],
                    *["MULTI_ROLE", "RESERVATION_REFINEMENT", "REGION_AWARE"],
                )
            )
        },
        repeated=True,
    ),
    "labels": Field(_LABELS),
    "offer_filters": Field(anything),
}
_FILTERS: Shape = {"refuse_seconds": Field(number)}
_OPERATION: Shape = {
    "id": Field(_ID),
    "type": Field(text),
    "launch": Field({"task_infos": Field(TASK_INFO, repeated=True)}),
    "launch_group": Field(
        {
            "executor": Field(EXECUTOR_INFO, required=True),
            "task_group": Field({"tasks": Field(TASK_INFO, repeated=True)}, required=True),
        }
    ),
}
_INVERSE_OFFERS: Shape = {"inverse_offer_ids": Field(_ID, repeated=True), "filters": Field(_FILTERS)}
_ROLES: Shape = {"roles": Field(text, repeated=True)}
SCHEDULER_CALLS = [
    "SUBSCRIBE",
    "TEARDOWN",
    "ACCEPT",
    "DECLINE",
    "ACCEPT_INVERSE_OFFERS",
    "DECLINE_INVERSE_OFFERS",
    "REVIVE",
    "KILL",
    "SHUTDOWN",
    "ACKNOWLEDGE",
    "ACKNOWLEDGE_OPERATION_STATUS",
    "RECONCILE",
    "RECONCILE_OPERATIONS",
    "MESSAGE",
    "REQUEST",
    "SUPPRESS",
    "UPDATE_FRAMEWORK",
]
SCHEDULER_CALL: Shape = {
    "framework_id": Field(_ID),
    "type": Field(one_of(*SCHEDULER_CALLS)),
    "subscribe": Field(
        {
            "framework_info": Field(FRAMEWORK_INFO, required=True),
            "force": Field(boolean),
            "suppressed_roles": Field(text, repeated=True),
            "offer_constraints": Field(anything),
        }
    ),
    "accept": Field(
        {
            "offer_ids": Field(_ID, repeated=True),
            "operations": Field(_OPERATION, repeated=True),
            "filters": Field(_FILTERS),
        }
    ),
    "decline": Field({"offer_ids": Field(_ID, repeated=True), "filters": Field(_FILTERS)}),
    "accept_inverse_offers": Field(_INVERSE_OFFERS),
    "decline_inverse_offers": Field(_INVERSE_OFFERS),
    "revive": Field(_ROLES),
    "kill": Field({"task_id": Field(_ID, required=True), "agent_id": Field(_ID), "kill_policy": Field(_KILL_POLICY)}),
    "shutdown": Field({"executor_id": Field(_ID, required=True), "agent_id": Field(_ID, required=True)}),
    "acknowledge": Field(
        {
            "agent_id": Field(_ID, required=True),
            "task_id": Field(_ID, required=True),
            "uuid": Field(base64_text, required=True),
        }
    ),
    "reconcile": Field({"tasks": Field({"task_id": Field(_ID, required=True), "agent_id": Field(_ID)}, repeated=True)}),
    "message": Field(
        {
            "agent_id": Field(_ID, required=True),
            "executor_id": Field(_ID, required=True),
            "data": Field(base64_text, required=True),
        }
    ),
    "request": Field(anything),
    "suppress": Field(_ROLES),
    "update_framework": Field(
        {
            "framework_info": Field(FRAMEWORK_INFO, required=True),
            "suppressed_roles": Field(text, repeated=True),
            "offer_constraints": Field(anything),
        }
    ),
}
_UPDATE: Shape = {"status": Field(TASK_STATUS, required=True)}
EXECUTOR_CALL: Shape = {
    "executor_id": Field(_ID, required=True),
    "framework_id": Field(_ID, required=True),
    "type": Field(one_of("SUBSCRIBE", "UPDATE", "MESSAGE", "HEARTBEAT")),
    "subscribe": Field(
        {
            "unacknowledged_tasks": Field(TASK_INFO, repeated=True),
            "unacknowledged_updates": Field(_UPDATE, repeated=True),
        }
    ),
    "update": Field(_UPDATE),
    "message": Field({"data": Field(base64_text, required=True)}),
}

"""Bytes of a request -> a validated call, or the text of Mesos' 400 (transcripts 01, 06, 08, 10, basics)."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from local.operator_shapes import OPERATOR_CALL, PARTS
from local.shapes import EXECUTOR_CALL, SCHEDULER_CALL, Shape, ShapeError, convert

Json = dict[str, Any]
_NEEDS_BODY = {
    "ACCEPT": "accept",
    "DECLINE": "decline",
    "ACCEPT_INVERSE_OFFERS": "accept_inverse_offers",
    "DECLINE_INVERSE_OFFERS": "decline_inverse_offers",
    "KILL": "kill",
    "SHUTDOWN": "shutdown",
    "ACKNOWLEDGE": "acknowledge",
    "RECONCILE": "reconcile",
    "MESSAGE": "message",
    "REQUEST": "request",
    "UPDATE_FRAMEWORK": "update_framework",
}


class CallError(ValueError):
    """The call is refused with 400; the text is Mesos'."""


def read_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        near = error.doc[error.pos :].split("\n", 1)[0]
        raise CallError(f"Failed to parse body into JSON: syntax error at line {error.lineno} near: {near}") from None
    except UnicodeDecodeError:
        raise CallError("Failed to parse body into JSON: syntax error at line 1 near: ") from None


def read_scheduler_call(body: bytes) -> Json:
    """A call of the scheduler API. Raises CallError."""
    call = _convert(SCHEDULER_CALL, read_json(body))
    problem = _find_scheduler_problem(call)
    if problem:
        raise CallError(f"Failed to validate scheduler::Call: {problem}")
    return call


def read_executor_call(body: bytes) -> Json:
    """A call of the executor API. Raises CallError."""
    call = _convert(EXECUTOR_CALL, read_json(body))
    problem = _find_executor_problem(call)
    if problem:
        raise CallError(f"Failed to validate Executor::Call: {problem}")
    return call


def read_operator_call(body: bytes, machine: str, known: frozenset[str]) -> Json:
    """A call of the operator API of `machine` ("master", "agent"). Raises CallError."""
    call = read_json(body)
    if not isinstance(call, dict) or call.get("type") not in known:
        raise CallError(f"Failed to validate {machine}::Call: Expecting 'type' to be present")
    if call["type"] in PARTS:
        return _read_change(call)
    for kind, part in (("READ_FILE", "read_file"), ("LIST_FILES", "list_files")):
        if call["type"] == kind and not isinstance(call.get(part), dict):
            raise CallError(f"Failed to validate {machine}::Call: Expecting '{part}' to be present")
    for name in ("offset", "length") if call["type"] == "READ_FILE" else ():
        number = call["read_file"].get(name, 0)
        if type(number) is not int or number < 0:  # uint64; a bool is an int in Python
            raise CallError(f"Failed to convert JSON into Call protobuf: Failed to convert '{number}' to number")
    return call


def _read_change(call: Json) -> Json:
    """A call that changes the master's state."""
    call = _convert(OPERATOR_CALL, call)
    part = call["type"].lower()
    if part not in call:
        raise CallError(f"Failed to validate master::Call: Expecting '{part}' to be present")
    return call


def _convert(shape: Shape, document: Any) -> Json:
    try:
        return convert(shape, document)
    except ShapeError as error:
        raise CallError(f"Failed to convert JSON into Call protobuf: {error}") from None


def _find_scheduler_problem(call: Json) -> str | None:
    kind = call.get("type")
    if kind is None:
        return "Expecting 'type' to be present"
    if kind == "SUBSCRIBE":
        if "subscribe" not in call:
            return "Expecting 'subscribe' to be present"
        if call["subscribe"]["framework_info"].get("id") != call.get("framework_id"):
            return "'framework_id' differs from 'subscribe.framework_info.id'"
        return None
    if "framework_id" not in call:
        return "Expecting 'framework_id' to be present"
    part = _NEEDS_BODY.get(kind)
    if part is not None and part not in call:
        return f"Expecting '{part}' to be present"
    if kind == "UPDATE_FRAMEWORK" and call["update_framework"]["framework_info"].get("id") != call["framework_id"]:
        return "'framework_id' differs from 'update_framework.framework_info.id'"
    if kind == "ACKNOWLEDGE" and not is_uuid(call["acknowledge"]["uuid"]):
        return "Not a valid UUID"
    return None


def _find_executor_problem(call: Json) -> str | None:
    kind = call.get("type")
    if kind is None:
        return "Expecting 'type' to be present"
    part = {"SUBSCRIBE": "subscribe", "UPDATE": "update", "MESSAGE": "message"}.get(kind)
    if part is not None and part not in call:
        return f"Expecting '{part}' to be present"
    return _find_status_problem(call) if kind == "UPDATE" else None


def _find_status_problem(call: Json) -> str | None:
    status = call["update"]["status"]
    executor_id, framework_id = call["executor_id"]["value"], call["framework_id"]["value"]
    if "uuid" not in status:
        return "Expecting 'uuid' to be present"
    if not is_uuid(status["uuid"]):
        return "Not a valid UUID"
    inner = status.get("executor_id", {}).get("value", executor_id)
    if inner != executor_id:
        return f"ExecutorID in Call: {executor_id} does not match ExecutorID in TaskStatus: {inner}"
    sender = f"executor {executor_id} of framework {framework_id}"
    if status.get("source") != "SOURCE_EXECUTOR":
        return f"Received Call from {sender} with invalid source, expecting 'SOURCE_EXECUTOR'"
    if status["state"] == "TASK_STAGING":
        return f"Received TASK_STAGING from {sender} which is not allowed"
    return None


def is_uuid(encoded: str) -> bool:
    """Whether it is the base64 of 16 bytes."""
    try:
        return len(base64.b64decode(encoded)) == 16
    except binascii.Error:
        return False

"""From the agent's messages, as they come, to the core's events. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from executor.events import Event, Kill, Launch, Prefetch, Shutdown, Subscribed, Work
from swath.domain.errors import InvalidInputError
from swath.domain.images import PrefetchOrder, read_message
from swath.domain.secret_messages import SecretsAnswer
from swath.domain.slots import WorkOrder


def to_event(message: Mapping[str, Any]) -> Event | SecretsAnswer | None:
    """The event in a message of the executor API; None for what does not concern us (ACKNOWLEDGED ...)."""
    match message.get("type"):
        case "LAUNCH":
            task = message["launch"]["task"]
            return Launch(task_id=task["task_id"]["value"], data=_decode(task.get("data", "")))
        case "KILL":
            kill = message["kill"]
            return Kill(task_id=kill["task_id"]["value"], grace_s=_grace_s(kill))
        case "SHUTDOWN":
            return Shutdown(message="the agent told the executor to shut down")
        case "SUBSCRIBED":
            return Subscribed()
        case "MESSAGE":
            return _to_said(_decode(message["message"].get("data", "")))
        case _:
            return None


def _to_said(data: bytes) -> Prefetch | Work | SecretsAnswer | None:
    """None for what a newer scheduler says, and for nonsense: whoever waits for an answer says it again."""
    try:
        said = read_message(data, most=None)
    except InvalidInputError:
        return None
    match said:
        case SecretsAnswer():
            return said
        case PrefetchOrder():
            return Prefetch(reference=said.reference)
        case WorkOrder():
            return Work(order=said)
        case _:
            return None


def _decode(data: str) -> bytes:
    """The task's data; what is no base64 becomes nothing, which is refused as no specification."""
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _grace_s(kill: Mapping[str, Any]) -> float | None:
    nanoseconds = kill.get("kill_policy", {}).get("grace_period", {}).get("nanoseconds")
    return None if nanoseconds is None else float(nanoseconds) / 1e9

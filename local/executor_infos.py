"""When two ExecutorInfos are the same executor (transcript 02, surprise 43)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from local.resources import format_thousandths, from_wire, to_thousandths

Json = dict[str, Any]
# Field order of the protobuf text format, per message.
_INFO = (
    *("executor_id", "data", "resources", "command", "framework_id", "name", "source", "container", "discovery"),
    *("shutdown_grace_period", "labels", "type"),
)
_ORDERS = {
    "": _INFO,
    "resources": ("name", "type", "scalar", "ranges", "role", "allocation_info"),
    "command": ("uris", "environment", "value", "user", "shell", "arguments"),
    "variables": ("name", "value", "type"),
}
_ENUMS = frozenset({"type"})


def _canonical(info: Json) -> Json:
    """Labels and the order of environment variables do not count; everything else does, a missing type too."""
    same = {name: value for name, value in info.items() if name not in ("labels", "resources", "command")}
    bundle = from_wire(info.get("resources", ()))
    same["resources"] = (dict(bundle.scalars), dict(bundle.ranges))
    command = dict(info.get("command", {}))
    variables = command.pop("environment", {}).get("variables", [])
    same["command"] = command
    same["environment"] = sorted((v["name"], v.get("type", "VALUE"), v.get("value", "")) for v in variables)
    return same


def find_difference(known: Json, given: Json) -> str | None:
    """None where both mean the same executor, else Mesos' text with both in protobuf text format."""
    if _canonical(known) == _canonical(given):
        return None
    line = "-" * 60
    return (
        "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID.\n"
        f"{line}\nExisting ExecutorInfo:\n{to_text(known)}\n{line}\nExecutorInfo:\n{to_text(given)}\n{line}\n"
    )


def to_text(info: Json) -> str:
    """An ExecutorInfo in protobuf text format."""
    return "".join(f"{line}\n" for line in _lines(info, ""))


def _lines(message: Json, kind: str) -> Iterable[str]:
    order = _ORDERS.get(kind, ())
    for name in sorted(message, key=lambda name: order.index(name) if name in order else 99):
        value = message[name]
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                yield f"{name} {{"
                yield from (f"  {line}" for line in _lines(item, name))
                yield "}"
            else:
                yield f"{name}: {_scalar(name, item)}"


def _scalar(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value if name in _ENUMS else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return format_thousandths(to_thousandths(value)) if isinstance(value, float) else str(value)

"""The calls of the operator API that change something: their parts, as shapes.py reads them."""

from __future__ import annotations

from local.shapes import Field, Shape, boolean, integer, text

_ID: Shape = {"value": Field(text, required=True)}
_AGENT: Shape = {"agent_id": Field(_ID, required=True)}
_NANOSECONDS: Shape = {"nanoseconds": Field(integer, required=True)}
# Of google.protobuf: anything else in it, as {"nanoseconds": ..}, is dropped, and 0 is left (surprise 20).
_GOOGLE_DURATION: Shape = {"seconds": Field(integer), "nanos": Field(integer)}
_MACHINE: Shape = {"hostname": Field(text), "ip": Field(text)}
_UNAVAILABILITY: Shape = {"start": Field(_NANOSECONDS, required=True), "duration": Field(_NANOSECONDS)}
_WINDOW: Shape = {
    "machine_ids": Field(_MACHINE, repeated=True),
    "unavailability": Field(_UNAVAILABILITY, required=True),
}
_MACHINES: Shape = {"machines": Field(_MACHINE, repeated=True)}

PARTS: dict[str, Shape] = {
    "MARK_AGENT_GONE": _AGENT,
    "DRAIN_AGENT": _AGENT | {"max_grace_period": Field(_GOOGLE_DURATION), "mark_gone": Field(boolean)},
    "DEACTIVATE_AGENT": _AGENT,
    "REACTIVATE_AGENT": _AGENT,
    "UPDATE_MAINTENANCE_SCHEDULE": {"schedule": Field({"windows": Field(_WINDOW, repeated=True)}, required=True)},
    "START_MAINTENANCE": _MACHINES,
    "STOP_MAINTENANCE": _MACHINES,
}
OPERATOR_CALL: Shape = {"type": Field(text)} | {kind.lower(): Field(part) for kind, part in PARTS.items()}

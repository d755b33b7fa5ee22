"""Mesos' resources as JSON: what an offer or an agent holds, and what a task is given of it (`mesos.proto`, Resource)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from swath.domain.ranges import Ranges
from swath.domain.resources import LARGEST, Resources, is_custom_name

Message = dict[str, Any]  # one JSON object as it goes over the wire

LARGEST_PORT = 65535
_PLAIN = ("cpus", "mem", "disk", "gpus")
_NO_PORTS = Ranges()


def make_resources(resources: Resources, role: str, ports: Iterable[int] = ()) -> list[Message]:
    """The amounts above zero as unreserved SCALAR resources allocated to `role` (M18), and the `ports` as RANGES."""
    allocated = {"allocation_info": {"role": role}}
    found: list[Message] = [
        {"name": name, "type": "SCALAR", "scalar": {"value": value}, **allocated}
        for name, value in to_scalars(resources).items()
        if value > 0
    ]
    spans = Ranges().add(ports).spans
    if spans:
        pieces = [{"begin": first, "end": end - 1} for first, end in spans]  # in Mesos both ends belong to a range
        found.append({"name": "ports", "type": "RANGES", "ranges": {"range": pieces}, **allocated})
    return found


def to_scalars(resources: Resources) -> dict[str, float]:
    """All but the ports, as Mesos counts them."""
    return {
        "cpus": resources.cpus_m / 1000,
        "mem": resources.mem,
        "disk": resources.disk,
        "gpus": resources.gpus,
        **{name: value / 1000 for name, value in resources.custom},
    }


def to_resources(entries: Iterable[Mapping[str, Any]]) -> Resources:
    """The sum of what a task with `make_resources` could use, of an offer's or an agent's resources.

    Left out: reserved and revocable resources (M18, M34), disks that are volumes or devices of their own, and ranges other than
    ports. Repeated entries are added up, as the master does (surprise 42); parts of a MiB are dropped. What an agent claims
    beyond `LARGEST` of anything is not used.
    """
    return read_resources(entries)[0]


def to_ports(entries: Iterable[Mapping[str, Any]]) -> Ranges:
    """The ports that `to_resources` counts; what no port can be is left out."""
    return read_resources(entries)[1]


def read_resources(entries: Iterable[Mapping[str, Any]]) -> tuple[Resources, Ranges]:
    """Both at once: a master may offer ten thousand agents in one event."""
    totals = dict.fromkeys(_PLAIN, 0.0)
    pieces: list[Mapping[str, Any]] = []
    for entry in entries:
        name, kind = entry["name"], entry.get("type", "SCALAR")
        if not _is_plain(entry):
            continue
        if kind == "SCALAR" and (name in totals or is_custom_name(name)):
            totals[name] = totals.get(name, 0.0) + entry["scalar"]["value"]
        elif kind == "RANGES" and name == "ports":
            pieces += entry["ranges"].get("range") or ()
    ports = _to_ports(pieces) if pieces else _NO_PORTS
    return _to_resources(totals, ports.count), ports


def _to_resources(totals: Mapping[str, float], ports: int) -> Resources:
    others = [(name, _to_thousandths(totals[name])) for name in totals if name not in _PLAIN] if len(totals) > 4 else ()
    return Resources(
        cpus_m=_to_thousandths(totals["cpus"]),
        mem=math.floor(_bounded(totals["mem"])),
        disk=math.floor(_bounded(totals["disk"])),
        gpus=math.floor(_bounded(totals["gpus"])),
        ports=ports,
        custom=tuple(sorted(entry for entry in others if entry[1])),
    )


def _to_ports(pieces: Iterable[Mapping[str, Any]]) -> Ranges:
    return Ranges.over((max(1, int(piece["begin"])), min(LARGEST_PORT, int(piece["end"])) + 1) for piece in pieces)


def _to_thousandths(amount: float) -> int:
    """ "Fractional scalars keep three digits": Mesos counts no finer."""
    return round(_bounded(amount * 1000))


def _bounded(amount: float) -> float:
    """Between 0 and LARGEST; 0 for NaN, which is neither above nor below."""
    return min(max(0.0, amount), LARGEST)


def _is_plain(entry: Mapping[str, Any]) -> bool:
    reserved = entry.get("reservations") or entry.get("role", "*") != "*"
    return not reserved and "revocable" not in entry and "disk" not in entry

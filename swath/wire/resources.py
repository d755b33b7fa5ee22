"""Mesos' resources as JSON: what an offer or an agent holds, and what a task is given of it (`mesos.proto`, Resource)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from swath.domain.ranges import Ranges
from swath.domain.resources import LARGEST, Resources, is_custom_name

Message = dict[str, Any]  # one JSON object as it goes over the wire

LARGEST_PORT = 65535


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
    entries = list(entries)
    totals = {"cpus": 0.0, "mem": 0.0, "disk": 0.0, "gpus": 0.0}
    for name, value in _scalars(entries):
        if name in totals or is_custom_name(name):
            totals[name] = totals.get(name, 0.0) + value
    return Resources(
        cpus_m=_to_thousandths(totals.pop("cpus")),
        mem=math.floor(_bounded(totals.pop("mem"))),
        disk=math.floor(_bounded(totals.pop("disk"))),
        gpus=math.floor(_bounded(totals.pop("gpus"))),
        ports=to_ports(entries).count,
        custom=tuple(sorted((name, most) for name, value in totals.items() if (most := _to_thousandths(value)))),
    )


def to_ports(entries: Iterable[Mapping[str, Any]]) -> Ranges:
    """The ports of an offer or an agent that `to_resources` counts; what no port can be is left out."""
    pieces = [piece for entry in entries if _is_ports(entry) for piece in entry["ranges"].get("range") or ()]
    return Ranges.over((max(1, int(piece["begin"])), min(LARGEST_PORT, int(piece["end"])) + 1) for piece in pieces)


def _scalars(entries: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    for entry in entries:
        if entry.get("type", "SCALAR") == "SCALAR" and _is_plain(entry):
            yield entry["name"], entry["scalar"]["value"]


def _is_ports(entry: Mapping[str, Any]) -> bool:
    return bool(entry["name"] == "ports" and entry.get("type") == "RANGES" and _is_plain(entry))


def _to_thousandths(amount: float) -> int:
    """ "Fractional scalars keep three digits": Mesos counts no finer."""
    return round(_bounded(amount * 1000))


def _bounded(amount: float) -> float:
    """Between 0 and LARGEST; 0 for NaN, which is neither above nor below."""
    return min(max(0.0, amount), LARGEST)


def _is_plain(entry: Mapping[str, Any]) -> bool:
    reserved = entry.get("reservations") or entry.get("role", "*") != "*"
    return not reserved and "revocable" not in entry and "disk" not in entry

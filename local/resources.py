"""Mesos resources with exact arithmetic: scalars in thousandths (Mesos' own precision), ranges as intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Interval = tuple[int, int]  # both ends belong to it
_ORDER = {"cpus": 0, "mem": 1, "disk": 2, "gpus": 3}


@dataclass(frozen=True, slots=True)
class Bundle:
    """An amount of resources of one role. Zero amounts are left out, so that equality is equality of amounts."""

    scalars: Mapping[str, int] = field(default_factory=dict)  # name -> thousandths
    ranges: Mapping[str, tuple[Interval, ...]] = field(default_factory=dict)  # name -> disjoint, sorted

    def __bool__(self) -> bool:
        return bool(self.scalars or self.ranges)

    def __add__(self, other: Bundle) -> Bundle:
        scalars = dict(self.scalars)
        for name, amount in other.scalars.items():
            scalars[name] = scalars.get(name, 0) + amount
        ranges = dict(self.ranges)
        for name, intervals in other.ranges.items():
            ranges[name] = merge(ranges.get(name, ()) + intervals)
        return _bundle(scalars, ranges)

    def __sub__(self, other: Bundle) -> Bundle:
        scalars = dict(self.scalars)
        for name, amount in other.scalars.items():
            scalars[name] = scalars.get(name, 0) - amount
        ranges = dict(self.ranges)
        for name, intervals in other.ranges.items():
            ranges[name] = subtract(ranges.get(name, ()), intervals)
        return _bundle(scalars, ranges)

    def contains(self, other: Bundle) -> bool:
        """Whether `other` is a part of this."""
        if any(self.scalars.get(name, 0) < amount for name, amount in other.scalars.items()):
            return False
        return all(not subtract(intervals, self.ranges.get(name, ())) for name, intervals in other.ranges.items())

    def amount(self, name: str) -> float:
        return self.scalars.get(name, 0) / 1000

    def to_wire(
        self, *, allocated: str | None = None, role: str | None = "*", ranges_first: bool = False
    ) -> list[Json]:
        """The v1 JSON form. Offers list ranges first, agents last (as recorded)."""
        tail: Json = {}
        if role is not None:
            tail["role"] = role
        if allocated is not None:
            tail["allocation_info"] = {"role": allocated}
        scalars = [
            {"name": name, "type": "SCALAR", "scalar": {"value": self.scalars[name] / 1000}, **tail}
            for name in sorted(self.scalars, key=lambda name: (_ORDER.get(name, 9), name))
        ]
        ranges = [
            {"name": name, "type": "RANGES", "ranges": {"range": [{"begin": a, "end": b} for a, b in pieces]}, **tail}
            for name, pieces in sorted(self.ranges.items())
        ]
        return ranges + scalars if ranges_first else scalars + ranges

    def to_state(self) -> Json:
        """The form that /state uses."""
        found: Json = {name: self.amount(name) for name in ("disk", "mem", "gpus", "cpus")}
        found |= {name: value / 1000 for name, value in self.scalars.items() if name not in found}
        found |= {name: format_intervals(pieces) for name, pieces in self.ranges.items()}
        return found


EMPTY = Bundle()


def _bundle(scalars: Mapping[str, int], ranges: Mapping[str, tuple[Interval, ...]]) -> Bundle:
    return Bundle({k: v for k, v in scalars.items() if v}, {k: v for k, v in ranges.items() if v})


def merge(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """Sorted, disjoint, adjoining ones joined."""
    merged: list[Interval] = []
    for begin, end in sorted(intervals):
        if merged and begin <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return tuple(merged)


def subtract(minuend: Sequence[Interval], subtrahend: Sequence[Interval]) -> tuple[Interval, ...]:
    left = list(minuend)
    for begin, end in subtrahend:
        pieces: list[Interval] = []
        for a, b in left:
            if b < begin or a > end:
                pieces.append((a, b))
                continue
            if a < begin:
                pieces.append((a, begin - 1))
            if b > end:
                pieces.append((end + 1, b))
        left = pieces
    return tuple(left)


def from_wire(resources: Iterable[Json]) -> Bundle:
    """Duplicate entries are added up (transcripts, surprise 42)."""
    total = EMPTY
    for resource in resources:
        name = resource["name"]
        if resource.get("type") == "RANGES":
            pieces = tuple((int(r["begin"]), int(r["end"])) for r in resource.get("ranges", {}).get("range", []))
            total = total + _bundle({}, {name: merge(pieces)})
        elif resource.get("type") == "SCALAR":
            total = total + _bundle({name: to_thousandths(resource.get("scalar", {}).get("value", 0))}, {})
    return total


def to_thousandths(value: float) -> int:
    return round(value * 1000)


def sum_bundles(bundles: Iterable[Bundle]) -> Bundle:
    total = EMPTY
    for bundle in bundles:
        total = total + bundle
    return total


def role_of(info: Json) -> str:
    """The role that a TaskInfo's or ExecutorInfo's resources are allocated to."""
    for resource in info.get("resources", ()):
        return str(resource.get("allocation_info", {}).get("role", "*"))
    return "*"


def reservation_of(resource: Json) -> str:
    """How a resource differs from an unreserved one, in the words of Mesos' texts; empty for an unreserved one."""
    role = resource.get("role", "*")
    if resource.get("reservations"):
        inner = ", ".join(f"({r.get('type', 'UNKNOWN')},{r.get('role', '')})" for r in resource["reservations"])
        return f"(reservations: [{inner}])"
    return "" if role == "*" else f"(reservations: [(STATIC,{role})])"


def format_resource(resource: Json, value: str) -> str:
    role = resource.get("allocation_info", {}).get("role")
    allocated = f"(allocated: {role})" if role is not None else ""
    return f"{resource['name']}{allocated}{reservation_of(resource)}:{value}"


def format_resources(resources: Iterable[Json]) -> str:
    """As Mesos prints them: `cpus(allocated: eo):3.2; ports(allocated: eo):[31000-31099]`."""
    texts: dict[str, Bundle] = {}
    for resource in resources:
        key = format_resource(resource, "")
        texts[key] = texts.get(key, EMPTY) + from_wire([resource])
    return "; ".join(key + _format_value(bundle) for key, bundle in texts.items() if bundle)


def _format_value(bundle: Bundle) -> str:
    for pieces in bundle.ranges.values():
        return format_intervals(pieces)
    return next((format_thousandths(value) for value in bundle.scalars.values()), "0")


def format_thousandths(value: int) -> str:
    sign, value = ("-", -value) if value < 0 else ("", value)
    whole, rest = divmod(value, 1000)
    return f"{sign}{whole}" + (f".{rest:03d}".rstrip("0") if rest else "")


def format_intervals(pieces: Iterable[Interval]) -> str:
    return "[" + ", ".join(f"{a}-{b}" for a, b in pieces) + "]"

"""Mesos resources with exact arithmetic: scalars in thousandths (Mesos' own precision), ranges as intervals.

What is statically reserved for a role is an amount of its own: `cpus(eo)` beside `cpus`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]
Interval = tuple[int, int]  # both ends belong to it
# How a reservation is written: "role": "eo" (frameworks without RESERVATION_REFINEMENT), "reservations": [..], or both.
Form = Literal["role", "reservations", "both"]
_ORDER = {"cpus": 0, "mem": 1, "disk": 2, "gpus": 3}


@dataclass(frozen=True, slots=True)
class Bundle:
    """Amounts of resources. Zero amounts are left out, so that equality is equality of amounts."""

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
        """Of a scalar, with what is reserved of it."""
        return self.flatten().scalars.get(name, 0) / 1000

    def flatten(self) -> Bundle:
        """Without the difference between reserved and unreserved."""
        return self if not self.reserved else sum_bundles(self.by_role().values())

    @property
    def reserved(self) -> bool:
        return ")" in "".join(self.scalars) or ")" in "".join(self.ranges)

    def for_role(self, role: str) -> Bundle:
        """What a role may be offered: the unreserved, and what is reserved for it or a role above it."""
        if not self.reserved:
            return self
        parts = self.by_role()
        mine = [owner for owner in parts if owner == "*" or role == owner or role.startswith(f"{owner}/")]
        return Bundle(
            {key: value for key, value in self.scalars.items() if _owner(key) in mine},
            {key: value for key, value in self.ranges.items() if _owner(key) in mine},
        )

    def by_role(self) -> dict[str, Bundle]:
        """By the role for which it is reserved, `*` for the rest; the names are plain."""
        found: dict[str, Bundle] = {"*": EMPTY}
        for key, amount in self.scalars.items():
            owner = _owner(key)
            found[owner] = found.get(owner, EMPTY) + Bundle({_name(key): amount}, {})
        for key, pieces in self.ranges.items():
            owner = _owner(key)
            found[owner] = found.get(owner, EMPTY) + Bundle({}, {_name(key): pieces})
        return found

    def to_wire(self, *, allocated: str | None = None, form: Form = "role", ranges_first: bool = False) -> list[Json]:
        """The v1 JSON form. Offers list ranges first, agents what is reserved last (as recorded)."""
        allocation = {} if allocated is None else {"allocation_info": {"role": allocated}}

        def show(key: str, value: Json) -> Json:
            return {"name": _name(key), **value, **_show_reservation(_owner(key), form), **allocation}

        scalars = {
            key: show(key, {"type": "SCALAR", "scalar": {"value": self.scalars[key] / 1000}})
            for key in sorted(self.scalars, key=lambda key: (_ORDER.get(_name(key), 9), key))
        }
        ranges = [
            show(key, {"type": "RANGES", "ranges": {"range": [{"begin": a, "end": b} for a, b in pieces]}})
            for key, pieces in sorted(self.ranges.items())
        ]
        reserved = [shown for key, shown in scalars.items() if key.endswith(")")]
        usual = [shown for key, shown in scalars.items() if key in _ORDER]
        others = [shown for key, shown in scalars.items() if key not in _ORDER and not key.endswith(")")]
        return ranges + reserved + usual + others if ranges_first else usual + ranges + others + reserved

    def to_state(self) -> Json:
        """The form that /state uses, whatever is reserved."""
        flat = self.flatten()
        found: Json = {name: flat.amount(name) for name in ("disk", "mem", "gpus", "cpus")}
        found |= {name: value / 1000 for name, value in flat.scalars.items() if name not in found}
        found |= {name: format_intervals(pieces) for name, pieces in flat.ranges.items()}
        return found


EMPTY = Bundle()


def _name(key: str) -> str:
    return key.partition("(")[0]


def _owner(key: str) -> str:
    return key.partition("(")[2].rstrip(")") or "*"


def _make_key(resource: Json) -> str:
    """The name, and for whom it is reserved; what is reserved in another way than statically is nowhere to be had."""
    name, role = str(resource["name"]), resource.get("role", "*")
    reservations = resource.get("reservations", [])
    if len(reservations) == 1 and reservations[0].get("type") == "STATIC":
        return f"{name}({reservations[0].get('role', '')})"
    if reservations:
        return name + reservation_of(resource)
    return name if role == "*" else f"{name}({role})"


def _show_reservation(owner: str, form: Form) -> Json:
    shown: Json = {} if form == "reservations" else {"role": owner}
    if owner != "*" and form != "role":
        shown["reservations"] = [{"type": "STATIC", "role": owner}]
    return shown


def _bundle(scalars: Mapping[str, int], ranges: Mapping[str, tuple[Interval, ...]]) -> Bundle:
    """Without what is zero or empty; hardly ever there is any."""
    if 0 in scalars.values():
        scalars = {name: amount for name, amount in scalars.items() if amount}
    if () in ranges.values():
        ranges = {name: pieces for name, pieces in ranges.items() if pieces}
    return Bundle(scalars, ranges)


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


def count_of(pieces: Iterable[Interval]) -> int:
    """How many numbers the disjoint intervals hold."""
    return sum(end - begin + 1 for begin, end in pieces)


def from_wire(resources: Iterable[Json]) -> Bundle:
    """Duplicate entries are added up (transcripts, surprise 42)."""
    scalars: dict[str, int] = {}
    ranges: dict[str, tuple[Interval, ...]] = {}
    for resource in resources:
        name = _make_key(resource)
        if resource.get("type") == "RANGES":
            pieces = tuple((int(r["begin"]), int(r["end"])) for r in resource.get("ranges", {}).get("range", []))
            ranges[name] = merge(ranges.get(name, ()) + pieces)
        elif resource.get("type") == "SCALAR":
            scalars[name] = scalars.get(name, 0) + to_thousandths(resource.get("scalar", {}).get("value", 0))
    return _bundle(scalars, ranges)


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

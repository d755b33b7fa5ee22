"""Resources as fixed-point numbers, so that sums are exact and a thousand small tasks fill an agent to the last thousandth."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from swath.domain.errors import InvalidInputError, Problem

# Thousandths of a CPU, or MiB: more is a mistake, and sums of these stay exact in every database and matrix.
LARGEST = 1_000_000_000
# The same for what one task may ask for, or one agent have, as people write it.
MOST = MappingProxyType(
    {
        "cpus": LARGEST // 1000,
        "mem": LARGEST,
        "disk": LARGEST,
        "gpus": 10_000,
        "ports": 65_535,
        "custom": LARGEST // 1000,
    }
)

# What every agent has in some amount, and the unit in which it is written.
_UNITS = {"cpus": "cpus", "mem": "MiB memory", "disk": "MiB disk", "gpus": "gpus", "ports": "ports"}
_WHOLE = frozenset({"gpus", "ports"})
_CUSTOM_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")
MOST_CUSTOM = 20  # names in one amount

Custom = tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """An amount of every resource that Swath schedules."""

    cpus_m: int = 0  # thousandths of a CPU
    mem: int = 0  # MiB
    disk: int = 0  # MiB
    gpus: int = 0  # whole GPUs
    ports: int = 0  # how many; which ones is settled at the launch
    custom: Custom = ()  # (name, thousandths) of other scalars that agents were given, by name; none is 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            cpus_m=self.cpus_m + other.cpus_m,
            mem=self.mem + other.mem,
            disk=self.disk + other.disk,
            gpus=self.gpus + other.gpus,
            ports=self.ports + other.ports,
            custom=_summed(self.custom, other.custom) if self.custom or other.custom else (),
        )

    def __sub__(self, other: Resources) -> Resources:
        return self + other.scaled(-1)

    def scaled(self, factor: int) -> Resources:
        """`factor` times this amount."""
        return Resources(
            cpus_m=self.cpus_m * factor,
            mem=self.mem * factor,
            disk=self.disk * factor,
            gpus=self.gpus * factor,
            ports=self.ports * factor,
            custom=_summed(tuple((name, value * factor) for name, value in self.custom), ()),
        )

    @property
    def cpus(self) -> float:
        """CPUs as people write them."""
        return self.cpus_m / 1000

    def as_tuple(self) -> tuple[int, int, int, int]:
        """(cpus in thousandths, mem, disk, gpus): what every agent reports."""
        return (self.cpus_m, self.mem, self.disk, self.gpus)

    def amounts(self) -> dict[str, int]:
        """All that is not 0, by name: "cpus" and custom scalars in thousandths, "mem" and "disk" in MiB, "gpus", "ports"."""
        plain = (*zip(_UNITS, (*self.as_tuple(), self.ports), strict=True), *self.custom)
        return {name: value for name, value in plain if value}

    @classmethod
    def from_amounts(cls, amounts: Mapping[str, int]) -> Resources:
        """The inverse of `amounts`."""
        plain = {name: amounts.get(name, 0) for name in ("mem", "disk", "gpus", "ports")}
        others = tuple((name, value) for name, value in amounts.items() if name not in _UNITS)
        return cls(cpus_m=amounts.get("cpus", 0), **plain, custom=_summed(others, ()))

    def fits_in(self, available: Resources) -> bool:
        """True when `available` has enough of everything."""
        if self.ports > available.ports or not _covers(available.custom, self.custom):
            return False
        return all(need <= have for need, have in zip(self.as_tuple(), available.as_tuple(), strict=True))

    def count_in(self, available: Resources) -> int:
        """How many of these fit into `available` side by side; a request for nothing fits a thousand times."""
        have = available.amounts()
        return max(
            0, min((have.get(name, 0) // need for name, need in self.amounts().items() if need > 0), default=1000)
        )

    def shortfall(self, available: Resources) -> str | None:
        """What `available` lacks, in words with numbers: "needs 64000 MiB memory, there is 48000"; None when it fits."""
        wanted, present = self.amounts(), available.amounts()
        lacking = [
            f"needs {_shown(name, need)} {_UNITS.get(name, name)}, there is {_shown(name, present.get(name, 0))}"
            for name, need in wanted.items()
            if need > present.get(name, 0)
        ]
        return "; ".join(lacking) or None

    def clipped(self) -> Resources:
        """Nothing instead of less than nothing."""
        return Resources.from_amounts({name: value for name, value in self.amounts().items() if value > 0})

    def to_document(self) -> dict[str, Any]:
        """The amounts as users write them: cpus as a number, memory and disk in MiB; ports and custom ones if any."""
        document: dict[str, Any] = {"cpus": self.cpus, "mem": self.mem, "disk": self.disk, "gpus": self.gpus}
        if self.ports:
            document["ports"] = self.ports
        if self.custom:
            document["custom"] = {name: value / 1000 for name, value in self.custom}
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any], path: str = "/resources") -> Resources:
        """The amounts of a job's or manifest's document; memory and disk are rounded up to whole MiB.

        Raises InvalidInputError for an unknown name, a negative, absurd or non-numeric value, or a part of a GPU.
        """
        custom = document.get("custom") or {}
        problems = [
            Problem(f"{path}/{name}", f"is not a resource; known are {', '.join(_UNITS)}, and others within custom")
            for name in document
            if name not in _UNITS and name != "custom"
        ]
        problems += [
            Problem(f"{path}/{name}", complaint)
            for name in _UNITS
            if name in document and (complaint := find_complaint(name, document[name]))
        ]
        problems += _custom_problems(custom, f"{path}/custom")
        if problems:
            raise InvalidInputError(problems)
        thousandths = tuple((name, round(value * 1000)) for name, value in custom.items())
        return cls(
            cpus_m=round(document.get("cpus", 0) * 1000),
            mem=math.ceil(document.get("mem", 0)),
            disk=math.ceil(document.get("disk", 0)),
            gpus=int(document.get("gpus", 0)),
            ports=int(document.get("ports", 0)),
            custom=_summed(thousandths, ()),
        )


def is_custom_name(name: str) -> bool:
    """True for what a scalar may be called beside those that every agent has."""
    return name not in _UNITS and _CUSTOM_NAME.fullmatch(name) is not None


def largest_of(amounts: Iterable[Resources]) -> Resources:
    """Of each resource the largest amount; nothing where there is none."""
    found: dict[str, int] = {}
    for amount in amounts:
        for name, value in amount.amounts().items():
            found[name] = max(value, found.get(name, 0))
    return Resources.from_amounts(found)


def _summed(left: Custom, right: Custom) -> Custom:
    total = dict(left)
    for name, value in right:
        total[name] = total.get(name, 0) + value
    return tuple(sorted((name, value) for name, value in total.items() if value))


def _covers(available: Custom, needed: Custom) -> bool:
    if not needed and not available:
        return True
    have = dict(available)
    need = dict(needed)
    return all(need.get(name, 0) <= have.get(name, 0) for name in (*need, *have))


def to_digits(amount: float) -> str:
    """An amount in digits, all of them: neither "1.04858e+06" nor "2.0"."""
    return f"{amount:.15g}"


def _shown(name: str, value: int) -> str:
    """An amount as people write it."""
    return to_digits(value if name in _UNITS and name != "cpus" else value / 1000)


def _custom_problems(custom: object, path: str) -> list[Problem]:
    """What is wrong with the scalars beyond those that everybody has."""
    if not isinstance(custom, Mapping):
        return [Problem(path, 'must be an object of names and amounts, like {"licences": 1}')]
    if len(custom) > MOST_CUSTOM:
        return [Problem(path, f"has {len(custom)} names, at most {MOST_CUSTOM} are taken")]
    problems = []
    for name, value in custom.items():
        complaint = find_complaint("custom", value)
        if not is_custom_name(name):
            complaint = "cannot be the name of a custom resource"
        if complaint:
            problems.append(Problem(f"{path}/{name}", complaint))
    return problems


def find_complaint(name: str, value: object) -> str | None:
    """Why `value` cannot be an amount of `name`, one of `MOST`; None when it can."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return "must be a number"
    if value < 0:
        return "must not be negative"
    if value > MOST[name]:
        return f"is absurdly large: at most {MOST[name]:,}{' MiB' if name in ('mem', 'disk') else ''}"
    if name in _WHOLE and value != int(value):
        return "must be whole" + (": GPUs are not shared" if name == "gpus" else "")
    if name in ("cpus", "custom") and 0 < value < 0.001:
        return "must be 0 or at least 0.001, Mesos' smallest share"
    return None

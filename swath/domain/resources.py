"""Resources as fixed-point numbers, so that sums are exact and a thousand small tasks fill an agent to the last thousandth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swath.domain.errors import InvalidInputError, Problem

# Thousandths of a CPU, or MiB: more is a mistake, and sums of these stay exact in every database and matrix.
LARGEST = 1_000_000_000

_NAMES = {"cpus": "cpus", "mem": "MiB memory", "disk": "MiB disk", "gpus": "gpus"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """An amount of every resource that Swath schedules."""

    cpus_m: int = 0  # thousandths of a CPU
    mem: int = 0  # MiB
    disk: int = 0  # MiB
    gpus: int = 0  # whole GPUs

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            cpus_m=self.cpus_m + other.cpus_m,
            mem=self.mem + other.mem,
            disk=self.disk + other.disk,
            gpus=self.gpus + other.gpus,
        )

    def __sub__(self, other: Resources) -> Resources:
        return self + other.scaled(-1)

    def scaled(self, factor: int) -> Resources:
        """`factor` times this amount."""
        return Resources(
            cpus_m=self.cpus_m * factor, mem=self.mem * factor, disk=self.disk * factor, gpus=self.gpus * factor
        )

    @property
    def cpus(self) -> float:
        """CPUs as people write them."""
        return self.cpus_m / 1000

    def as_tuple(self) -> tuple[int, int, int, int]:
        """(cpus in thousandths, mem, disk, gpus): the order of the matcher's columns."""
        return (self.cpus_m, self.mem, self.disk, self.gpus)

    def fits_in(self, available: Resources) -> bool:
        """True when `available` has enough of everything."""
        return all(need <= have for need, have in zip(self.as_tuple(), available.as_tuple(), strict=True))

    def count_in(self, available: Resources) -> int:
        """How many of these fit into `available` side by side; a request for nothing fits a thousand times."""
        pairs = zip(self.as_tuple(), available.as_tuple(), strict=True)
        return max(0, min((have // need for need, have in pairs if need > 0), default=1000))

    def shortfall(self, available: Resources) -> str | None:
        """What `available` lacks, in words with numbers: "needs 64000 MiB memory, there is 48000"; None when it fits."""
        wanted, present = self.to_document(), available.to_document()
        lacking = [
            f"needs {wanted[name]:g} {unit}, there is {present[name]:g}"
            for name, unit in _NAMES.items()
            if wanted[name] > present[name]
        ]
        return "; ".join(lacking) or None

    def to_document(self) -> dict[str, float]:
        """The amounts as users write them: cpus as a number, memory and disk in MiB."""
        return {"cpus": self.cpus, "mem": self.mem, "disk": self.disk, "gpus": self.gpus}

    @classmethod
    def from_document(cls, document: Mapping[str, Any], path: str = "/resources") -> Resources:
        """The amounts of a job's or manifest's document; memory and disk are rounded up to whole MiB.

        Raises InvalidInputError for an unknown name, a negative, absurd or non-numeric value, or a part of a GPU.
        """
        problems = [
            Problem(f"{path}/{name}", f"is not a resource; known are {', '.join(_NAMES)}")
            for name in document
            if name not in _NAMES
        ]
        problems += [
            Problem(f"{path}/{name}", complaint)
            for name in _NAMES
            if name in document and (complaint := _complaint(name, document[name]))
        ]
        if problems:
            raise InvalidInputError(problems)
        return cls(
            cpus_m=round(document.get("cpus", 0) * 1000),
            mem=math.ceil(document.get("mem", 0)),
            disk=math.ceil(document.get("disk", 0)),
            gpus=int(document.get("gpus", 0)),
        )


def _complaint(name: str, value: object) -> str | None:
    """Why `value` cannot be an amount of `name`; None when it can."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return "must be a number"
    if value < 0:
        return "must not be negative"
    if value > LARGEST / 1000:
        return f"is absurdly large, at most {LARGEST // 1000:,} is taken"
    if name == "gpus" and value != int(value):
        return "must be whole: GPUs are not shared"
    if name == "cpus" and 0 < value < 0.001:
        return "must be 0 or at least 0.001, Mesos' smallest share"
    return None

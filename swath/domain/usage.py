"""Usage accounting: what attempts held, and what of that they used.

An attempt holds what it asked for from its launch until its end is known, its stay in queues of the agent, pulls and staging
included: nobody else can have it meanwhile. A day is one of UTC; an attempt that runs over midnight is divided there. What it
used, its executor has measured: seconds of CPU, and the largest memory that was seen. Memory-seconds used are that largest
memory over the whole of the command's run, for less could not have been asked for; their mean stands beside them. As nobody
knows when it used them, what it used is spread evenly over the time that it held.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, time, timedelta
from math import inf, isfinite

from swath.domain.resources import Resources

SUCCEEDED = "SUCCEEDED"  # the outcome of attempts that did; else their cause
RUNNING = "RUNNING"  # of those that have not ended
MOST_CPUS_USED = 10_000.0  # a report that claims more than this is none
MOST_MEM_USED = 2.0**30  # MiB
MOST_MOVED = 2.0**40  # MiB


@dataclass(frozen=True, kw_only=True, slots=True)
class Amounts:
    """Sums over attempts, or over a day's part of them."""

    attempts: int = 0  # that ended, or run, on this day: each is counted once
    held_s: float = 0.0
    cpu_s: float = 0.0  # requested: CPUs times the seconds that they were held
    mem_mib_s: float = 0.0  # requested
    gpu_s: float = 0.0  # requested
    used_cpu_s: float = 0.0
    used_mem_mib_s: float = 0.0  # by the largest memory that was seen
    measured_cpu_s: float = 0.0  # requested by those of whose CPU something was reported
    measured_mem_mib_s: float = 0.0  # requested by those of whose memory something was reported
    used_mean_mem_mib_s: float = 0.0  # by the mean of the samples
    read_mib: float = 0.0  # from disks; the four of those alone of which it was reported
    written_mib: float = 0.0
    received_mib: float = 0.0
    sent_mib: float = 0.0

    def __add__(self, other: Amounts) -> Amounts:
        # written out: this happens for every attempt that ends
        return Amounts(
            attempts=self.attempts + other.attempts,
            held_s=self.held_s + other.held_s,
            cpu_s=self.cpu_s + other.cpu_s,
            mem_mib_s=self.mem_mib_s + other.mem_mib_s,
            gpu_s=self.gpu_s + other.gpu_s,
            used_cpu_s=self.used_cpu_s + other.used_cpu_s,
            used_mem_mib_s=self.used_mem_mib_s + other.used_mem_mib_s,
            measured_cpu_s=self.measured_cpu_s + other.measured_cpu_s,
            measured_mem_mib_s=self.measured_mem_mib_s + other.measured_mem_mib_s,
            used_mean_mem_mib_s=self.used_mean_mem_mib_s + other.used_mean_mem_mib_s,
            read_mib=self.read_mib + other.read_mib,
            written_mib=self.written_mib + other.written_mib,
            received_mib=self.received_mib + other.received_mib,
            sent_mib=self.sent_mib + other.sent_mib,
        )


AMOUNTS = tuple(entry.name for entry in fields(Amounts))
MOVED = ("read_mib", "written_mib", "received_mib", "sent_mib")


@dataclass(frozen=True, kw_only=True, slots=True)
class Used:
    """What an attempt's executor has measured, as far as it makes sense; None where nothing was."""

    cpu_s: float | None = None
    mem_mib_s: float | None = None
    mean_mem_mib_s: float | None = None
    moved: Mapping[str, float] = field(default_factory=dict)  # MiB by the names of MOVED

    @classmethod
    def of(cls, said: Mapping[str, float], held_s: float) -> Used:
        """An executor repeats what an engine said: what no machine could have done is no measurement."""
        moved = {name: mib for name in MOVED if (mib := _sane(said.get(name), MOST_MOVED)) is not None}
        wall_s = _sane(said.get("wall_s", held_s), inf)
        run_s = None if wall_s is None else min(wall_s, held_s)
        return cls(
            cpu_s=_sane(said.get("cpu_s"), MOST_CPUS_USED * max(1.0, held_s)),
            mem_mib_s=_times(_sane(said.get("max_mem"), MOST_MEM_USED), run_s),
            mean_mem_mib_s=_times(_sane(said.get("mean_mem"), MOST_MEM_USED), run_s),
            moved=moved,
        )


_NOTHING = Used()


def _sane(value: float | None, most: float) -> float | None:
    return value if value is not None and isfinite(value) and 0 <= value <= most else None


def _times(mib: float | None, seconds: float | None) -> float | None:
    return None if mib is None or seconds is None else mib * seconds


def account(
    resources: Resources, launched_at: datetime, ended_at: datetime, used: Mapping[str, float] | None = None
) -> list[tuple[date, Amounts]]:
    """What an attempt adds to each day that it ran on; the day of its end counts it.

    `used` is what its executor reported: wall_s, cpu_s, max_mem and mean_mem in MiB, and what it moved; each may be missing, or
    make no sense.
    """
    held_s = max(0.0, (ended_at - launched_at).total_seconds())
    measured = Used.of(used or {}, held_s)
    days = list(split_days(launched_at, ended_at))
    last = days[-1][0]
    return [
        (day, make_amounts(resources, seconds, int(day == last), seconds / held_s if held_s else 1.0, measured))
        for day, seconds in days
    ]


def make_amounts(
    resources: Resources, seconds: float, attempts: int, part: float = 1.0, used: Used = _NOTHING
) -> Amounts:
    """What holding the resources for so long is accounted as, and that part of what was measured."""
    asked_cpu_s, asked_mem_mib_s = resources.cpus * seconds, resources.mem * seconds
    return Amounts(
        attempts=attempts,
        held_s=seconds,
        cpu_s=asked_cpu_s,
        mem_mib_s=asked_mem_mib_s,
        gpu_s=resources.gpus * seconds,
        used_cpu_s=(used.cpu_s or 0.0) * part,
        used_mem_mib_s=(used.mem_mib_s or 0.0) * part,
        measured_cpu_s=0.0 if used.cpu_s is None else asked_cpu_s,
        measured_mem_mib_s=0.0 if used.mem_mib_s is None else asked_mem_mib_s,
        used_mean_mem_mib_s=(used.mean_mem_mib_s or 0.0) * part,
        **{name: mib * part for name, mib in used.moved.items()},
    )


def split_days(begin: datetime, end: datetime) -> Iterator[tuple[date, float]]:
    """(day of UTC, seconds in it) from `begin` to `end`; the day of the end alone where that is no later."""
    at, end = begin.astimezone(UTC), end.astimezone(UTC)
    while at.date() < end.date():
        midnight = datetime.combine(at.date() + timedelta(days=1), time(), UTC)
        yield at.date(), (midnight - at).total_seconds()
        at = midnight
    yield end.date(), max(0.0, (end - at).total_seconds())

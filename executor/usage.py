"""What an attempt uses: its disk, and by samples its processors, its memory, what it reads and writes, sends and receives."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MIB = 2**20


def disk_mib(directories: Iterable[Path]) -> float:
    """MiB that all below the directories takes on disk; nothing is followed, and what vanishes meanwhile counts nothing."""
    return sum(_blocks(str(directory)) for directory in directories) * 512 / _MIB


def _blocks(directory: str) -> int:
    """Blocks of 512 bytes, so that a sparse file counts for what it holds."""
    total = 0
    pending = [directory]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    total += entry.stat(follow_symlinks=False).st_blocks
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
        except OSError:
            continue
    return total


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """What a container has used up to a moment."""

    at_s: float  # monotonic seconds
    cpu_s: float
    mem: float  # MiB at the moment, without what of the file cache the kernel would give back at once
    cache: float  # MiB of that
    most: float  # MiB that the kernel has seen at most, the cache included; 0 where it keeps no such figure
    moved: Mapping[str, float]  # MiB of read, written, received, sent


def to_sample(stats: Mapping[str, Any], at_s: float) -> Sample | None:
    """The sample in what the engine reads from cgroup v1 or v2; None for a container that is gone already.

    The versions differ in names: `total_inactive_file` and "Read" in v1, `inactive_file` and "read" in v2, which keeps no
    `max_usage`.
    """
    memory = stats.get("memory_stats") or {}
    if "usage" not in memory:
        return None
    details = memory.get("stats") or {}
    cache = min(details.get("total_inactive_file", details.get("inactive_file", 0)), memory["usage"])
    moved = {"read_mib": 0.0, "written_mib": 0.0, "received_mib": 0.0, "sent_mib": 0.0}
    names = {"read": "read_mib", "write": "written_mib"}
    for entry in (stats.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ():
        if (name := names.get(str(entry["op"]).lower())) is not None:
            moved[name] += entry["value"] / _MIB
    for interface in (stats.get("networks") or {}).values():
        moved["received_mib"] += interface["rx_bytes"] / _MIB
        moved["sent_mib"] += interface["tx_bytes"] / _MIB
    return Sample(
        at_s=at_s,
        cpu_s=stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9,
        mem=(memory["usage"] - cache) / _MIB,
        cache=cache / _MIB,
        most=memory.get("max_usage", 0) / _MIB,
        moved=moved,
    )


class Totals:
    """What samples add up to."""

    def __init__(self) -> None:
        self._first: Sample | None = None
        self._last: Sample | None = None
        self._mib_s = 0.0  # memory over time, each sample standing for the time up to it
        self._peak = self._cache = 0.0

    def take(self, sample: Sample) -> None:
        """One more, not older than the one before it."""
        if self._last is not None:
            self._mib_s += sample.mem * (sample.at_s - self._last.at_s)
        self._first, self._last = self._first or sample, sample
        self._cache = max(self._cache, sample.cache)
        # Between two samples there may have been more. The kernel's own maximum knows, but counts the cache: without the most
        # cache that was seen it is a figure that was reached for certain.
        self._peak = max(self._peak, sample.mem, sample.most - self._cache)

    def to_usage(self) -> dict[str, float]:
        """As a report has it; nothing where nothing was measured."""
        if self._first is None or self._last is None:
            return {}
        span_s = self._last.at_s - self._first.at_s
        mean = self._mib_s / span_s if span_s else self._last.mem
        return {"cpu_s": self._last.cpu_s, "max_mem": self._peak, "mean_mem": mean, **self._last.moved}

"""When tasks began and ended, and how long the slots they ran in were idle between two of them."""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Iterable
from pathlib import Path

Span = tuple[float, float]  # seconds: began, ended


def read_spans(stamps: Path) -> list[Span]:
    """What the tasks of `benchmarks/stamp` have written, in the order in which they began."""
    lines = stamps.read_text().splitlines() if stamps.exists() else []
    return sorted((float(began), float(ended)) for began, ended in (line.split() for line in lines))


def find_gaps(spans: Iterable[Span], slots: int) -> list[float]:
    """Seconds from the end of a task to the beginning of the next in the same slot.

    A task is taken to begin where the slot has been free for the longest. Which of the free slots it really was changes
    nothing in the sum.
    """
    free = [-1.0] * slots  # since when
    gaps = []
    for began, ended in sorted(spans):
        since = heapq.heapreplace(free, ended)
        if since >= 0:
            gaps.append(began - since)
    return gaps


def describe_gaps(gaps: list[float]) -> dict[str, float]:
    """Milliseconds: median, mean and 95th percentile."""
    ordered = sorted(gaps)
    figures = {
        "idle_ms_median": statistics.median(ordered),
        "idle_ms_mean": statistics.fmean(ordered),
        "idle_ms_p95": ordered[int(0.95 * (len(ordered) - 1))],
    }
    return {name: round(1000 * seconds, 1) for name, seconds in figures.items()}

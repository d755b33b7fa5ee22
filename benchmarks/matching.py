"""A matching cycle over 10,000 agents and 1,000,000 pending tasks in 500 jobs of 50 projects, on one core, and its growth.

The cluster is idle, half full, full, or full but for one task on one agent in a hundred (the steady state). The scheduler
bounds what it launches in one turn, so that is measured too. The figures of CPU say what a busy machine hides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from benchmarks.children import measure

AGENTS, JOBS, TASKS, PROJECTS = 10_000, 500, 1_000_000, 50
CLUSTERS = {"idle": (0.0, 0.0), "half_full": (0.5, 0.0), "full": (1.0, 0.0), "steady": (1.0, 0.01)}  # busy, freed
GROWTH_AGENTS = (100, 300, 1000, 3000, 10_000, 20_000)
GROWTH_JOBS = (1, 10, 100, 1000, 10_000)
ROUNDS = 40
TURN = 1000  # launches in a turn of the scheduler


def run() -> dict[str, object]:
    """Cycles without a bound, as the scheduler bounds them, and how the time grows."""
    return {
        "goal_median_ms": 150,
        "goal_peak_rss_mb": 1000,
        **{name: _measure(*busy) for name, busy in CLUSTERS.items()},
        **{f"{name}_a_turn": _measure(*CLUSTERS[name], most=TURN) for name in ("idle", "half_full", "steady")},
        **{f"scheduler_{name}": measure("benchmarks.turn", **_order(*CLUSTERS[name])) for name in ("full", "steady")},
        **_measure_growth("agents", GROWTH_AGENTS),
        **_measure_growth("jobs", GROWTH_JOBS),
    }


def _order(busy: float, freed: float, **other: Any) -> dict[str, Any]:
    sizes = {"agents": AGENTS, "jobs": JOBS, "tasks": TASKS, "projects": PROJECTS, "rounds": ROUNDS}
    return {**sizes, "busy": busy, "freed": freed, **other}


def _measure(busy: float, freed: float, most: int | None = None, **other: Any) -> dict[str, Any]:
    return measure("benchmarks.cycle", **_order(busy, freed, most=most, **other))


def _measure_growth(name: str, sizes: Sequence[int]) -> dict[str, object]:
    """A half full cluster of all sizes; the exponents are those of the CPU time, which a busy machine disturbs least."""
    rows = []
    for size in sizes:
        projects = min(PROJECTS, size) if name == "jobs" else PROJECTS
        figures = _measure(*CLUSTERS["half_full"], **{name: size, "projects": projects, "rounds": 9})
        rows.append(
            {name: size, **{key: figures[key] for key in ("median_ms", "cpu_median_ms", "peak_rss_mb", "placed")}}
        )
    times = [row["cpu_median_ms"] for row in rows]
    return {
        f"growth_with_{name}": rows,
        f"exponent_of_{name}": round(fit_exponent(sizes, times), 2),
        f"exponent_of_{name}_at_the_end": round(fit_exponent(sizes[-2:], times[-2:]), 2),
    }


def fit_exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    """The slope of a straight line through the logarithms, by least squares."""
    xs, ys = [math.log(size) for size in sizes], [math.log(max(time, 1e-9)) for time in times]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs)

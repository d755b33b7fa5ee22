"""One size of the benchmark `matching`, measured in this process: see benchmarks/matching.py."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.machine import peak_resident_mb
from benchmarks.workload import Workload, check, make_workload
from swath.matching.model import Plan
from swath.matching.plan import plan

BUDGET_S = 20.0


def main(order: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds of a cycle: wall clock, and of CPU; the process's most memory; how much there was to do."""
    rounds, most = order.pop("rounds"), order.pop("most")
    workload = make_workload(**order)
    result = run_cycle(workload, most)
    check(workload, result.placements)
    figures = measure(lambda: run_cycle(workload, most), rounds)
    return {
        **figures,
        "peak_rss_mb": round(peak_resident_mb(os.getpid())),
        "placed": sum(entry.count for entry in result.placements),
        "waiting_demands": len(result.leftovers),
        "preempted": len(result.preemptions),
        "claims": len(result.claims),
    }


def run_cycle(workload: Workload, most: int | None) -> Plan:
    """Everything that the matcher does in a cycle, its reasons included."""
    return plan(workload.agents, workload.demands, tenants=workload.tenants, work=workload.work, most=most)


def measure(act: Callable[[], object], rounds: int, prepare: Callable[[], object] = lambda: None) -> dict[str, Any]:
    """Median and 95th percentile of so many rounds, or of what can be done in the time."""
    walls, cpus, began = [], [], time.perf_counter()
    while len(walls) < rounds and (len(walls) < 3 or time.perf_counter() - began < BUDGET_S):
        prepare()
        wall, cpu = time.perf_counter(), time.process_time()
        act()
        walls.append(1000 * (time.perf_counter() - wall))
        cpus.append(1000 * (time.process_time() - cpu))
    p95 = sorted(walls)[round(0.95 * (len(walls) - 1))]
    return {
        "median_ms": round(statistics.median(walls), 1),
        "p95_ms": round(p95, 1),
        "cpu_median_ms": round(statistics.median(cpus), 1),
        "rounds": len(walls),
    }

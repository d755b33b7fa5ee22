"""Launches a second, sustained: short tasks on simulated agents, every state committed on PostgreSQL with fsync.

Beside them those of a framework that remembers nothing, on the same agents and in the same run.
"""

from __future__ import annotations

import time

from benchmarks.bare_framework import BareFramework
from benchmarks.machine import cpu_s
from benchmarks.scale import ABSENT, Programs, scratch, server_cpu_s, submit, wait_until, watch
from swath.domain.resources import Resources
from swath.store.api_store import ApiStore
from swath.store.database import Database

TASKS = 20_000
AGENTS = 50
TASK_S = 1.0
TASK = Resources(cpus_m=100, mem=64)
AGENT = ("--cpus", "4.1", "--mem", "8192", "--disk", "100000")  # 40 tasks beside the executor
RAMP = 0.1  # of the tasks, at both ends, that do not count as sustained
BUDGET_S = 60.0  # for either framework: who is not done by then is judged by what it has launched


def run() -> dict[str, object]:
    """Launches a second between the first tenth of the tasks and the last, and what each cost in CPU."""
    with scratch() as made:
        if made is None:
            return {"skipped": ABSENT}
        with Programs(*made) as programs:
            return _measure(programs, Database(made[0]))


def _measure(programs: Programs, database: Database) -> dict[str, object]:
    master = programs.start_local("--simulated-agents", str(AGENTS), "--task-seconds", str(TASK_S), *AGENT)
    bare = BareFramework(master, TASKS, TASK).run(BUDGET_S)
    programs.start_scheduler("scheduler", master)
    wait_until(lambda: programs.read_metrics("scheduler").get("subscriptions_total"), 60, what="to subscribe")
    job_id = submit(database, TASKS, TASK)
    marks: list[tuple[float, float]] = []  # (time, launches so far)

    def launched(share: float) -> bool:
        count = programs.read_metrics("scheduler").get("launches_total", 0.0)
        marks.append((time.perf_counter(), count))
        return count >= share * TASKS

    wait_until(lambda: launched(RAMP), BUDGET_S, every_s=0.1, what="the first launches")
    first, cpu = marks[-1], _cpu(programs, database)
    in_time = watch(lambda: launched(1 - RAMP), BUDGET_S, every_s=0.1)
    last, cpu_after = marks[-1], _cpu(programs, database)
    if in_time:
        wait_until(lambda: ApiStore(database).get_job(job_id).ended_at, BUDGET_S, every_s=0.1, what="the last end")
    seconds, count = last[0] - first[0], last[1] - first[1]
    return {
        "tasks": TASKS,
        "succeeded": ApiStore(database).get_job(job_id).counts.succeeded,
        "launches_per_s": round(count / seconds),
        "goal_launches_per_s": 500,
        "bare_framework_launches_per_s": round(bare),
        "share_of_bare_framework": round(count / seconds / bare, 2),
        "cpu_ms_per_task": {name: round(1000 * (cpu_after[name] - cpu[name]) / count, 2) for name in cpu},
        "revives_per_s": _rate(programs, "revives_total", marks),
    }


def _cpu(programs: Programs, database: Database) -> dict[str, float]:
    used = {name: cpu_s(process.pid) for name, process in programs.running.items()}
    return {**used, "postgresql": server_cpu_s(database)}


def _rate(programs: Programs, name: str, marks: list[tuple[float, float]]) -> float:
    return round(programs.read_metrics("scheduler")[name] / (marks[-1][0] - marks[0][0]), 1)

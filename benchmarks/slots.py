"""Tasks of the built-in `true` in the process runtime, every state committed: in slots, and beside that one Mesos task each."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from benchmarks.cluster import laptop_cluster
from benchmarks.machine import cpu_s, programs
from swath.client import Client

TASKS = 4000
ONE_BY_ONE = 500  # enough for a rate
CPUS = "2.2"  # of the agent: two tasks of one cpu at a time, and their executor


def run() -> dict[str, object]:
    """Tasks a second from the submission to the last task's end, by the client's clock and by the database's."""
    with laptop_cluster("--no-docker", "--cpus", CPUS) as (client, var):
        client.wait(client.submit({"image": "true"})["id"])  # starts the executor
        one_by_one = _measure(client, var, ONE_BY_ONE, short=False)
        in_slots = _measure(client, var, TASKS, short=True)
    rates = [float(str(figures["tasks_per_s"])) for figures in (in_slots, one_by_one)]
    return {
        "in_slots": in_slots,
        "one_mesos_task_each": one_by_one,
        "times_faster": round(rates[0] / rates[1], 1),
        "goal_tasks_per_s": 500,
    }


def _measure(client: Client, var: Path, tasks: int, *, short: bool) -> dict[str, object]:
    processes = programs(var)
    before = {pid: cpu_s(pid) for pid in processes}
    begun = time.perf_counter()
    array = {"over": "INDEX", "range": [0, tasks]}
    job = client.submit({"image": "true", "short": short, "array": array, "resources": {"cpus": 1}})
    ended = client.wait(job["id"])
    seconds = time.perf_counter() - begun
    inside = datetime.fromisoformat(str(ended["ended_at"])) - datetime.fromisoformat(ended["submitted_at"])
    return {
        "tasks": tasks,
        "succeeded": ended["counts"]["succeeded"],
        "tasks_per_s": round(tasks / seconds),
        "tasks_per_s_by_the_database": round(tasks / inside.total_seconds()),
        "cpu_ms_per_task": {
            name: round(1000 * (cpu_s(pid) - before[pid]) / tasks, 2) for pid, name in processes.items()
        },
    }

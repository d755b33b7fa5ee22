"""1,000 tasks of the built-in `true` in the process runtime, every state committed."""

from __future__ import annotations

import time
from datetime import datetime

from benchmarks.cluster import laptop_cluster
from benchmarks.machine import cpu_s, programs

TASKS = 1000


def run() -> dict[str, object]:
    """Tasks a second from the submission to the last task's end, as the client sees it."""
    with laptop_cluster("--no-docker", "--cpus", "2") as (client, var):
        client.wait(client.submit({"image": "true"})["id"])  # starts the executor
        processes = programs(var)
        before = {pid: cpu_s(pid) for pid in processes}
        started = time.perf_counter()
        job = client.submit({"image": "true", "array": {"over": "INDEX", "range": [0, TASKS]}})
        ended = client.wait(job["id"])
        seconds = time.perf_counter() - started
        cpu_ms = {name: 1000 * (cpu_s(pid) - before[pid]) / TASKS for pid, name in processes.items()}
    inside = (
        datetime.fromisoformat(str(ended["ended_at"])) - datetime.fromisoformat(ended["submitted_at"])
    ).total_seconds()
    return {
        "tasks": TASKS,
        "succeeded": ended["counts"]["succeeded"],
        "tasks_per_s": round(TASKS / seconds),
        "tasks_per_s_by_the_database": round(TASKS / inside),
        "cpu_ms_per_task": {name: round(value, 2) for name, value in cpu_ms.items()},
        "goal_tasks_per_s": 200,
    }

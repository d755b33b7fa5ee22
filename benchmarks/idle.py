"""What an idle laptop cluster with one agent costs: CPU of all its processes together, and their memory."""

from __future__ import annotations

import time

from benchmarks.cluster import laptop_cluster
from benchmarks.machine import cpu_s, programs, resident_mb

SECONDS = 20.0


def run() -> dict[str, object]:
    """Percent of one core over some seconds, and resident MB, once a first job has been run and its executor waits."""
    with laptop_cluster("--no-docker") as (client, var):
        client.wait(client.submit({"image": "true"})["id"])
        time.sleep(3)
        processes = programs(var)
        before = {pid: cpu_s(pid) for pid in processes}
        time.sleep(SECONDS)
        cpu = {name: 100 * (cpu_s(pid) - before[pid]) / SECONDS for pid, name in processes.items()}
        memory = {name: resident_mb(pid) for pid, name in processes.items()}
    return {
        "cpu_percent": {name: round(value, 2) for name, value in cpu.items()},
        "cpu_percent_total": round(sum(cpu.values()), 2),
        "goal_cpu_percent": 2,
        "resident_mb": {name: round(value) for name, value in memory.items()},
        "resident_mb_total": round(sum(memory.values())),
        "goal_resident_mb": 400,
    }

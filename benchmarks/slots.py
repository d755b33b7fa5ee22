"""Tasks of `true` in slots, every state committed: as processes, and beside that one Mesos task each; and in warm containers,
beside what the bare engine does with a fresh one each.
"""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path

from benchmarks.cluster import laptop_cluster
from benchmarks.containers import AT_ONCE, COMMAND, CPUS, MANIFEST, MEM, connected, run_bare
from benchmarks.machine import cpu_s, programs
from swath.client import Client
from tests.executor.programs import make_image

TASKS = 4000
ONE_BY_ONE = 500  # enough for a rate
AGENT_CPUS = "2.2"  # two tasks of one cpu at a time, and their executor
BARE = 40  # containers at each concurrency


def run() -> dict[str, object]:
    """Tasks a second from the submission to the last task's end, by the client's clock and by the database's."""
    with laptop_cluster("--no-docker", "--cpus", AGENT_CPUS) as (client, var):
        client.wait(client.submit({"image": "true"})["id"])  # starts the executor
        one_by_one = _measure(client, var, ONE_BY_ONE, short=False)
        in_slots = _measure(client, var, TASKS, short=True)
    rates = [float(str(figures["tasks_per_s"])) for figures in (in_slots, one_by_one)]
    return {
        "in_slots": in_slots,
        "one_mesos_task_each": one_by_one,
        "times_faster": round(rates[0] / rates[1], 1),
        "goal_tasks_per_s": 500,
        "warm_containers": _run_warm(),
    }


def _run_warm() -> dict[str, object]:
    """The same in containers that the slots' tasks share, and the bare engine's best rate of fresh ones before and after."""
    with connected() as engine:
        if engine is None:
            return {"skipped": "no Docker engine answers"}
        image = make_image((COMMAND,), python=True)
        try:
            bare = {at_once: run_bare(engine, image, BARE, at_once) for at_once in AT_ONCE}
            with laptop_cluster("--cpus", AGENT_CPUS) as (client, var):
                manifest = json.loads(MANIFEST.read_text())
                manifest["job"]["name"] = "warm"
                client.register_image({"manifest": manifest, "swath_manifest": {"reusable": True}, "image_id": image})
                _measure(client, var, 2, short=True, image="warm", mem=MEM)  # starts the executor
                warm = _measure(client, var, TASKS, short=True, image="warm", mem=MEM)
            best = max(bare, key=bare.__getitem__)
            again = max(bare[best], run_bare(engine, image, BARE, best))
        finally:
            engine.images.remove(image=image, force=True)
    return {
        **warm,
        "bare_fresh_containers_per_s": round(again, 1),
        "times_the_bare_engine": round(float(str(warm["tasks_per_s"])) / again, 1),
        "goal_times_the_bare_engine": 10,
    }


def _measure(
    client: Client, var: Path, tasks: int, *, short: bool, image: str = "true", mem: int = 8
) -> dict[str, object]:
    processes = programs(var)
    before = {pid: cpu_s(pid) for pid in processes}
    begun = time.perf_counter()
    array = {"over": "INDEX", "range": [0, tasks]}
    job = client.submit({"image": image, "short": short, "array": array, "resources": {"cpus": CPUS, "mem": mem}})
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

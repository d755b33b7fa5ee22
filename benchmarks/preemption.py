"""How soon an interactive job runs on a cluster that batch work fills: real processes, the real scheduler and executor.

Batch tasks that sleep hold every CPU, and more of them wait. An interactive job is submitted and has to take its CPU back.
The time is from the submission to its attempt's start by the database; the batch task that had to go is replaced before the
next round. Once the victims end at SIGTERM, and once they are deaf to it and use up their grace.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.cluster import laptop_cluster
from benchmarks.scale import wait_until
from scheduler.core.specs import KILL_GRACE_S
from swath.client import Client

CPUS = 4
ROUNDS = {"sleep": 8, "deaf": 3}
IMAGES = Path(__file__).parent
WAIT_S = 60.0


def run() -> dict[str, object]:
    """Seconds until it runs, those that victims were given included."""
    return {
        "goal_s": 2,
        "heed_sigterm": measure("sleep", 0.0),
        "deaf_to_sigterm": measure("deaf", KILL_GRACE_S),
    }


def measure(image: str, grace_s: float, rounds: int | None = None) -> dict[str, object]:
    """One kind of victims on a cluster of its own."""
    with laptop_cluster("--no-docker", "--cpus", str(CPUS)) as (client, _):
        batch = _fill(client, image)
        waits = [_find_wait(client, batch) for _ in range(rounds or ROUNDS[image])]
        preempted = sum(_count_attempts(client, batch, index) for index in range(2 * CPUS)) - CPUS
    return {
        "grace_s": grace_s,
        "median_s": round(statistics.median(waits), 2),
        "longest_s": round(max(waits), 2),
        "longest_without_grace_s": round(max(waits) - grace_s, 2),
        "rounds": len(waits),
        "attempts_replaced": preempted,
    }


def _fill(client: Client, image: str) -> str:
    """Twice as many batch tasks as there are CPUs; half of them run."""
    manifest = json.loads((IMAGES / image / "seed.manifest.json").read_text())
    client.register_image({"manifest": manifest, "context": str(IMAGES / image)})
    script = {"SCRIPT": str(IMAGES / "deaf" / "deaf")} if image == "deaf" else {}
    document = {
        "image": image,
        "parameters": {"SECONDS": 3000, **script},
        "array": {"over": "INDEX", "range": [0, 2 * CPUS]},
        "resources": {"cpus": 1, "mem": 16},
    }
    job = str(client.submit(document)["id"])
    wait_until(_runs(client, job), WAIT_S, what="batch tasks that fill the cluster")
    return job


def _find_wait(client: Client, batch: str) -> float:
    """Seconds from the submission of an interactive job to its start; everything is as before at the end."""
    document = {"image": "true", "class": "interactive", "resources": {"cpus": 1, "mem": 16}}
    job = client.wait(client.submit(document)["id"], timeout_s=WAIT_S)
    (attempt,) = client.attempts(job["id"], 0)
    wait_until(_runs(client, batch), WAIT_S, what="a batch task in the place of the interactive one")
    return (_to_time(attempt["started_at"]) - _to_time(job["submitted_at"])).total_seconds()


def _runs(client: Client, job: str) -> Callable[[], bool]:
    """A question: do as many of its tasks run as there are CPUs?"""

    def ask() -> bool:
        tasks = client.tasks(job, state="ACTIVE")
        return sum(task["started_at"] is not None for task in tasks) == CPUS

    return ask


def _count_attempts(client: Client, job: str, index: int) -> int:
    return len(client.attempts(job, index))


def _to_time(text: Any) -> datetime:
    return datetime.fromisoformat(str(text))

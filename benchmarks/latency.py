"""Submit to RUNNING on an idle laptop cluster, beside the bare cost of starting the same process, in one run."""

from __future__ import annotations

import statistics
import subprocess
import time

from benchmarks.cluster import laptop_cluster
from swath.client import Client

ROUNDS = 30


def bare_ms() -> float:
    """Milliseconds until a process that does nothing has been started."""
    started = time.perf_counter()
    process = subprocess.Popen(["true"])
    elapsed = 1000 * (time.perf_counter() - started)
    process.wait()
    return elapsed


def submit_to_running_ms(client: Client) -> float:
    """Milliseconds from the request to the moment at which the executor had the process running.

    Both clocks are this machine's; the attempt's `started_at` is the executor's.
    """
    from datetime import UTC, datetime

    submitted = datetime.now(UTC)
    job = client.submit({"image": "true"})
    client.wait(job["id"])
    (attempt,) = client.attempts(job["id"], 0)
    return 1000 * (datetime.fromisoformat(attempt["started_at"]) - submitted).total_seconds()


def run() -> dict[str, object]:
    """Medians and the difference."""
    with laptop_cluster("--no-docker") as (client, _):
        client.wait(client.submit({"image": "true"})["id"])  # starts the executor
        bare, swath = [], []
        for _ in range(ROUNDS):
            time.sleep(0.3)  # idle again
            bare.append(bare_ms())
            swath.append(submit_to_running_ms(client))
    return {
        "rounds": ROUNDS,
        "bare_process_ms": round(statistics.median(bare), 1),
        "submit_to_running_ms": round(statistics.median(swath), 1),
        "added_ms": round(statistics.median(swath) - statistics.median(bare), 1),
        "goal_added_ms": 100,
    }

"""How fast freed resources are used again, at Mesos' default allocation interval of 1 s."""

from __future__ import annotations

import statistics
from datetime import datetime
from itertools import pairwise

from benchmarks.cluster import laptop_cluster

TASKS = 30


def run() -> dict[str, object]:
    """Median milliseconds from one attempt's end to the next one's start, on an agent with room for one at a time.

    The image is the built-in `true`; each attempt asks for the whole agent.
    """
    with laptop_cluster("--no-docker", "--cpus", "1.1", "--mem", "1024") as (client, _):
        client.wait(client.submit({"image": "true"})["id"])  # starts the executor
        document = {"image": "true", "array": {"over": "INDEX", "range": [0, TASKS]}, "resources": {"cpus": 1}}
        job = client.submit(document)
        client.wait(job["id"])
        attempts = [attempt for index in range(TASKS) for attempt in client.attempts(job["id"], index)]
    spans = sorted(
        (datetime.fromisoformat(attempt["started_at"]), datetime.fromisoformat(attempt["ended_at"]))
        for attempt in attempts
    )
    gaps = [1000 * (after[0] - before[1]).total_seconds() for before, after in pairwise(spans)]
    return {"tasks": TASKS, "end_to_next_start_ms": round(statistics.median(gaps), 1), "goal_ms": 50}

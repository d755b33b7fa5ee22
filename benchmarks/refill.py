"""How fast freed resources are used again, at Mesos' default allocation interval of 1 s."""

from __future__ import annotations

import json
import statistics
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from benchmarks.cluster import laptop_cluster

TASKS = 30
SECONDS = 0.4  # of one task: longer than the 0.2 s between two REVIVEs, so that each freed resource is measured alone
IMAGE = Path(__file__).parent / "sleep"


def run() -> dict[str, object]:
    """Median milliseconds from one attempt's end to the next one's start, on an agent with room for one at a time."""
    with laptop_cluster("--no-docker", "--cpus", "1.1", "--mem", "1024") as (client, _):
        manifest = json.loads((IMAGE / "seed.manifest.json").read_text())
        client.register_image({"manifest": manifest, "context": str(IMAGE)})
        client.wait(client.submit({"image": "true"})["id"])  # starts the executor
        document = {
            "image": "sleep",
            "parameters": {"SECONDS": SECONDS},
            "array": {"over": "INDEX", "range": [0, TASKS]},
            "resources": {"cpus": 1},
        }
        job = client.submit(document)
        client.wait(job["id"])
        attempts = [attempt for index in range(TASKS) for attempt in client.attempts(job["id"], index)]
    spans = sorted(
        (datetime.fromisoformat(str(attempt["started_at"])), datetime.fromisoformat(str(attempt["ended_at"])))
        for attempt in attempts
    )
    gaps = sorted(1000 * (after[0] - before[1]).total_seconds() for before, after in pairwise(spans))
    return {
        "tasks": TASKS,
        "end_to_next_start_ms": round(statistics.median(gaps), 1),
        "slowest_ms": round(gaps[-1], 1),
        "goal_ms": 50,
    }

"""How fast freed resources are used again, at Mesos' default allocation interval of 1 s, and how many REVIVEs that takes."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterable
from datetime import datetime
from itertools import groupby, pairwise
from pathlib import Path

from sqlalchemy import text

from benchmarks.cluster import laptop_cluster
from benchmarks.metrics import find_port, sampled
from benchmarks.scale import ABSENT, Programs, scratch, submit, wait_until
from swath.domain.resources import Resources
from swath.store.database import Database

TASKS = 30
SECONDS = 0.4  # of one task: longer than the 0.2 s between two REVIVEs, so that each freed resource is measured alone
IMAGE = Path(__file__).parent / "sleep"

FEW, MANY = 400, 600  # agents, of each of which something is refused: below and above what a REVIVE may bring back
TASK = Resources(cpus_m=1000, mem=64)
AGENT = ("--cpus", "1.5", "--mem", "1024", "--disk", "10000")  # one task and its executor; the rest is refused
TASK_S = 8.0
LAUNCHED_S = 120.0  # within which each agent has had a task, on however busy a machine
GROUPS = 16  # the tasks begin group by group, so that they do not all end at once
ROUNDS = 2.5


def run() -> dict[str, object]:
    """One slot of a real executor; then whole clusters, where few agents are filtered and where many are."""
    figures = {"one_slot": _one_slot(), "goal_ms": 50, "goal_revives_in_a_second": 5}
    for agents in (FEW, MANY):
        figures[f"{agents}_filtered_agents"] = _cluster(agents)
    return figures


def _one_slot() -> dict[str, object]:
    """Median milliseconds from one attempt's end to the next one's start, on an agent with room for one at a time."""
    port = find_port()
    with laptop_cluster("--no-docker", "--cpus", "1.1", "--mem", "1024", SWATH_HTTP_PORT=str(port)) as (client, _):
        manifest = json.loads((IMAGE / "seed.manifest.json").read_text())
        client.register_image({"manifest": manifest, "context": str(IMAGE)})
        client.wait(client.submit({"image": "true"})["id"])  # starts the executor
        document = {
            "image": "sleep",
            "parameters": {"SECONDS": SECONDS},
            "array": {"over": "INDEX", "range": [0, TASKS]},
            "resources": {"cpus": 1},
        }
        with sampled(port, "revives_total") as revives:
            job = client.submit(document)
            client.wait(job["id"])
        attempts = [attempt for index in range(TASKS) for attempt in client.attempts(job["id"], index)]
    spans = [
        (datetime.fromisoformat(str(attempt["started_at"])), datetime.fromisoformat(str(attempt["ended_at"])))
        for attempt in attempts
    ]
    return {
        "tasks": TASKS,
        **_describe(_find_gaps(spans)),
        "revives_per_s": round(revives.per_s, 1),
        "most_revives_in_a_second": round(revives.most_in_a_second),
    }


def _cluster(agents: int) -> dict[str, object]:
    """The same on many simulated agents at once, each with one task at a time and a rest that nobody wants."""
    with scratch() as made:
        if made is None:
            return {"skipped": ABSENT}
        with Programs(*made) as programs:
            return _measure_cluster(programs, Database(made[0]), agents)


def _measure_cluster(programs: Programs, database: Database, agents: int) -> dict[str, object]:
    master = programs.start_local("--simulated-agents", str(agents), "--task-seconds", str(TASK_S), *AGENT)
    programs.start_scheduler("scheduler", master)
    wait_until(lambda: programs.read_metrics("scheduler").get("subscriptions_total"), 60, what="to subscribe")
    for group in range(GROUPS):
        submit(database, agents // GROUPS + (group < agents % GROUPS), TASK)
        time.sleep(TASK_S / GROUPS / 2)
    submit(database, round(ROUNDS * agents), TASK)

    def all_busy() -> bool:
        return programs.read_metrics("scheduler").get("launches_total", 0.0) >= agents

    wait_until(all_busy, LAUNCHED_S, every_s=0.2, what="a task on each agent")
    time.sleep(TASK_S / 2)  # the last group's launches are over
    with sampled(programs.port_of("scheduler"), "revives_total") as revives:
        time.sleep(TASK_S)
    with database.read() as session:
        begun = session.execute(text("SELECT agent_id, started_at, ended_at FROM attempts ORDER BY 1, 2")).all()
    gaps = [
        gap
        for _, rows in groupby(begun, key=lambda row: row.agent_id)
        for gap in _find_gaps([(row.started_at, row.ended_at) for row in rows if row.started_at])
    ]
    return {
        "ends_per_s": round(agents / TASK_S),
        **_describe(gaps),
        "revives_per_s": round(revives.per_s, 1),
        "most_revives_in_a_second": round(revives.most_in_a_second),
    }


def _find_gaps(spans: Iterable[tuple[datetime, datetime | None]]) -> list[float]:
    """Milliseconds between the end of one attempt and the start of the next in the same place."""
    ordered = sorted(spans, key=lambda span: span[0])
    return [1000 * (after[0] - before[1]).total_seconds() for before, after in pairwise(ordered) if before[1]]


def _describe(gaps: list[float]) -> dict[str, object]:
    if not gaps:
        raise RuntimeError("no place was used twice while it was watched: the machine is too busy")
    return {"end_to_next_start_ms": round(statistics.median(gaps), 1), "slowest_ms": round(max(gaps), 1)}

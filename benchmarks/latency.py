"""Submit to RUNNING on an idle laptop cluster, beside the bare cost of starting the same process or container, in one run."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from benchmarks.cluster import laptop_cluster
from benchmarks.containers import CPUS, MANIFEST, MEM, bare_container_ms, connected, tiny_image
from swath.client import Client

ROUNDS = 30
CONTAINER_ROUNDS = 15


def bare_process_ms() -> float:
    """Milliseconds until a process that does nothing has been started."""
    started = time.perf_counter()
    process = subprocess.Popen(["true"])
    elapsed = 1000 * (time.perf_counter() - started)
    process.wait()
    return elapsed


def submit_to_running_ms(client: Client, job: Mapping[str, object], runtime: str) -> float:
    """Milliseconds from the request to the moment at which the executor had the command running.

    Both clocks are this machine's; the attempt's `started_at` is the executor's.
    """
    submitted = datetime.now(UTC)
    job_id = client.submit(dict(job))["id"]
    client.wait(job_id)
    (attempt,) = client.attempts(job_id, 0)
    if attempt["runtime"] != runtime or attempt["started_at"] is None:
        raise RuntimeError(f"the attempt did not run as a {runtime}: {attempt['message']}")
    return 1000 * (datetime.fromisoformat(attempt["started_at"]) - submitted).total_seconds()


def compare(rounds: int, bare: Callable[[], float], swath: Callable[[], float]) -> dict[str, object]:
    """Medians of both, taken in turns, and their difference."""
    swath()  # starts the executor
    times: dict[Callable[[], float], list[float]] = {bare: [], swath: []}
    for _ in range(rounds):
        for measure, measured in times.items():
            time.sleep(0.3)  # idle again
            measured.append(measure())
    without, through = (statistics.median(measured) for measured in times.values())
    return {
        "rounds": rounds,
        "bare_ms": round(without, 1),
        "submit_to_running_ms": round(through, 1),
        "added_ms": round(through - without, 1),
        "goal_added_ms": 100,
    }


def in_processes() -> dict[str, object]:
    """The built-in image, as plain processes."""
    with laptop_cluster("--no-docker") as (client, _):
        return compare(ROUNDS, bare_process_ms, lambda: submit_to_running_ms(client, {"image": "true"}, "process"))


def in_containers() -> dict[str, object] | str:
    """A tiny image of the same command, as containers of the engine; why not, where none answers."""
    with connected() as engine:
        if engine is None:
            return "no Docker engine answers"
        with tiny_image(engine) as image, laptop_cluster() as (client, _):
            manifest = json.loads(MANIFEST.read_text())
            manifest["job"]["name"] = "contained"
            client.register_image({"manifest": manifest, "image_id": image})
            job = {"image": "contained", "resources": {"cpus": CPUS, "mem": MEM}}
            return compare(
                CONTAINER_ROUNDS,
                lambda: bare_container_ms(engine, image),
                lambda: submit_to_running_ms(client, job, "docker"),
            )


def run() -> dict[str, object]:
    """Both runtimes, each beside what it costs without Swath."""
    return {"process": in_processes(), "container": in_containers()}

"""Swath itself, as `swath up` starts it: api, scheduler, the master's stand-in, and an executor with plain processes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cluster import cluster_on, laptop_cluster
from benchmarks.scale import ABSENT
from benchmarks.systems.port import AbsentError, Ran, watch
from swath.client import Client
from swath.store import migrate
from tests.fixtures.postgres import find_programs, private_postgres

STAMP = Path(__file__).parents[1] / "stamp"
ENDED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class Swath:
    """A cluster of one agent; every task asks for a whole CPU, and there is one for each slot."""

    client: Client

    def run(self, command: Sequence[str], tasks: int, budget_s: float) -> Ran:
        """One job over a range. Any command but `true` is the script of the image in `benchmarks/stamp`, and its file."""
        document = {"image": "true"} if list(command) == ["true"] else self._register(command)
        document |= {"array": {"over": "INDEX", "range": [0, tasks]}, "resources": {"cpus": 1, "mem": 16}}
        began = time.perf_counter()
        job = self.client.submit(document)["id"]
        ran = watch(tasks, lambda: tasks - self._count_ended(job), budget_s, 0.2, began)
        if ran.ended < tasks:
            self.client.cancel(job)
        return ran

    def _count_ended(self, job: str) -> int:
        counts = self.client.job(job)["counts"]
        return sum(counts[state] for state in ENDED)

    def _register(self, command: Sequence[str]) -> dict[str, object]:
        script, file = command
        manifest = json.loads((STAMP / "seed.manifest.json").read_text())
        self.client.register_image({"manifest": manifest, "context": str(STAMP)})
        return {"image": "stamp", "parameters": {"SCRIPT": script, "FILE": file}}


@contextmanager
def start_on_sqlite(slots: int) -> Iterator[Swath]:
    """As `swath up` does it."""
    with laptop_cluster("--no-docker", "--cpus", str(slots)) as (client, _):
        yield _warm(Swath(client))


@contextmanager
def start_on_postgres(slots: int) -> Iterator[Swath]:
    """The same programs on a PostgreSQL with fsync."""
    programs = find_programs()
    if programs is None:
        raise AbsentError(ABSENT)
    with private_postgres(programs, fsync=True) as url:
        migrate.upgrade(url)
        with cluster_on(url, cpus=slots) as client:
            yield _warm(Swath(client))


def _warm(swath: Swath) -> Swath:
    """With its executor running."""
    swath.client.wait(swath.client.submit({"image": "true"})["id"])
    return swath

"""Submitting an array of 1,000,000 (a range): milliseconds, and rows written, on SQLite and on PostgreSQL with fsync."""

from __future__ import annotations

import json
import secrets
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import func, select

from benchmarks.cluster import laptop_cluster
from swath.domain.ids import make_ulid
from swath.domain.jobs import JobSpec
from swath.domain.resources import Resources
from swath.store import migrate
from swath.store.api_store import ApiStore
from swath.store.database import Database
from swath.store.models import Base
from tests.fixtures.postgres import find_programs, private_postgres

SIZE = 1_000_000
ROUNDS = 15
DOCUMENT = {"image": "true", "array": {"over": "INDEX", "range": [0, SIZE]}}
MANIFEST = Path(__file__).parents[1] / "images" / "true" / "seed.manifest.json"


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """A migrated database."""
    migrate.upgrade(url)
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


def count_rows(database: Database) -> int:
    """All rows of all tables."""
    with database.read() as session:
        tables = Base.metadata.sorted_tables
        return sum(session.scalar(select(func.count()).select_from(table)) or 0 for table in tables)


def submit(store: ApiStore, image: object) -> float:
    """Milliseconds of one submission, with an idempotency key, committed."""
    now = datetime.now(UTC)
    started = time.perf_counter()
    store.submit(
        JobSpec.from_document(DOCUMENT),
        image,  # type: ignore[arg-type]
        resources=Resources(cpus_m=20, mem=8),
        job_id=make_ulid(now, secrets.token_bytes(10)),
        now=now,
        user="benchmark",
        idempotency=(secrets.token_hex(8), "hash"),
    )
    return 1000 * (time.perf_counter() - started)


def measure(url: str) -> dict[str, object]:
    """Median milliseconds and rows of a submission on one database."""
    with opened(url) as database:
        store = ApiStore(database)
        manifest = json.loads(MANIFEST.read_text())
        image = store.register_image(
            name="true", version="1.0.0", digest="sha256:" + "0" * 64, manifest=manifest, now=datetime.now(UTC)
        )
        submit(store, image)
        before = count_rows(database)
        times = [submit(store, image) for _ in range(ROUNDS)]
        rows = (count_rows(database) - before) / ROUNDS
    return {"median_ms": round(statistics.median(times), 1), "rows": rows}


def over_rest() -> float:
    """Median milliseconds of a POST /v1/jobs on a laptop cluster; each job is cancelled before the next."""
    times = []
    with laptop_cluster("--no-docker") as (client, _):
        for _ in range(ROUNDS):
            started = time.perf_counter()
            job = client.submit({**DOCUMENT, "not_before": "2999-01-01T00:00:00Z"})
            times.append(1000 * (time.perf_counter() - started))
            client.cancel(job["id"])
    return statistics.median(times)


def run() -> dict[str, object]:
    """The figures beside the goals."""
    with tempfile.TemporaryDirectory(prefix="swath-bench-") as scratch:
        figures: dict[str, object] = {"sqlite": measure(f"sqlite:///{scratch}/swath.db")}
    programs = find_programs()
    if programs is None:
        figures["postgresql"] = "its server programs are absent (Debian: apt-get install postgresql)"
    else:
        with private_postgres(programs, fsync=True) as url:
            figures["postgresql"] = measure(url)
    return {**figures, "rest_sqlite_median_ms": round(over_rest(), 1), "goal_ms": 100, "goal_rows_below": 20}

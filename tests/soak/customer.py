"""Whoever submits the jobs and watches them: a thread of its own, for the database may not answer for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from swath.domain.errors import ConflictError, StoreUnavailableError
from swath.domain.ids import make_ulid
from swath.domain.jobs import JobSpec
from swath.domain.resources import Resources
from swath.domain.states import JobState
from swath.store.api_store import ApiStore
from swath.store.database import Database
from swath.store.leadership import Leadership
from swath.store.rows import ImageRow, JobRow
from tests.integration.evidence import Diary
from tests.soak.jobs import CANCEL_AFTER_S, KINDS, OUTPUT, Kind, Part

LOOK_S = 0.5
ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
RESOURCES = Resources(cpus_m=200, mem=64)

T = TypeVar("T")


@dataclass(kw_only=True)
class Order:
    """A part that has been submitted."""

    part: Part
    job_id: str
    at: float  # monotonic
    cancelled: bool = False


class Customer:
    """Submits each part when its time has come. What it has seen last may be read from any thread."""

    def __init__(self, url: str, directory: Path, parts: list[Part]) -> None:
        self._database = Database(url)
        self.store = ApiStore(self._database)
        self._leadership = Leadership(self._database)
        self._directory = directory
        self._waiting = list(parts)
        self.diaries = {kind.name: Diary(directory / f"{kind.name}.diary") for kind in KINDS}
        self.orders: list[Order] = []
        self.ended = 0  # tasks
        self.jobs_ended = 0
        self.leader: int | None = None  # pid
        self.epoch = 0
        self.failure: BaseException | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def register(self) -> dict[str, ImageRow]:
        """One image a kind."""
        return {kind.name: self._register(kind) for kind in KINDS}

    def _register(self, kind: Kind) -> ImageRow:
        context, scratch = self._directory / f"context-{kind.name}", self._directory / "scratch"
        context.mkdir()
        scratch.mkdir(exist_ok=True)
        (context / "run.sh").write_text(kind.script(self.diaries[kind.name], scratch))
        job = {
            "name": kind.name,
            "jobVersion": "1.0.0",
            "packageVersion": "1.0.0",
            "title": kind.name,
            "description": kind.body or "writes a checksum",
            "maintainer": {"name": "nobody", "email": "nobody@example.org"},
            "timeout": 3600,
            "interface": {
                "command": "sh run.sh",
                "inputs": {"json": [{"name": "INDEX", "type": "integer"}]},
                "outputs": {"files": [{"name": "RESULT", "pattern": OUTPUT}]},
            },
        }
        manifest = {"seedVersion": "1.0.0", "job": job}
        digest = f"sha256:{kind.name}"
        return self.store.register_image(
            name=kind.name, version="1.0.0", digest=digest, manifest=manifest, now=_now(), context=str(context)
        )

    def start(self) -> None:
        self._images = self.register()
        self._begun = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(120)
        self._database.close()

    @property
    def is_done(self) -> bool:
        """True when everything is submitted and has ended."""
        return not self._waiting and self.jobs_ended == len(self.orders)

    def _run(self) -> None:
        try:
            while not self._stopped.wait(LOOK_S):
                with suppress(StoreUnavailableError):
                    self._look()
        except BaseException as error:
            self.failure = error

    def _look(self) -> None:
        term = self._leadership.find()
        if term is not None and term.holder is not None:
            self.leader, self.epoch = int(term.holder.rsplit(":", 2)[1]), term.epoch
        while self._waiting and self._waiting[0].at_s <= time.monotonic() - self._begun:
            self._submit(self._waiting[0])
            del self._waiting[0]
        for order in self.orders:
            if order.part.kind.is_cancelled and not order.cancelled and time.monotonic() - order.at > CANCEL_AFTER_S:
                with suppress(ConflictError):
                    self.store.request_cancel(order.job_id)
                order.cancelled = True
        jobs = self.read_jobs()
        counts = [job.counts for job in jobs.values()]
        self.ended = sum(count.succeeded + count.failed + count.cancelled for count in counts)
        self.jobs_ended = sum(job.state in ENDED for job in jobs.values())

    def _submit(self, part: Part) -> None:
        """Once, however often it takes: the key finds what an answer that was lost has written."""
        image = self._images[part.kind.name]
        array = {"over": "INDEX", "range": [part.first, part.first + part.size]}
        document: dict[str, Any] = {"image": image.name, "array": array, "short": False, **part.kind.fields}
        key = f"{part.kind.name}-{part.first}"
        job = self.store.submit(
            JobSpec.from_document(document),
            image,
            resources=RESOURCES,
            job_id=make_ulid(_now(), key.encode().ljust(10)[-10:]),
            now=_now(),
            user="soak",
            idempotency=(key, key),
        )
        self.orders.append(Order(part=part, job_id=job.id, at=time.monotonic()))

    def read_jobs(self) -> dict[str, JobRow]:
        """All jobs by id."""
        return {job.id: job for job in read_pages(lambda after: self.store.list_jobs(after=after, limit=200))}


def read_pages(read: Callable[[Any], Any]) -> list[Any]:
    """All items of a list that comes in pages."""
    items, after = [], None
    while True:
        page = read(after)
        items += page.items
        if (after := page.next) is None:
            return items


def _now() -> datetime:
    return datetime.now(UTC)

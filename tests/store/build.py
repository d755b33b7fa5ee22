"""Jobs, attempts and tasks for the store's tests, described by what matters in each."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from swath.domain.attempts import Attempt
from swath.domain.changes import AddAttempt, Change, ChangeAttempt, ChangeJob, PutAgent, PutTask
from swath.domain.ids import make_ulid
from swath.domain.jobs import JobSpec
from swath.domain.ranges import Ranges
from swath.domain.resources import Resources
from swath.domain.states import AttemptState, JobCounts, JobState, TaskState
from swath.store.api_store import ApiStore
from swath.store.rows import ImageRow, JobRow
from swath.store.scheduling import SchedulerStore

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ONE_CPU = Resources(cpus_m=1000, mem=2048, disk=4096)
_serial = count()


def an_id() -> str:
    """A ULID later than all before."""
    serial = next(_serial)
    return make_ulid(NOW + timedelta(milliseconds=serial), serial.to_bytes(10, "big"))


def a_spec(**document: Any) -> JobSpec:
    """A job of the image ndvi."""
    return JobSpec.from_document({"name": "august", "image": "ndvi:1.0.0", **document})


def a_range(size: int) -> dict[str, Any]:
    """An array over the numbers below `size`."""
    return {"over": "INDEX", "range": [0, size]}


def scenes(size: int) -> dict[str, Any]:
    """An array over `size` hrefs."""
    return {"over": "SCENE", "items": [{"href": f"file:///eo/{index}"} for index in range(size)]}


def an_agent(agent_id: str = "agent-1", **changed: Any) -> PutAgent:
    """An agent with 8 CPUs."""
    said = {"hostname": "host-1", "url": "http://host-1:5051", "total": Resources(cpus_m=8000, mem=16384, disk=50000)}
    return PutAgent(agent_id=agent_id, **{**said, **changed})


@dataclass
class Scene:
    """A database with an image in it, a scheduler that leads, and short words for what both sides do."""

    api: ApiStore
    scheduler: SchedulerStore
    epoch: int
    image: ImageRow = field(init=False)

    def __post_init__(self) -> None:
        self.image = self.register()

    def register(self, **changed: Any) -> ImageRow:
        """Register an image version."""
        said = {
            "name": "ndvi",
            "version": "1.0.0",
            "digest": "sha256:1",
            "manifest": {"seedVersion": "1.0.0"},
            "now": NOW,
        }
        return self.api.register_image(**{**said, **changed})

    def submit(self, *, idempotency: tuple[str, str] | None = None, user: str = "ada", **document: Any) -> JobRow:
        """Submit a job."""
        return self.api.submit(
            a_spec(**document),
            self.image,
            resources=ONE_CPU,
            job_id=an_id(),
            now=NOW,
            user=user,
            idempotency=idempotency,
        )

    def apply(self, *changes: Change, at: datetime = NOW) -> None:
        """What the scheduler writes in one transaction."""
        self.scheduler.apply(changes, epoch=self.epoch, now=at)

    def launch(self, job: JobRow, index: int = 0, number: int = 1, agent_id: str = "agent-1") -> str:
        """Launch an attempt; its id."""
        attempt = an_attempt(job, index, number, agent_id=agent_id)
        self.apply(a_task(job, index, TaskState.ACTIVE, attempts=number), AddAttempt(attempt=attempt))
        return attempt.id

    def succeed(self, job: JobRow, index: int, outputs: list[dict[str, Any]]) -> str:
        """Launch an attempt and let it succeed with `outputs`; its id."""
        attempt_id = self.launch(job, index)
        ended = ChangeAttempt(
            attempt_id=attempt_id,
            state=AttemptState.SUCCEEDED,
            ended_at=NOW,
            output_dir=f"/outputs/{attempt_id}",
            outputs=outputs,
        )
        self.apply(ended, a_task(job, index, TaskState.SUCCEEDED, winner_attempt=attempt_id))
        return attempt_id


def an_attempt(job: JobRow, index: int = 0, number: int = 1, **changed: Any) -> Attempt:
    """An attempt that is about to be launched."""
    attempt_id = an_id()
    said: dict[str, Any] = {
        "id": attempt_id,
        "job_id": job.id,
        "task_index": index,
        "number": number,
        "slot_id": attempt_id,
        "agent_id": "agent-1",
        "hostname": "host-1",
        "resources": ONE_CPU,
        "executor_id": "executor-1",
        "launched_at": NOW,
    }
    return Attempt(**{**said, **changed})


def a_task(job: JobRow, index: int, state: TaskState, attempts: int = 1, **changed: Any) -> PutTask:
    """The row of a task."""
    return PutTask(job_id=job.id, index=index, state=state, attempts=attempts, **changed)


def figures(job: JobRow, state: JobState, pending: Ranges | None = None, **changed: Any) -> ChangeJob:
    """A job's new figures; counts by name, and `observed_rev` taken in unless said otherwise."""
    names = ("active", "succeeded", "failed", "cancelled")
    counts = {name: changed.pop(name) for name in names if name in changed}
    left = Ranges.of(job.size) if pending is None else pending
    said: dict[str, Any] = {"observed_rev": job.desired_rev, "retry_rev_done": job.retry_rev}
    total = JobCounts(total=job.size, pending=job.size - sum(counts.values()), **counts)
    return ChangeJob(job_id=job.id, state=state, pending=left, counts=total, **{**said, **changed})

"""Jobs that wait for others, in words for tests of the core."""

from __future__ import annotations

from typing import Any

from swath.store.rows import JobRecord
from tests.scheduler.world import World, a_job

FAIL_ONCE = {"retry": {"max_attempts": 1}}


def after(job_id: str = "first", condition: str = "succeeded", *, elementwise: bool = False) -> dict[str, Any]:
    """An entry of a document's `after`."""
    return {"job": job_id, "condition": condition, "elementwise": elementwise}


def a_second(*entries: dict[str, Any], name: str = "second", size: int = 1, **spec: Any) -> JobRecord:
    """A job after the others."""
    return a_job(name, size, after=list(entries) or [after()], **spec)


def a_world(*records: JobRecord) -> World:
    """A subscribed core that has heard of the jobs, and has every agent's offer still to come."""
    world = World().subscribe()
    for record in records:
        world.submit(record)
    return world


def launched(world: World) -> list[tuple[str, int]]:
    """(job, task) of every launch so far."""
    return [(attempt.job_id, attempt.task_index) for attempt in world.launched()]


def end(world: World, job_id: str, index: int = 0, how: str = "FINISHED") -> World:
    """The live attempt of a task ends."""
    (attempt,) = (
        live.attempt.id
        for live in world.core.state.attempts.values()
        if (live.attempt.job_id, live.attempt.task_index) == (job_id, index)
    )
    return world.say(attempt, how)

"""What becomes of a task whose attempt did not succeed: it waits for the next one, or it has failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from scheduler.core import jobs
from scheduler.core.largest import largest_for
from scheduler.core.open_jobs import Job
from scheduler.core.state import LiveAttempt
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.changes import PutTask
from swath.domain.resources import Resources
from swath.domain.retries import FREE, End, GiveUp, Retry, decide_retry, jitter_of
from swath.domain.states import TaskState


def decide(turn: Turn, job: Job, live: LiveAttempt, task: PutTask, end: End) -> tuple[PutTask, Mapping[str, Any]]:
    """The task as it goes on, and what the job's history tells of that."""
    failures = task.failures + (0 if end.cause in FREE else 1)
    task = replace(task, failures=failures)
    decided = decide_retry(
        job.record.spec.retry,
        end,
        failures=failures,
        free_retries=task.free_retries,
        asked=live.attempt.resources,
        largest=largest_for(turn.state, job),
        jitter=jitter_of(job.id, task.index, live.attempt.number),
    )
    if isinstance(decided, GiveUp):
        if decided.lacking:
            task = replace(task, message=f"{task.message or end.cause}; {decided.why}")
        return _fail(turn, task, decided.why)
    if jobs.past_deadline(turn, job):
        return _fail(turn, task, "the job's deadline has passed")
    return _wait(turn, job, task, decided, live.attempt.resources)


def _fail(turn: Turn, task: PutTask, why: str) -> tuple[PutTask, Mapping[str, Any]]:
    return replace(task, state=TaskState.FAILED, ended_at=turn.now), {"why": why}


def _wait(turn: Turn, job: Job, task: PutTask, retry: Retry, asked: Resources) -> tuple[PutTask, Mapping[str, Any]]:
    turn.set_timer(Kind.RETRY, retry.delay_s, (job.id, task.index))
    job.rest(turn.after(retry.delay_s), turn.now)
    base, wanted = job.record.resources, retry.resources
    waiting = replace(
        task,
        state=TaskState.PENDING,
        free_retries=retry.free_retries,
        retry_at=turn.after(retry.delay_s),
        mem=wanted.mem if wanted.mem != base.mem else None,
        disk=wanted.disk if wanted.disk != base.disk else None,
    )
    grown = {name: getattr(wanted, name) for name in ("mem", "disk") if getattr(wanted, name) != getattr(asked, name)}
    return waiting, {"asks": grown} if grown else {}

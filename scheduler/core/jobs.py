"""What happens to jobs: they come, are cancelled, retried, held back, run out of time, and end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from scheduler.core import dependencies, kills, learned, maintenance, shrinking, why
from scheduler.core.events import JobSeen
from scheduler.core.open_jobs import Job
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.changes import ChangeJob, PutTask
from swath.domain.ranges import Ranges
from swath.domain.retries import Cause
from swath.domain.states import Desired, TaskState, job_state
from swath.store.rows import JobRecord


def make_job(record: JobRecord) -> Job:
    """The entry of a job as its row tells it. One that waits for others does so until somebody has looked."""
    never_ran, waits = record.pending.minus(record.dropped), bool(record.spec.after)
    return Job(
        record=record,
        pending=Ranges() if waits else never_ran,
        blocked=never_ran if waits else Ranges(),
        dropped=record.dropped,
        message=record.message,
        counts=record.counts,
        state=record.state,
        desired=record.desired,
        observed_rev=record.observed_rev,
        retry_rev_done=record.retry_rev_done,
        started_at=record.started_at,
        ended_at=record.ended_at,
        wait_reason=record.wait_reason,
        longest_run_s=record.longest_run_s,
    )


def on_job_seen(turn: Turn, event: JobSeen) -> None:
    """The api has inserted a job, or changed what is desired of it. Seeing the same twice changes nothing."""
    record = event.record
    job = turn.state.jobs.get(record.id)
    if job is None:
        job = turn.state.jobs[record.id] = make_job(record)
        dependencies.follow(turn.state, job)
        set_timers(turn, job)
        learned.follow(turn.state, job)
        maintenance.follow(turn.state, job)
    elif record.desired_rev <= job.observed_rev:
        return
    if job.observed_rev == 0:
        turn.tell(job.id, "job.state", state=job.state, counts=_counts(job))
    job.desired = record.desired
    turn.touch(job)
    if record.retry_rev > job.retry_rev_done:
        _retry(turn, job, event.failed)
    if not event.more:  # else whoever comes after a crash goes on with what is still FAILED
        job.observed_rev, job.retry_rev_done = record.desired_rev, record.retry_rev
    if job.desired is Desired.CANCELLED:
        cancel(turn, job)


def set_timers(turn: Turn, job: Job) -> None:
    """Wait for the times that the job's document names."""
    spec = job.record.spec
    if spec.not_before is not None and spec.not_before > turn.now:
        job.held_until = spec.not_before
        turn.state.timers.set(Kind.NOT_BEFORE, spec.not_before, (job.id, 0))
    if spec.deadline is not None:
        turn.state.timers.set(Kind.DEADLINE, spec.deadline, (job.id, 0))


def cancel(turn: Turn, job: Job) -> None:
    """End what waits, and ask for the end of what runs. Tasks without a row get none: that the job is cancelled says it."""
    _end_waiting(turn, job, TaskState.CANCELLED, cause=Cause.KILLED, message="the job was cancelled")
    for attempt_id in job.running.values():
        kills.request_kill(turn, attempt_id)


def on_deadline(turn: Turn, job_id: str) -> None:
    """The deadline is here: what waits has failed, what runs may end."""
    if (job := turn.state.jobs.get(job_id)) is not None:
        _end_waiting(turn, job, TaskState.FAILED, cause=Cause.TIMEOUT, message="the job's deadline has passed")


def on_not_before(turn: Turn, job_id: str) -> None:
    """The job may start."""
    if (job := turn.state.jobs.get(job_id)) is not None:
        job.held_until = None
        turn.touch(job)


def on_retry_due(turn: Turn, job_id: str, index: int) -> None:
    """A task has waited long enough to be tried again."""
    job = turn.state.jobs.get(job_id)
    if job is not None and index in job.tasks and job.tasks[index].state is TaskState.PENDING:
        job.due.add(shrinking.fit(turn, job, job.tasks[index]), turn.now)
        turn.touch(job)


def past_deadline(turn: Turn, job: Job) -> bool:
    """True when nothing of the job may start any more."""
    deadline = job.record.spec.deadline
    return deadline is not None and deadline <= turn.now


def settle(turn: Turn, job: Job) -> None:
    """Write the row of a touched job, and let go of one that has ended."""
    state = job_state(job.counts, started=job.started_at is not None)
    ended = job.counts.complete
    if ended and job.ended_at is None:
        job.ended_at = turn.now
    if not job.waiting:
        job.wait_reason = None if ended else why.resting_reason(turn, job)
    if state != job.state:
        job.state = state
        turn.tell(job.id, "job.state", state=state, counts=_counts(job))
    turn.write(
        ChangeJob(
            job_id=job.id,
            state=job.state,
            pending=job.pending.union(job.blocked, job.dropped),
            dropped=job.dropped,
            message=job.message,
            counts=job.counts,
            observed_rev=job.observed_rev,
            retry_rev_done=job.retry_rev_done,
            wait_reason=job.wait_reason,
            started_at=job.started_at,
            ended_at=job.ended_at,
            longest_run_s=job.longest_run_s,
            asks_mem=None if job.asks is None else job.asks[0],
            asks_disk=None if job.asks is None else job.asks[1],
        )
    )
    if ended:
        _forget(turn, job)


def put_task(turn: Turn, job: Job, task: PutTask, before: TaskState) -> None:
    """Write a task's row, and count it where it now belongs."""
    job.counts = job.counts.moved(before, task.state)
    if task.state in (TaskState.PENDING, TaskState.ACTIVE):
        job.tasks[task.index] = task
    else:
        job.tasks.pop(task.index, None)
        job.due.discard(task.index)
        job.failed_on.pop(task.index, None)
    dependencies.note_task(turn.state, task, before)
    turn.write(task)
    turn.touch(job)


def _end_waiting(turn: Turn, job: Job, state: TaskState, *, cause: Cause, message: str) -> None:
    """End every task that has no attempt; those without a row by their number only."""
    for task in [task for task in job.tasks.values() if task.state is TaskState.PENDING]:
        ended = replace(task, state=state, retry_at=None, cause=cause, message=message, ended_at=turn.now)
        put_task(turn, job, ended, TaskState.PENDING)
        turn.state.timers.clear(Kind.RETRY, (job.id, task.index))
        turn.tell(job.id, "task.state", task=task.index, state=state, cause=cause, message=message)
    job.resting.clear()
    if state is TaskState.FAILED and job.counts.pending:
        job.message = message
    job.counts = job.counts.moved(TaskState.PENDING, state, job.counts.pending)
    turn.touch(job)


def _retry(turn: Turn, job: Job, failed: Iterable[PutTask]) -> None:
    """Have another go at the tasks that have failed; their count of failures begins anew."""
    never_ran = job.pending.union(job.blocked, job.dropped)
    ended = never_ran.count - job.waiting_rowless  # all together at the deadline, or by the jobs before this one
    job.counts = job.counts.moved(TaskState.FAILED, TaskState.PENDING, ended)
    if job.record.spec.after:
        job.pending, job.blocked, job.dropped = Ranges(), never_ran, Ranges()
        turn.state.unsettled[job.id] = None
    for task in failed:
        again = replace(task, state=TaskState.PENDING, failures=0, free_retries=0, retry_at=turn.now, ended_at=None)
        put_task(turn, job, again, task.state)
        job.due.add(again, turn.now)
        turn.tell(job.id, "task.state", task=task.index, state=again.state)
    job.ended_at = job.message = None
    set_timers(turn, job)
    if past_deadline(turn, job):
        on_deadline(turn, job.id)


def _forget(turn: Turn, job: Job) -> None:
    """An ended job is the database's alone."""
    turn.state.jobs.pop(job.id, None)
    turn.state.waiting.pop(job.id, None)
    dependencies.forget(turn.state, job)
    learned.forget(turn.state, job)
    for kind in (Kind.NOT_BEFORE, Kind.DEADLINE):
        turn.state.timers.clear(kind, (job.id, 0))


def _counts(job: Job) -> dict[str, int]:
    counts = job.counts
    return {
        "total": counts.total,
        "pending": counts.pending,
        "active": counts.active,
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
    }

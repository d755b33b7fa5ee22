"""Jobs that wait for others. What has been released is worked out anew from what the other jobs are, never remembered:
after a failover the database gives the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from scheduler.core.open_jobs import Followed, Job
from scheduler.core.state import State
from scheduler.core.turn import Turn
from swath.domain.changes import PutTask
from swath.domain.dependencies import Split, Upstream, split, why_dropped
from swath.domain.dependencies import why_waiting as find_reason
from swath.domain.ranges import Ranges
from swath.domain.retries import Cause
from swath.domain.states import Desired, TaskState
from swath.store.rows import JobRecord


def meet(state: State, record: JobRecord) -> None:
    """Take in what the database says of the jobs that `record` waits for.

    To be called before the turn changes anything: until then the core knows no more of them than their rows say.
    """
    for row in record.upstream:
        known = state.followed.get(row.id)
        if known is None:
            state.followed[row.id] = Followed(known=row)
        elif known.known.succeeded is None:
            known.known = row


def follow(state: State, job: Job) -> None:
    """Have the job looked at when this turn ends, and whenever one that it waits for has changed."""
    for dependency in job.record.spec.after:
        state.followed[dependency.job].dependents[job.id] = None
    if job.record.spec.after:
        state.unsettled[job.id] = None


def load(state: State) -> None:
    """Divide what waits as the database says; what has to be written because of that comes with the first turn."""
    for job in list(state.jobs.values()):
        meet(state, job.record)
        follow(state, job)
    for job in state.jobs.values():
        if job.record.spec.after and _may_change(job):
            released = _split(state, job).ready.minus(job.dropped)
            job.pending, job.blocked = released, job.pending.union(job.blocked).minus(released)


def forget(state: State, job: Job) -> None:
    """The job waits for nothing any more."""
    state.unsettled.pop(job.id, None)
    for dependency in job.record.spec.after:
        followed = state.followed.get(dependency.job)
        if followed is not None:
            followed.dependents.pop(job.id, None)
            if not followed.dependents:
                del state.followed[dependency.job]


def note_task(state: State, task: PutTask, before: TaskState) -> None:
    """A task has changed: somebody may wait for it."""
    followed = state.followed.get(task.job_id)
    if followed is None or followed.known.succeeded is None:
        return
    if task.state is TaskState.SUCCEEDED:
        followed.succeeded.append(task.index)
    elif task.state in (TaskState.FAILED, TaskState.CANCELLED):
        followed.unsuccessful.append(task.index)
    elif before in (TaskState.FAILED, TaskState.CANCELLED):
        followed.again.append(task.index)


def settle(turn: Turn) -> None:
    """Release, drop or take back what the turn's changes allow, and what follows from that, to the end of every chain."""
    state = turn.state
    changed = [job_id for job_id in turn.touched if job_id in state.followed]
    due, state.unsettled = state.unsettled, {}
    while changed or due:
        for job_id in changed:
            if _refresh(state.followed[job_id], state.jobs[job_id]):
                due |= state.followed[job_id].dependents
        changed = [job_id for job_id in due if _evaluate(turn, state.jobs[job_id]) and job_id in state.followed]
        due = {}


def why_waiting(state: State, job: Job) -> str | None:
    """What the job waits for, where it waits for others."""
    if not job.blocked or not job.waiting_rowless:
        return None
    return find_reason(job.record.spec.after, _upstream_of(state, job), started=job.started_at is not None)


def _upstream_of(state: State, job: Job) -> Mapping[str, Upstream]:
    return {dependency.job: state.followed[dependency.job].known for dependency in job.record.spec.after}


def _refresh(followed: Followed, job: Job) -> bool:
    """Bring what is known of a job up to date; False where nobody can be concerned by the difference."""
    before = followed.known
    succeeded, unsuccessful = before.succeeded, before.unsuccessful
    if succeeded is not None and unsuccessful is not None:
        succeeded = succeeded.add(followed.succeeded) if followed.succeeded else succeeded
        unsuccessful = unsuccessful.remove(followed.again) if followed.again else unsuccessful
        unsuccessful = unsuccessful.add(followed.unsuccessful) if followed.unsuccessful else unsuccessful
        never_ran = job.pending.union(job.blocked, job.dropped)
        waiting = never_ran.minus(job.dropped) if job.waiting_rowless else Ranges()
        unsuccessful = unsuccessful.minus(waiting).union(never_ran.minus(waiting))
        for noted in (followed.succeeded, followed.unsuccessful, followed.again):
            noted.clear()
    followed.known = Upstream(
        id=before.id, name=before.name, counts=job.counts, succeeded=succeeded, unsuccessful=unsuccessful
    )
    sets = (before.ended, before.succeeded, before.unsuccessful)
    return sets != (followed.known.ended, succeeded, unsuccessful)


def _may_change(job: Job) -> bool:
    """False where the tasks without a row were ended together: by the deadline, or by a wish to cancel."""
    return job.desired is not Desired.CANCELLED and job.waiting_rowless == job.pending.count + job.blocked.count


def _split(state: State, job: Job) -> Split:
    never_ran = job.pending.union(job.blocked, job.dropped)
    return split(job.record.spec.after, _upstream_of(state, job), never_ran, started=job.started_at is not None)


def _evaluate(turn: Turn, job: Job) -> bool:
    """Divide the job's tasks anew; True where that changes what others may wait for."""
    deadline = job.record.spec.deadline
    if not _may_change(job) or (deadline is not None and deadline <= turn.now):
        return False
    parts = _split(turn.state, job)
    if parts.dropped == job.dropped and parts.ready == job.pending:
        return False
    gone, again = parts.dropped.minus(job.dropped), job.dropped.minus(parts.dropped)
    job.pending, job.blocked, job.dropped = parts.ready, parts.blocked, parts.dropped
    turn.touch(job)
    if again:
        job.counts = job.counts.moved(TaskState.FAILED, TaskState.PENDING, again.count)
        job.ended_at, job.message = None, job.message if job.dropped else None
        turn.tell(job.id, "task.state", tasks=again.count, state=TaskState.PENDING)
    if gone:
        job.counts = job.counts.moved(TaskState.PENDING, TaskState.FAILED, gone.count)
        job.message = why_dropped(job.record.spec.after, _upstream_of(turn.state, job))
        told = {"state": TaskState.FAILED, "cause": Cause.DEPENDENCY, "message": job.message}
        turn.tell(job.id, "task.state", tasks=gone.count, **told)
    return bool(gone or again)

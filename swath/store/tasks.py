"""Tasks and attempts, as the api reads them. A task that was never launched has no row: it is made up here from its index."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from swath.domain.errors import NotFoundError
from swath.domain.ranges import Ranges
from swath.domain.retries import Cause
from swath.domain.states import ENDED_JOB, AttemptState, Desired, TaskState
from swath.store.inputs import read_items
from swath.store.jobs import to_resources
from swath.store.models import Agent, Attempt, Job, Task
from swath.store.rows import AttemptRow, Page, TaskRow
from swath.store.types import AnyRow

_TASK = tuple(name for name in TaskRow.__slots__ if name not in ("item", "unreachable_at"))
_ATTEMPT_ELSEWHERE = ("agent_url", "resources", "ports", "outputs", "report")
_ATTEMPT = tuple(name for name in AttemptRow.__slots__ if name not in _ATTEMPT_ELSEWHERE)


def list_tasks(
    session: Session, job_id: str, state: TaskState | None, after: int | None, limit: int
) -> Page[TaskRow, int]:
    """Tasks by index, launched or not; `after` is the index of the last one of the page before."""
    job = _get_job(session, job_id)
    last = -1 if after is None else min(after, job.size)
    query = select(Task).where(Task.job_id == job_id, Task.index > last).order_by(Task.index).limit(limit + 1)
    launched = {row.index: row for row in session.scalars(query if state is None else query.where(Task.state == state))}
    never = _find_never_launched(session, job, state, last, limit + 1)
    indices = sorted({*launched, *never})[: limit + 1]
    items = read_items(session, job_id, job.spec, indices[:limit])
    waiting = _find_waiting(session, job)
    silent = _find_unreachable(session, job_id, list(launched.values()))
    tasks = [
        _to_task(job, waiting, index, launched.get(index), items[index], silent.get(index)) for index in indices[:limit]
    ]
    return Page(items=tasks, next=tasks[-1].index if len(indices) > limit else None)


def get_task(session: Session, job_id: str, index: int) -> TaskRow:
    """One task, launched or not; raises NotFoundError."""
    job = _get_job(session, job_id)
    _check_index(job, index)
    row = session.get(Task, (job_id, index))
    silent = _find_unreachable(session, job_id, [row] if row else [])
    item = read_items(session, job_id, job.spec, [index])[index]
    return _to_task(job, _find_waiting(session, job), index, row, item, silent.get(index))


def get_item(session: Session, job_id: str, index: int) -> Any:
    """The element of the array at `index`; None for a job without an array. Raises NotFoundError."""
    job = _get_job(session, job_id)
    _check_index(job, index)
    return read_items(session, job_id, job.spec, [index])[index]


def list_attempts(session: Session, job_id: str, index: int) -> list[AttemptRow]:
    """All attempts of a task, the first one first; raises NotFoundError for an unknown task."""
    _check_index(_get_job(session, job_id), index)
    query = (
        select(Attempt, Agent.url)
        .join(Agent, Agent.id == Attempt.agent_id, isouter=True)
        .where(Attempt.job_id == job_id, Attempt.task_index == index)
        .order_by(Attempt.number)
    )
    return [_to_attempt(row, url) for row, url in session.execute(query)]


def _get_job(session: Session, job_id: str) -> AnyRow:
    known = (Job.id, Job.size, Job.state, Job.desired, Job.desired_rev, Job.observed_rev, Job.ended_at)
    wanted = (*known, Job.pending, Job.dropped, Job.message, Job.pending_count, Job.failed_count, Job.spec)
    row = session.execute(select(*wanted).where(Job.id == job_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no job {job_id}")
    return row


def _check_index(job: AnyRow, index: int) -> None:
    if not 0 <= index < job.size:
        raise NotFoundError(f"job {job.id} has no task {index}: its tasks are 0 to {job.size - 1}")


def _is_cancelled(job: AnyRow) -> bool:
    """True when the scheduler has taken in that the job is to end: whatever has no row will never get one."""
    return job.desired is Desired.CANCELLED and job.observed_rev == job.desired_rev


def _find_waiting(session: Session, job: AnyRow) -> Ranges:
    """The tasks without a row that may be launched yet; the others without one have ended unlaunched."""
    if _is_cancelled(job) or job.state in ENDED_JOB or _waits_no_more(session, job):
        return Ranges()
    return Ranges.from_document(job.pending).minus(Ranges.from_document(job.dropped))


def _waits_no_more(session: Session, job: AnyRow) -> bool:
    """True when nothing without a row waits any more: the deadline ends all of that together, and its ranges stay as they
    are. Whether it has, the counts say, and no clock but the scheduler's.
    """
    if job.pending_count == 0 or job.spec.get("deadline") is None:
        return int(job.pending_count) == 0
    of_job = (Task.job_id == job.id, Task.state == TaskState.PENDING)
    return session.scalar(select(func.count()).select_from(Task).where(*of_job)) == int(job.pending_count)


def _never_launched_state(job: AnyRow, waiting: Ranges, index: int) -> TaskState:
    """The state of a task without a row. One that neither waits nor was cancelled has failed: at the job's deadline, or
    because a job before this one did not succeed.
    """
    if _is_cancelled(job):
        return TaskState.CANCELLED
    return TaskState.PENDING if index in waiting else TaskState.FAILED


def _why_never_launched(job: AnyRow, index: int) -> dict[str, Any]:
    """Why a task without a row has failed."""
    dropped = any(first <= index < end for first, end in job.dropped)
    return {"cause": Cause.DEPENDENCY if dropped else Cause.TIMEOUT, "message": job.message, "ended_at": job.ended_at}


def _find_never_launched(session: Session, job: AnyRow, state: TaskState | None, last: int, limit: int) -> list[int]:
    """At most `limit` indices above `last` of tasks without a row, if those are in `state`.

    Without a filter every index of the page is one: whoever has a row is met by its row.
    """
    if state is None:
        return list(range(last + 1, min(job.size, last + 1 + limit)))
    waiting = _find_waiting(session, job)
    if state is TaskState.PENDING:
        return waiting.after(last, limit)
    ended = TaskState.CANCELLED if _is_cancelled(job) else TaskState.FAILED
    if state is not ended or not _any_ended_unlaunched(session, job, waiting):
        return []
    found: list[int] = []
    while len(found) < limit and (gaps := _find_gaps(session, job, last, limit)):
        found += Ranges(tuple(gaps)).minus(waiting).after(last, limit - len(found))
        last = gaps[-1][1] - 1
    return found


def _any_ended_unlaunched(session: Session, job: AnyRow, waiting: Ranges) -> bool:
    """False for the usual job, in which whatever has no row waits: counting costs less than searching in vain."""
    if not _is_cancelled(job) and job.failed_count == 0:
        return False
    rows = session.scalar(select(func.count()).select_from(Task).where(Task.job_id == job.id)) or 0
    return rows + waiting.count < int(job.size)


def _find_gaps(session: Session, job: AnyRow, last: int, limit: int) -> list[tuple[int, int]]:
    """At most `limit` + 1 ranges above `last` without a row, in order: the database looks from each row to the next."""
    above = (Task.job_id == job.id, Task.index > last)
    first = session.scalar(select(func.min(Task.index)).where(*above))
    head = (last + 1, job.size if first is None else first)
    following = func.lead(Task.index, 1, job.size).over(order_by=Task.index).label("following")
    rows = select(Task.index, following).where(*above).subquery()
    gaps = select(rows.c.index + 1, rows.c.following).where(rows.c.following > rows.c.index + 1)
    found = session.execute(gaps.order_by(rows.c.index).limit(limit))
    return [span for span in [head, *((start, end) for start, end in found)] if span[0] < span[1]]


def _find_unreachable(session: Session, job_id: str, tasks: list[Task]) -> dict[int, datetime]:
    """Since when the live attempts of those tasks that nobody hears of are UNREACHABLE."""
    active = [task.index for task in tasks if task.state is TaskState.ACTIVE]
    if not active:
        return {}
    of_job = (Attempt.job_id == job_id, Attempt.task_index >= min(active), Attempt.task_index <= max(active))
    query = select(Attempt.task_index, Attempt.unreachable_at).where(
        *of_job, Attempt.state == AttemptState.UNREACHABLE, Attempt.unreachable_at.is_not(None)
    )
    return {index: at for index, at in session.execute(query) if at is not None}


def _to_task(
    job: AnyRow, waiting: Ranges, index: int, row: Task | None, item: Any, unreachable_at: datetime | None
) -> TaskRow:
    if row is None:
        state = _never_launched_state(job, waiting, index)
        said = _why_never_launched(job, index) if state is TaskState.FAILED else {}
        return TaskRow(job_id=job.id, index=index, state=state, item=item, **said)
    return TaskRow(**{name: getattr(row, name) for name in _TASK}, item=item, unreachable_at=unreachable_at)


def _to_attempt(row: Attempt, agent_url: str | None) -> AttemptRow:
    return AttemptRow(
        **{name: getattr(row, name) for name in _ATTEMPT},
        agent_url=agent_url,
        resources=to_resources(row),
        ports=row.ports or [],
        outputs=row.outputs or [],
        report=row.report or {},
    )

"""Jobs that recur: what is wanted, and each fire time with what became of it, in the transaction that submits its job."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from swath.domain.errors import ConflictError, NotFoundError
from swath.domain.states import ENDED_JOB
from swath.store import jobs
from swath.store.models import Job, Schedule, ScheduleRun
from swath.store.recurring_rows import Previous, RunRow, ScheduleRow
from swath.store.rows import Submission

_SCHEDULE = tuple(ScheduleRow.__slots__)


def add_schedule(session: Session, row: ScheduleRow) -> ScheduleRow:
    """Write the schedule; raises ConflictError where its name is taken."""
    if session.scalar(select(Schedule.id).where(Schedule.name == row.name)) is not None:
        raise ConflictError(f"there is a schedule {row.name!r} already")
    session.execute(insert(Schedule).values({name: getattr(row, name) for name in _SCHEDULE}))
    return row


def list_schedules(session: Session) -> list[ScheduleRow]:
    """All of them by name."""
    return [_to_schedule(row) for row in session.scalars(select(Schedule).order_by(Schedule.name))]


def get_schedule(session: Session, name: str) -> ScheduleRow:
    """The one of this name or id; raises NotFoundError."""
    return _to_schedule(_find(session, name))


def change_schedule(session: Session, schedule_id: str, changed: Mapping[str, Any]) -> ScheduleRow:
    """Write the new values; raises NotFoundError."""
    if changed:
        session.execute(update(Schedule).where(Schedule.id == schedule_id).values(**changed))
    return get_schedule(session, schedule_id)


def remove_schedule(session: Session, name: str) -> None:
    """Forget the schedule and its runs; the jobs stay. Raises NotFoundError."""
    row = _find(session, name, lock=True)
    session.execute(delete(ScheduleRun).where(ScheduleRun.schedule_id == row.id))
    session.execute(delete(Schedule).where(Schedule.id == row.id))


def list_runs(session: Session, schedule_id: str, limit: int) -> list[RunRow]:
    """The last fire times, the newest first."""
    query = (
        select(ScheduleRun).where(ScheduleRun.schedule_id == schedule_id).order_by(ScheduleRun.at.desc()).limit(limit)
    )
    return [
        RunRow(at=row.at, outcome=row.outcome, job_id=row.job_id, message=row.message, done_at=row.done_at)
        for row in session.scalars(query)
    ]


def list_due(session: Session, now: datetime, limit: int) -> list[ScheduleRow]:
    """Schedules with a fire time that has come, the oldest first."""
    query = select(Schedule).where(Schedule.next_at <= now).order_by(Schedule.next_at, Schedule.id).limit(limit)
    return [_to_schedule(row) for row in session.scalars(query)]


def find_next_at(session: Session) -> datetime | None:
    """The earliest fire time that nobody has dealt with."""
    query = select(Schedule.next_at).where(Schedule.next_at.is_not(None)).order_by(Schedule.next_at).limit(1)
    return session.scalar(query)


def find_previous(session: Session, schedule_id: str) -> Previous | None:
    """The job of the last fire time that submitted one."""
    query = (
        select(ScheduleRun.at, Job.id, Job.state, Job.desired_rev, Job.observed_rev)
        .join(Job, Job.id == ScheduleRun.job_id)
        .where(ScheduleRun.schedule_id == schedule_id)
        .order_by(ScheduleRun.at.desc())
        .limit(1)
    )
    row = session.execute(query).one_or_none()
    if row is None:
        return None
    ended = row.state in ENDED_JOB and row.desired_rev == row.observed_rev
    return Previous(at=row.at, job_id=row.id, ended=ended)


def fire(
    session: Session,
    schedule: ScheduleRow,
    run: RunRow,
    *,
    next_at: datetime | None,
    submission: Submission | None,
    cancelled: str | None,
) -> bool:
    """Deal with a fire time once and for all: see ApiStore.fire."""
    claim = update(Schedule).where(Schedule.id == schedule.id, Schedule.next_at == schedule.next_at)
    claim = claim.values(next_at=next_at).returning(Schedule.id).execution_options(synchronize_session=False)
    if session.scalar(claim) is None:  # another service has been here, or somebody has changed the schedule
        return False
    if submission is not None:
        jobs.write_job(session, submission, run.done_at, schedule.user)
    session.execute(
        insert(ScheduleRun).values(
            schedule_id=schedule.id,
            at=run.at,
            outcome=run.outcome,
            job_id=submission.job_id if submission else None,
            message=run.message,
            done_at=run.done_at,
        )
    )
    if cancelled is not None:
        _cancel(session, cancelled)
    return True


def _cancel(session: Session, job_id: str) -> None:
    try:
        jobs.request_cancel(session, job_id)
    except ConflictError:  # it has ended meanwhile
        return


def _find(session: Session, name: str, *, lock: bool = False) -> Schedule:
    query = select(Schedule).where((Schedule.id == name) | (Schedule.name == name)).order_by(Schedule.id != name)
    row = session.scalars(query.with_for_update() if lock else query).first()
    if row is None:
        raise NotFoundError(f"there is no schedule {name!r}")
    return row


def _to_schedule(row: Schedule) -> ScheduleRow:
    return ScheduleRow(**{name: getattr(row, name) for name in _SCHEDULE})

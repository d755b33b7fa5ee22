"""What is kept for a time only: events of jobs, keys under which requests may be repeated, fire times of schedules."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, select, tuple_
from sqlalchemy.orm import Session

from swath.store.models import Event, IdempotencyKey, ScheduleRun

EVENTS_KEPT = timedelta(days=30)
KEYS_KEPT = timedelta(days=7)
RUNS_KEPT = timedelta(days=400)
SLICE = 5_000  # rows of each a transaction, so that it is over long before a lease


def prune(session: Session, now: datetime) -> int:
    """Delete the oldest rows that have had their time, at most `SLICE` of each; how many there were."""
    gone = _prune_events(session, now - EVENTS_KEPT) + _prune_keys(session, now - KEYS_KEPT)
    return gone + _prune_runs(session, now - RUNS_KEPT)


def _prune_events(session: Session, before: datetime) -> int:
    """By their ids, which grow with time: an index on the time would cost every event that is written."""
    oldest = session.execute(select(Event.id, Event.at).order_by(Event.id).limit(SLICE)).all()
    gone = [row.id for row in oldest if row.at < before]
    if gone:
        session.execute(delete(Event).where(Event.id <= gone[-1], Event.at < before))
    return len(gone)


def _prune_keys(session: Session, before: datetime) -> int:
    oldest = select(IdempotencyKey.key).where(IdempotencyKey.at < before).order_by(IdempotencyKey.at).limit(SLICE)
    gone = session.scalars(oldest).all()
    if gone:
        session.execute(delete(IdempotencyKey).where(IdempotencyKey.key.in_(gone)))
    return len(gone)


def _prune_runs(session: Session, before: datetime) -> int:
    """None of them can come again: a schedule never goes back."""
    key = tuple_(ScheduleRun.schedule_id, ScheduleRun.at)
    oldest = select(ScheduleRun.schedule_id, ScheduleRun.at).where(ScheduleRun.at < before).limit(SLICE)
    gone = [tuple(row) for row in session.execute(oldest)]
    for first in range(0, len(gone), 500):
        session.execute(delete(ScheduleRun).where(key.in_(gone[first : first + 500])))
    return len(gone)

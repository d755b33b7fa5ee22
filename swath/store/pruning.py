"""What is kept for a time only: the events of jobs, and the keys under which requests may be repeated."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from swath.store.models import Event, IdempotencyKey

EVENTS_KEPT = timedelta(days=30)
KEYS_KEPT = timedelta(days=7)
SLICE = 5_000  # rows of each a transaction, so that it is over long before a lease


def prune(session: Session, now: datetime) -> int:
    """Delete the oldest rows that have had their time, at most `SLICE` of each; how many there were."""
    return _prune_events(session, now - EVENTS_KEPT) + _prune_keys(session, now - KEYS_KEPT)


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

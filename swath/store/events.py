"""The history of jobs, as the api tells it to followers."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from swath.store.models import Event
from swath.store.rows import EventRow

_LARGEST_ID = 2**63 - 1  # that its column counts; a larger one from outside would be refused instead of missed


def read_events(session: Session, after: int, job_id: str | None, task: int | None, limit: int) -> list[EventRow]:
    """At most `limit` events with an id above `after`, in order."""
    query = select(Event).where(Event.id > min(after, _LARGEST_ID)).order_by(Event.id).limit(limit)
    if job_id is not None:
        query = query.where(Event.job_id == job_id)
    if task is not None:
        query = query.where(Event.data["task"].as_integer() == task)
    return [EventRow(**{name: getattr(row, name) for name in EventRow.__slots__}) for row in session.scalars(query)]


def last_event_id(session: Session) -> int:
    """The id of the newest event, 0 when there is none: where a follower begins who wants only what is to come."""
    return session.scalar(select(func.max(Event.id))) or 0

"""Attempts that came to nothing, for whoever removes what they have left elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, or_, select, text
from sqlalchemy.orm import Session

from swath.domain.retries import Cause
from swath.domain.states import TERMINAL, AttemptState
from swath.store.models import ATTEMPT_IS_OPEN, Attempt


@dataclass(frozen=True, kw_only=True, slots=True)
class Loser:
    """An attempt that has ended, and not as its task's success."""

    id: str
    job_id: str
    task_index: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Losers:
    """Some of them, in the order of their ids."""

    items: Sequence[Loser]
    next: str  # the id up to which this is all
    more: bool


def list_losers(session: Session, after: str, before: str, limit: int) -> Losers:
    """Those whose ids lie between two, and before that of any attempt which has not ended: what it will be nobody knows."""
    oldest = session.scalar(select(func.min(Attempt.id)).where(text(ATTEMPT_IS_OPEN)))
    until = min(before, oldest or before)
    rows = session.execute(
        select(Attempt.id, Attempt.job_id, Attempt.task_index)
        .where(Attempt.id > after, Attempt.id < until)
        .where(Attempt.state.in_(TERMINAL - {AttemptState.SUCCEEDED}))
        .where(or_(Attempt.cause.is_(None), Attempt.cause != Cause.UNBEGUN))  # which was never anywhere
        .order_by(Attempt.id)
        .limit(limit)
    ).all()
    items = [Loser(id=row.id, job_id=row.job_id, task_index=row.task_index) for row in rows]
    more = len(items) == limit
    return Losers(items=items, next=items[-1].id if more else max(after, until), more=more)

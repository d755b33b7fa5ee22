"""What an attempt that has ended is accounted for: in the transaction of its end, which happens once."""

from __future__ import annotations

from datetime import datetime

from scheduler.core.state import LiveAttempt
from scheduler.core.turn import Turn
from swath.domain.attempts import AttemptReport
from swath.domain.changes import AddUsage
from swath.domain.retries import Cause
from swath.domain.slots import is_shared
from swath.domain.usage import SUCCEEDED, account


def on_end(turn: Turn, live: LiveAttempt, cause: Cause | None, said: AttemptReport, ended_at: datetime | None) -> None:
    """Add the attempt to the days that it ran on. `ended_at` is its agent's clock, which may be wrong."""
    attempt, owner = live.attempt, live.owner
    end = turn.now if ended_at is None else max(attempt.launched_at, min(ended_at, turn.now))
    begin = attempt.launched_at
    if is_shared(attempt):  # before its turn, another one held the slot's resources
        begin = end if live.started_at is None else max(begin, min(live.started_at, end))
    for day, amounts in account(attempt.resources, begin, end, said.usage):
        turn.write(
            AddUsage(
                day=day,
                project=owner.project,
                user=owner.user,
                image=owner.image,
                outcome=SUCCEEDED if cause is None else cause.value,
                amounts=amounts,
            )
        )

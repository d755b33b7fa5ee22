"""The backstop for an executor that hangs: the end of an attempt that takes longer than its executor may let it."""

from __future__ import annotations

from scheduler.core import kills
from scheduler.core.specs import KILL_GRACE_S, timeout_s
from scheduler.core.state import LiveAttempt
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.retries import Cause
from swath.domain.states import AttemptState

SLACK_S = 2100.0  # for an executor to end an attempt by itself: it may publish for half an hour (SWATH_PUBLISHING_S)


def watch(turn: Turn, live: LiveAttempt) -> None:
    """Wait for the attempt as long as its state allows, from now on: agents' clocks are not ours."""
    job = turn.state.jobs.get(live.attempt.job_id)
    if live.state is AttemptState.STAGING:
        turn.set_timer(Kind.OVERDUE, turn.state.settings.staging_timeout_s, (live.attempt.id, 0))
    elif live.state is not AttemptState.LAUNCHING and job is not None:
        turn.set_timer(Kind.OVERDUE, timeout_s(job.record) + KILL_GRACE_S + SLACK_S, (live.attempt.id, 0))


def on_overdue(turn: Turn, attempt_id: str) -> None:
    """The attempt should have ended long ago. Hanging before its start is its agent's fault, not the task's."""
    live = turn.state.attempts.get(attempt_id)
    if live is not None:
        turn.note_of(live.attempt, "warning", "attempt_overdue", state=live.state)
        kills.end_for(turn, live, Cause.AGENT if live.state is AttemptState.STAGING else Cause.TIMEOUT)

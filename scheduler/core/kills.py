"""Ending attempts. "KILL is at-most-once: repeat with back-off and agent_id until terminal" (MESOS.md, M36)."""

from __future__ import annotations

from scheduler.core.effects import Kill
from scheduler.core.state import LiveAttempt
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.backoff import back_off_s
from swath.domain.changes import ChangeAttempt
from swath.domain.retries import Cause

FIRST_REPEAT_S = 5.0
LONGEST_REPEAT_S = 120.0


def request_kill(turn: Turn, attempt_id: str) -> None:
    """Ask for the end of an attempt, unless that has been done and is being repeated already."""
    live = turn.state.attempts.get(attempt_id)
    if live is not None and not live.kills:
        kill_soon(turn, attempt_id)


def preempt(turn: Turn, attempt_id: str) -> None:
    """Take back what the attempt's slot holds: its tasks are tried again at once, and that costs them nothing."""
    live = turn.state.attempts.get(attempt_id)
    for one in () if live is None else turn.state.attempts_in(live.attempt.slot_id):
        end_for(turn, one, Cause.PREEMPTED)


def end_for(turn: Turn, live: LiveAttempt, cause: Cause) -> None:
    """Ask for the end of an attempt for a reason of ours, unless its end has been asked for already.

    Commit, then speak: whoever leads when the end is reported has to know why, so the reason is written before the KILL.
    """
    if not live.kills and live.kill_cause is None:
        live.kill_cause = cause
        turn.write(ChangeAttempt(attempt_id=live.attempt.id, state=live.state, kill_cause=cause))
        kill_soon(turn, live.attempt.id)


def kill_soon(turn: Turn, attempt_id: str) -> None:
    """With the timers that are due, of which a turn takes so many: the kills of a whole array are those of several turns."""
    turn.set_timer(Kind.KILL, 0, (attempt_id, 0))


def repeat_kill(turn: Turn, attempt_id: str) -> None:
    """Ask, and ask again later as long as the attempt has not ended."""
    live = turn.state.attempts.get(attempt_id)
    if live is None:
        return
    # While disconnected nothing is sent: the next subscription begins with it.
    if turn.state.connected:
        turn.call_once(Kill(task_id=live.attempt.slot_id, agent_id=live.attempt.agent_id))
    live.kills += 1
    turn.set_timer(Kind.KILL, repeat_s(live.kills), (attempt_id, 0))


def repeat_s(kills: int) -> float:
    """Seconds until a kill that was asked for so often is asked for again."""
    return back_off_s(FIRST_REPEAT_S, kills - 1, longest_s=LONGEST_REPEAT_S)

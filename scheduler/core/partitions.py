"""Attempts of which nobody knows whether they run, and those that come back after they were replaced (M23, M26)."""

from __future__ import annotations

from datetime import datetime, timedelta

from scheduler.core import attempts, kills
from scheduler.core.effects import Kill
from scheduler.core.events import Update
from scheduler.core.state import LiveAttempt, Returned
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.changes import TellOfEnded
from swath.domain.retries import RetryPolicy
from swath.domain.states import AttemptState, Observation, is_terminal, next_state

# Known to run for certain; UNKNOWN, UNREACHABLE and whatever is terminal are no reason to kill.
ALIVE = frozenset({Observation.STAGING, Observation.STARTING, Observation.RUNNING})
ASK_AGAIN_S = 5.0  # between two looks at whether the master has said anything of an attempt since the subscription
_REMEMBERED = 10_000  # returned tasks whose further updates are told as well


def settle_doubt(turn: Turn, live: LiveAttempt, observation: Observation) -> None:
    """Begin to wait for an attempt that may or may not run; stop waiting for one that was seen."""
    if observation is Observation.UNREACHABLE:
        live.unreachable_at = live.unreachable_at or turn.now
        _wait_until(turn, live, live.unreachable_at + timedelta(seconds=_patience_s(turn, live)))
    elif observation is Observation.UNKNOWN:
        begin_doubt(turn, live)
    elif live.doubtful:
        live.doubtful, live.unreachable_at = False, None
        turn.state.timers.clear(Kind.DOUBT, (live.attempt.id, 0))


def begin_doubt(turn: Turn, live: LiveAttempt) -> None:
    """Wait as long as an agent may stay away after a master's failover, unless that is under way."""
    if not live.doubtful:
        _wait_until(turn, live, turn.after(turn.state.settings.unknown_wait_s))


def on_loaded(turn: Turn, live: LiveAttempt) -> None:
    """Go on waiting where the scheduler before this one was."""
    if live.state is AttemptState.UNREACHABLE:
        settle_doubt(turn, live, Observation.UNREACHABLE)


def on_doubt_over(turn: Turn, attempt_id: str) -> None:
    """ "UNREACHABLE waits by the job's policy" (M23); then the attempt is LOST and its task gets another.

    "No new attempt of a task whose last one is unresolved" (M26): what was heard before the present subscription may be
    long out of date, so there has to be an answer of this one.
    """
    live = turn.state.attempts.get(attempt_id)
    if live is None or not live.doubtful:
        return
    if not (turn.state.connected and live.answered):
        turn.set_timer(Kind.DOUBT, ASK_AGAIN_S, (attempt_id, 0))
        return
    message = f"not heard of for {_waited_s(turn, live):g} s"
    update = Update(task_id=live.attempt.slot_id, observation=Observation.LOST, message=message)
    # All of a slot together: what comes back of it is killed by that.
    for one in turn.state.attempts_in(live.attempt.slot_id):
        attempts.end(turn, one, next_state(one.state, Observation.LOST), update, None)


def on_unknown_task(turn: Turn, update: Update) -> None:
    """A task that no open attempt stands for: it has ended for us, or was never ours. It must not run on (M21).

    Of an attempt that was replaced, the history tells: that it came back, that it is killed, and how it ended. It wins nothing.
    """
    returned = turn.state.returned
    if update.observation in ALIVE:
        turn.note(
            "warning", "unknown_task_killed", attempt=update.task_id, agent=update.agent_id, state=update.observation
        )
        if update.task_id not in returned:
            _remember(turn, update)
            _tell(turn, update, "attempt.returned")
        returned[update.task_id].agent_id = update.agent_id
        kill_returned(turn, update.task_id)
    elif update.task_id in returned and is_terminal_observation(update.observation):
        _let_go(turn, update.task_id)
        _tell(turn, update, "attempt.ended_late")


def kill_returned(turn: Turn, task_id: str) -> None:
    """Ask for its end, and ask again later as long as nothing says that it has come (M36)."""
    found = turn.state.returned.get(task_id)
    if found is None:
        return
    if turn.state.connected:
        turn.call(Kill(task_id=task_id, agent_id=found.agent_id))
    found.kills += 1
    turn.set_timer(Kind.RETURNED, kills.repeat_s(found.kills), (task_id, 0))


def _remember(turn: Turn, update: Update) -> None:
    returned = turn.state.returned
    returned[update.task_id] = Returned(agent_id=update.agent_id)
    if len(returned) > _REMEMBERED:
        _let_go(turn, next(iter(returned)))


def _let_go(turn: Turn, task_id: str) -> None:
    del turn.state.returned[task_id]
    turn.state.timers.clear(Kind.RETURNED, (task_id, 0))


def is_terminal_observation(observation: Observation) -> bool:
    """True for what Mesos says of a task that does not run and never will."""
    return is_terminal(next_state(AttemptState.RUNNING, observation))


def _tell(turn: Turn, update: Update, kind: str) -> None:
    turn.write(TellOfEnded(slot_id=update.task_id, kind=kind, data={"observation": update.observation}))


def _wait_until(turn: Turn, live: LiveAttempt, at: datetime) -> None:
    live.doubtful = True
    turn.state.timers.set(Kind.DOUBT, at, (live.attempt.id, 0))


def _patience_s(turn: Turn, live: LiveAttempt) -> float:
    job = turn.state.jobs.get(live.attempt.job_id)
    return (RetryPolicy() if job is None else job.record.spec.retry).unreachable_s


def _waited_s(turn: Turn, live: LiveAttempt) -> float:
    if live.unreachable_at is None:
        return turn.state.settings.unknown_wait_s
    return round((turn.now - live.unreachable_at).total_seconds())

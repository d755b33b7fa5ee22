"""What an update of a Mesos task means. Updates come late, twice and out of order; the table of states decides."""

from __future__ import annotations

from dataclasses import replace

from scheduler.core import attempts, overdue, partitions, reconciliation
from scheduler.core.effects import Acknowledge
from scheduler.core.events import LaunchRefused, Unstorable, Update
from scheduler.core.state import LiveAttempt
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.attempts import AttemptReport
from swath.domain.errors import InvalidInputError
from swath.domain.retries import Cause
from swath.domain.states import AttemptState, Observation, is_terminal, next_state

# What only an executor (or the agent for it) says, with the report of what happened.
REPORTED_ENDS = frozenset({Observation.FINISHED, Observation.FAILED, Observation.KILLED})

# In which an executor says more of an attempt as it goes on: how far its image is, what it uses.
_TOLD_MORE = frozenset({AttemptState.STAGING, AttemptState.RUNNING})

UNREADABLE = "the attempt finished, and its executor's report cannot be read"


def on_update(turn: Turn, update: Update) -> None:
    """Take the news in, then have it acknowledged: the acknowledgement goes out after the commit (M20)."""
    live = turn.state.find_attempt(update.task_id)
    if live is None:
        partitions.on_unknown_task(turn, update)
    elif not _is_repeated(live, update):
        live.last_uuid = update.uuid or live.last_uuid
        live.answered = True
        reconciliation.on_answer(turn, live.attempt.id)
        if _counts(turn, live, update):
            observe(turn, live, update)
    if update.uuid is not None and update.agent_id is not None:
        turn.call(Acknowledge(agent_id=update.agent_id, task_id=update.task_id, uuid=update.uuid))


def _is_repeated(live: LiveAttempt, update: Update) -> bool:
    """ "Each pending update comes TWICE" (surprise 12). One that comes again after a partition is news all the same: what
    the master said meanwhile, UNREACHABLE or a state of long ago, does not hold any more.
    """
    known = update.uuid is not None and update.uuid == live.last_uuid
    return known and not live.doubtful and next_state(live.state, update.observation) is live.state


def observe(turn: Turn, live: LiveAttempt, update: Update) -> None:
    """Bring the attempt to its next state."""
    bring(turn, live, update, find_report(turn, live, update), unreadable=UNREADABLE if update.data else "")


def bring(turn: Turn, live: LiveAttempt, update: Update, report: AttemptReport | None, *, unreadable: str = "") -> None:
    """The same, with what was reported; `unreadable` says what it means for a success if nothing could be read."""
    before, after = live.state, next_state(live.state, update.observation)
    partitions.settle_doubt(turn, live, update.observation)
    if is_terminal(after):
        if after is AttemptState.SUCCEEDED and report is None and unreadable:
            # Where its outputs are is in there: a task without them has not succeeded.
            after, report = AttemptState.FAILED, AttemptReport(cause=Cause.AGENT, message=unreadable)
        attempts.end(turn, live, after, update, report)
        return
    turn.state.change_attempt(live, after)
    if after is not AttemptState.LAUNCHING:
        turn.state.timers.clear(Kind.LAUNCH, (live.attempt.id, 0))
    if after is not before:
        overdue.watch(turn, live)
    if after is not before or (after in _TOLD_MORE and (report is not None or unreadable)):
        attempts.progress(turn, live, update, report, changed=after is not before)


def on_unstorable(turn: Turn, event: Unstorable) -> None:
    """Take the bare state in. An attempt that succeeded has failed by this: its outputs cannot be written down."""
    update, message = event.update, f"what its executor reported cannot be stored: {event.reason}"
    bare = replace(update, data=None, message=message)
    live = turn.state.find_attempt(update.task_id)
    if live is not None and update.observation is Observation.FINISHED and not update.is_reconciliation:
        attempts.end(turn, live, AttemptState.FAILED, bare, AttemptReport(cause=Cause.OUTPUT, message=message))
    on_update(turn, bare)


def on_launch_refused(turn: Turn, event: LaunchRefused) -> None:
    """The shell could not put the attempt into words: it has failed by its specification."""
    live = turn.state.attempts.get(event.attempt_id)
    if live is not None and live.state is AttemptState.LAUNCHING:
        update = Update(task_id=live.attempt.slot_id, observation=Observation.ERROR, message=event.message)
        attempts.end(turn, live, AttemptState.FAILED, update, AttemptReport(cause=Cause.SPEC, message=event.message))


def find_report(turn: Turn, live: LiveAttempt, update: Update) -> AttemptReport | None:
    """The executor's report; None where there is none, or it cannot be read."""
    if not update.data:
        return None
    try:
        return AttemptReport.from_json(update.data)
    except InvalidInputError as error:
        turn.note_of(live.attempt, "warning", "report_unreadable", error=str(error))
        return None


def _counts(turn: Turn, live: LiveAttempt, update: Update) -> bool:
    """False for what must not be taken at its word."""
    if update.observation is Observation.ERROR and live.state is not AttemptState.LAUNCHING:
        # 'TASK_ERROR "Task has duplicate ID" carries the id of the task that is RUNNING and runs on' (surprise 15).
        turn.note_of(live.attempt, "warning", "error_of_running_task_ignored", message=update.message)
        return False
    if update.observation is Observation.ERROR and "duplicate ID" in update.message:
        turn.note_of(live.attempt, "warning", "duplicate_launch_ignored")
        return False
    if update.is_reconciliation and update.observation in REPORTED_ENDS:
        # The update that tells how it ended waits on its agent for an acknowledgement; this one has no data (M22).
        partitions.begin_doubt(turn, live)
        return False
    return True

"""What an update means of which the Mesos task is a slot that attempts share (ADR 23).

Its data tell of attempts, its state of the slot. Its end comes behind all news of its attempts: one without any never began.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from scheduler.core import attempts, partitions, reconciliation, slots, updates
from scheduler.core.effects import Acknowledge
from scheduler.core.events import Event, Unstorable, Update
from scheduler.core.slot import Slot
from scheduler.core.state import LiveAttempt
from scheduler.core.turn import Turn
from swath.domain.attempts import AttemptReport
from swath.domain.errors import InvalidInputError
from swath.domain.retries import Cause
from swath.domain.slots import SlotReport, Told, read_slot_report
from swath.domain.states import AttemptState, Observation

_NEVER_BEGAN = "its slot ended before its turn came"
_DOES_NOTHING = "its executor ended the slot without a word of its attempts"
_ENDS = frozenset({Observation.FINISHED, Observation.FAILED, Observation.KILLED})


def on_update(turn: Turn, update: Update) -> None:
    """Take the news in, then have it acknowledged; of an attempt that has its Mesos task to itself, as `updates` does."""
    slot = turn.state.slots.get(update.task_id)
    if slot is None or not slot.shared:
        updates.on_update(turn, update)
        return
    for live in turn.state.attempts_in(slot.id):
        live.answered = True
        reconciliation.on_answer(turn, live.attempt.id)
    if (report := read_slot_report(update.data)) is not None:
        _take_in(turn, slot, update, report)
    elif update.data:
        turn.note("error", "slot_report_unreadable", slot=slot.id, agent=slot.agent_id)
    _observe(turn, slot, update, report)
    if update.uuid is not None and update.agent_id is not None:
        turn.call(Acknowledge(agent_id=update.agent_id, task_id=update.task_id, uuid=update.uuid))


def divide(event: Event) -> list[Event]:
    """The same news in parts: what the database refuses, one attempt alone is to bear. The last part is acknowledged."""
    report = read_slot_report(event.data) if isinstance(event, Update) else None
    if report is None or not isinstance(event, Update) or len(report.told) < 2:
        return [event]
    datas = [part.to_json().encode() for part in report.divide()]
    parts = [replace(event, observation=Observation.RUNNING, uuid=None, data=data) for data in datas[:-1]]
    return [*parts, replace(event, data=datas[-1])]


def on_unstorable(turn: Turn, event: Unstorable) -> None:
    """Take the bare states in. What succeeded has failed by this: its outputs cannot be written down."""
    update, slot = event.update, turn.state.slots.get(event.update.task_id)
    if slot is None or not slot.shared:
        updates.on_unstorable(turn, event)
        return
    message = f"what its executor reported cannot be stored: {event.reason}"
    for told in report.told if (report := read_slot_report(update.data)) is not None else ():
        bare = AttemptReport(message=message)
        if told.state is Observation.FINISHED:
            told, bare = replace(told, state=Observation.FAILED), replace(bare, cause=Cause.OUTPUT)
        _tell(turn, slot, update, told, bare)
    on_update(turn, replace(update, data=None, message=message))


def _take_in(turn: Turn, slot: Slot, update: Update, report: SlotReport) -> None:
    for attempt_id in report.taken:
        slots.on_taken(turn, slot, attempt_id)
    for told in report.told:
        try:
            said = told.read()
        except InvalidInputError as error:
            turn.note("warning", "report_unreadable", attempt=told.attempt, error=str(error))
            said = None
        _tell(turn, slot, update, told, said)


def _tell(turn: Turn, slot: Slot, update: Update, told: Told, report: AttemptReport | None) -> None:
    """One attempt's news. What has ended does not change, and of other slots' attempts nobody tells here."""
    if told.attempt not in slot.attempts:
        return
    live = turn.state.attempts[told.attempt]
    slots.on_taken(turn, slot, told.attempt)
    if told.state in _ENDS:
        slot.ended += 1
        _note_run(turn, slot, live, report)
    news = replace(update, observation=told.state, source="SOURCE_EXECUTOR", message=told.message, uuid=None, data=None)
    updates.bring(turn, live, news, report, unreadable=updates.UNREADABLE)


def _note_run(turn: Turn, slot: Slot, live: LiveAttempt, report: AttemptReport | None) -> None:
    """A short attempt's first news is that of its end. How long it took, the end of the one before tells."""
    if report is None or report.started_at is None or report.ended_at is None:
        return
    begun_at, ended_at = map(datetime.fromisoformat, (report.started_at, report.ended_at))
    live.started_at = live.started_at or min(begun_at, turn.now)
    if (job := turn.state.jobs.get(live.attempt.job_id)) is not None:
        slots.note_pace(job, max(0.0, (ended_at - (slot.ended_at or begun_at)).total_seconds()))
    slot.ended_at = ended_at


def _observe(turn: Turn, slot: Slot, update: Update, report: SlotReport | None) -> None:
    """What Mesos says of the slot itself."""
    left = turn.state.attempts_in(slot.id)
    if not left:
        return
    if update.is_reconciliation and update.observation in updates.REPORTED_ENDS:
        # The update that tells how it ended waits on its agent for an acknowledgement.
        for live in left:
            partitions.begin_doubt(turn, live)
    elif update.observation in partitions.ALIVE or update.observation is Observation.KILLING:
        _see_alive(turn, left, update)
    elif update.observation in _ENDS:
        _end(turn, slot, left, update, report)
    elif update.observation is not Observation.ERROR or _is_unheard_of(slot, left, update):
        for live in left:
            updates.bring(turn, live, replace(update, data=None), None)


def _is_unheard_of(slot: Slot, left: Iterable[LiveAttempt], update: Update) -> bool:
    """An ERROR of a slot that is known to run is of another launch of it (surprise 15)."""
    heard = slot.ended or any(live.state is not AttemptState.LAUNCHING for live in left)
    return not heard and "duplicate ID" not in update.message


def _see_alive(turn: Turn, left: list[LiveAttempt], update: Update) -> None:
    """The slot runs: its attempts are where they were, as far as its reports say nothing else."""
    for live in left:
        if live.state is AttemptState.UNREACHABLE:
            was = Observation.STAGING if live.started_at is None else Observation.RUNNING
            updates.bring(turn, live, replace(update, observation=was, data=None), None)
        else:
            partitions.settle_doubt(turn, live, Observation.RUNNING)
    first = left[0]
    if update.is_reconciliation and first.state is AttemptState.LAUNCHING:  # now somebody waits for it to run
        updates.bring(turn, first, replace(update, observation=Observation.STAGING, data=None), None)


def _end(turn: Turn, slot: Slot, left: list[LiveAttempt], update: Update, report: SlotReport | None) -> None:
    """The slot's own end, or its executor's: what was not told of never began, as far as anybody knows."""
    by_executor = update.source == "SOURCE_EXECUTOR"
    asked = any(live.kills or live.kill_cause for live in left)
    refused = report is None or update.observation is Observation.FAILED
    idle = by_executor and refused and not (slot.ended or asked or update.reason)
    for place, live in enumerate(left):
        if idle:  # an executor that knows no slots, or is about to end: it must not be asked over and over
            said = AttemptReport(cause=Cause.AGENT, message=update.message or _DOES_NOTHING)
            updates.bring(turn, live, replace(update, observation=Observation.FAILED, data=None), said)
        elif live.kills or live.kill_cause is not None:
            updates.bring(turn, live, replace(update, observation=Observation.KILLED, data=None), None)
        elif by_executor or (place > 0 and live.state in (AttemptState.LAUNCHING, AttemptState.STAGING)):
            never = replace(update, observation=Observation.DROPPED, message=_NEVER_BEGAN, data=None)
            attempts.end(turn, live, AttemptState.LOST, never, None, why=Cause.UNBEGUN)
        else:  # it was its turn when the executor died
            updates.bring(turn, live, replace(update, data=None), None)

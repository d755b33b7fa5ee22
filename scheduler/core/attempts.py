"""The life of an attempt after its launch, and what its end means for its task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from scheduler.core import accounting, cooling, jobs, learned, maintenance, resting, retrying
from scheduler.core.events import Update
from scheduler.core.open_jobs import Job
from scheduler.core.state import LiveAttempt
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.attempts import AttemptReport
from swath.domain.changes import ChangeAttempt
from swath.domain.retries import OUR_DOING, Cause, End
from swath.domain.states import AttemptState, Desired, Observation, TaskState

_SILENT = AttemptReport()

# Of a task that the agent, not its executor, has ended. An executor's own end is not the task's fault.
_CAUSES_BY_REASON = {
    "REASON_CONTAINER_LIMITATION_MEMORY": Cause.OOM,
    "REASON_CONTAINER_LIMITATION_DISK": Cause.DISK,
}

# TASK_ERROR that is our own doing, not the task's (M19): an offer that shrank, an executor that came or went meanwhile.
_OWN_ERRORS = ("ExecutorInfo is not compatible", "is more than available", "duplicate ID")


def progress(turn: Turn, live: LiveAttempt, update: Update, report: AttemptReport | None, *, changed: bool) -> None:
    """The attempt is in another state that is not its end, or its executor has said more of it."""
    said = report or _SILENT
    if live.state is AttemptState.RUNNING and live.started_at is None:
        live.started_at = _to_time(said.started_at) or turn.now
    turn.write(
        ChangeAttempt(
            attempt_id=live.attempt.id,
            state=live.state,
            started_at=live.started_at,
            sandbox=said.sandbox,
            runtime=said.runtime,
            message=_find_message(live, update, said, changed=changed),
            unreachable_at=live.unreachable_at,
            report=_rest_of(said) if said.warnings or said.usage else None,
        )
    )
    job = turn.state.jobs.get(live.attempt.job_id)
    if changed and job is not None:
        _show_start(turn, job, live)
        message = {"message": update.message} if live.state is AttemptState.UNREACHABLE and update.message else {}
        told = {"task": live.attempt.task_index, "attempt": live.attempt.id, "state": live.state}
        turn.tell(job.id, "attempt.state", **told, **message)


def _find_message(live: LiveAttempt, update: Update, said: AttemptReport, *, changed: bool) -> str | None:
    """What people are told of an attempt that goes on; "" where what was told last does not hold any more."""
    if live.state is AttemptState.UNREACHABLE or (live.state is AttemptState.STAGING and said is not _SILENT):
        return said.message or update.message or None
    return said.message or ("" if changed and live.state is AttemptState.RUNNING else None)


def end(
    turn: Turn,
    live: LiveAttempt,
    state: AttemptState,
    update: Update,
    report: AttemptReport | None,
    *,
    why: Cause | None = None,
) -> None:
    """The attempt has ended in `state`, for good. Its outputs are official with the commit of this turn (DESIGN.md 1).

    `why` it did not succeed, where that is known better than an update says.
    """
    said = report or _SILENT
    cause = None if state is AttemptState.SUCCEEDED else why or _find_cause(live, state, update, said)
    message = said.message or update.message
    turn.state.change_attempt(live, state)
    if cause is not None:
        turn.note_of(live.attempt, "info", "attempt_ended", state=state, cause=cause, reason=message)
    _forget(turn, live)
    accounting.on_end(turn, live, cause, said, _to_time(said.ended_at))
    turn.write(
        ChangeAttempt(
            attempt_id=live.attempt.id,
            state=state,
            started_at=live.started_at or _to_time(said.started_at),
            ended_at=_to_time(said.ended_at) or turn.now,
            sandbox=said.sandbox,
            runtime=said.runtime,
            cause=cause,
            exit_code=said.exit_code,
            error=said.error,
            message=message or None,
            output_dir=said.output_dir if state is AttemptState.SUCCEEDED else None,
            outputs=[asdict(entry) for entry in said.outputs] if state is AttemptState.SUCCEEDED else None,
            report=_rest_of(said) if report is not None else None,
        )
    )
    job = turn.state.jobs.get(live.attempt.job_id)
    if job is None:
        return
    cooling.on_end(turn, live, job, cause)
    resting.on_end(turn, live, job, cause)
    learned.on_end(turn, live, job, None if cause is None else _to_end(cause, said))
    if live.attempt.task_index in job.tasks:
        _end_task_attempt(turn, job, live, cause, said, message)


def _end_task_attempt(
    turn: Turn, job: Job, live: LiveAttempt, cause: Cause | None, said: AttemptReport, message: str
) -> None:
    """The task succeeds, is cancelled, waits for its next attempt, or has failed."""
    index = live.attempt.task_index
    job.running.pop(index, None)
    task = replace(
        job.tasks[index],
        cause=cause,
        exit_code=said.exit_code,
        message=message or None,
        started_at=job.tasks[index].started_at or live.started_at or _to_time(said.started_at),
    )
    further: Mapping[str, Any] = {}
    if cause is None:
        ended_at = _to_time(said.ended_at) or turn.now
        maintenance.note_run(turn.state, job, live, min(ended_at, turn.now))
        after = replace(
            task, state=TaskState.SUCCEEDED, winner_attempt=live.attempt.id, ended_at=ended_at, message=None
        )
    elif job.desired is Desired.CANCELLED:
        after = replace(task, state=TaskState.CANCELLED, ended_at=turn.now)
    else:
        after, further = retrying.decide(turn, job, live, task, _to_end(cause, said))
    jobs.put_task(turn, job, after, TaskState.ACTIVE)
    turn.tell(
        job.id,
        "task.state",
        task=index,
        state=after.state,
        attempt=live.attempt.id,
        attempt_state=live.state,
        **({} if cause is None else {"cause": cause, "exit_code": said.exit_code, "message": message}),
        **further,
    )


def _to_end(cause: Cause, said: AttemptReport) -> End:
    return End(cause=cause, exit_code=said.exit_code, error=said.error)


def _find_cause(live: LiveAttempt, state: AttemptState, update: Update, said: AttemptReport) -> Cause:
    """Why the attempt did not succeed: as its executor says, else by what Mesos says."""
    if state is AttemptState.LOST:
        lost = Cause.DRAINED if _is_drained(live, update) else Cause.LOST
        return Cause.DROPPED if update.observation is Observation.DROPPED else lost
    if state is AttemptState.KILLED:
        return _find_killer(live, update)
    if said.cause is not None:
        return Cause.AGENT if said.cause in OUR_DOING else said.cause  # what only we decide, no executor reports
    if update.observation is Observation.ERROR:
        return Cause.DROPPED if any(words in update.message for words in _OWN_ERRORS) else Cause.SPEC
    if update.source == "SOURCE_EXECUTOR":
        return Cause.APP
    return _CAUSES_BY_REASON.get(update.reason, Cause.AGENT)


def _find_killer(live: LiveAttempt, update: Update) -> Cause:
    """Whose decision its end was; of several the first."""
    if live.kill_cause is not None:
        return live.kill_cause
    if _is_drained(live, update):
        return Cause.DRAINED
    return Cause.KILLED if live.kills else Cause.AGENT  # else the kill is the platform's


def _is_drained(live: LiveAttempt, update: Update) -> bool:
    """ "DRAIN_AGENT kills count as free retries" (M32), whether Mesos or we have emptied the agent."""
    return live.kill_cause is Cause.DRAINED or (update.reason == "REASON_AGENT_DRAINING" and not live.kills)


def _forget(turn: Turn, live: LiveAttempt) -> None:
    """The attempt's resources are free: with work waiting that is a reason to ask for offers (M28)."""
    state, attempt = turn.state, live.attempt
    for kind in (Kind.LAUNCH, Kind.OVERDUE, Kind.KILL, Kind.DOUBT):
        state.timers.clear(kind, (attempt.id, 0))
    use = state.uses[attempt.agent_id]
    if state.remove_attempt(attempt):
        use.freed_at, state.freed = turn.now, True


def _show_start(turn: Turn, job: Job, live: LiveAttempt) -> None:
    """The task has started with the first of its attempts that did."""
    task = job.tasks.get(live.attempt.task_index)
    if task is not None and task.started_at is None and live.started_at is not None:
        job.tasks[task.index] = started = replace(task, started_at=live.started_at)
        turn.write(started)


def _rest_of(said: AttemptReport) -> dict[str, Any]:
    """What has no column of its own."""
    return {"usage": dict(said.usage), "json_outputs": dict(said.json_outputs), "warnings": list(said.warnings)}


def _to_time(text: str | None) -> datetime | None:
    """The executor's clock reading; None where it makes no sense, for a report must never stop the scheduler."""
    try:
        at = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None

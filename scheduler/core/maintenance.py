"""Maintenance windows: nothing is placed that would outlast a window's start, and inverse offers are answered (M32)."""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime

from scheduler.core import agents
from scheduler.core.effects import AnswerInverse
from scheduler.core.events import InverseOffered
from scheduler.core.open_jobs import Job
from scheduler.core.state import LiveAttempt, State
from scheduler.core.turn import Turn
from swath.domain import duration
from swath.domain.changes import PutAgent

_KINDS = 10_000  # image versions and projects of which it is remembered how long their attempts run
ASK_AGAIN_S = 30.0  # "inverse offers come again after their filter even when accepted" (surprise 46)


def on_inverse_offered(turn: Turn, event: InverseOffered) -> None:
    """Accept where nothing of ours would still run, decline where something would; what runs on is killed and tried again."""
    for offer in event.offers:
        agents.on_window(turn, offer)
    ends = _find_ends(turn, {offer.agent_id for offer in event.offers})
    free = {o.id: o.agent_id not in ends or ends[o.agent_id] <= o.unavailable_from for o in event.offers}
    for accept in (True, False):
        offer_ids = tuple(offer_id for offer_id, is_free in free.items() if is_free is accept)
        if offer_ids:
            turn.call(AnswerInverse(accept=accept, offer_ids=offer_ids, refuse_s=ASK_AGAIN_S))


def follow(state: State, job: Job) -> None:
    """Take in what the database knows of the job, and of those like it."""
    _note_alike(state, job, job.record.alike_s)
    _note_alike(state, job, job.longest_run_s)


def note_run(state: State, job: Job, live: LiveAttempt, ended_at: datetime) -> None:
    """An attempt has succeeded: its job's next ones, and new jobs like it, may take about as long. When nobody led counts
    for nothing.
    """
    if live.started_at is not None:
        job.longest_run_s = max(job.longest_run_s or 0.0, (ended_at - live.started_at).total_seconds())
        _note_alike(state, job, job.longest_run_s)


def _note_alike(state: State, job: Job, run_s: float | None) -> None:
    if run_s is None:
        return
    state.runs[_kind_of(job)] = max(run_s, state.runs.get(_kind_of(job), 0.0))
    if len(state.runs) > _KINDS:
        del state.runs[next(iter(state.runs))]


def _kind_of(job: Job) -> tuple[int, str]:
    return job.record.image.id, job.record.project


def expected_s(state: State, job: Job) -> float:
    """How long an attempt of the job is expected to run."""
    alike_s = state.runs.get(_kind_of(job)) if job.longest_run_s is None else None
    return duration.expected_s(job.record.spec, job.record.image.manifest, job.longest_run_s, alike_s)


def left_s(state: State, live: LiveAttempt, now: datetime) -> float:
    """In how many seconds the attempt is expected to end; whose job nobody knows is being killed already."""
    job = state.jobs.get(live.attempt.job_id)
    return 0.0 if job is None else duration.left_s(expected_s(state, job), age_s(live, now))


def age_s(live: LiveAttempt, now: datetime) -> float:
    """Seconds since the attempt began to run, or was launched."""
    return (now - (live.started_at or live.attempt.launched_at)).total_seconds()


def closes_in_s(info: PutAgent, now: datetime) -> float | None:
    """Seconds until the agent's window begins, 0 within it; None where there is none, or it is over."""
    if info.unavailable_from is None or (info.unavailable_until is not None and info.unavailable_until <= now):
        return None
    return max(0.0, (info.unavailable_from - now).total_seconds())


def _find_ends(turn: Turn, agents: Container[str]) -> dict[str, datetime]:
    """When the last of our attempts on each of the agents may end; nothing for one without any."""
    ends: dict[str, datetime] = {}
    for live in turn.state.attempts.values():
        agent_id = live.attempt.agent_id
        if agent_id in agents:
            by = turn.after(left_s(turn.state, live, turn.now))
            ends[agent_id] = max(by, ends.get(agent_id, by))
    return ends

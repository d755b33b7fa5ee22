"""Every wait has a reason, in one sentence with numbers (DESIGN.md 4.8), written when it changes and not too often."""

from __future__ import annotations

from collections.abc import Iterable

from scheduler.core import demands, dependencies
from scheduler.core.open_jobs import Job
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.matching.cluster import Cluster, Columns
from swath.matching.explain import explain
from swath.matching.limits import Limits
from swath.matching.model import Leftover
from swath.matching.plan import wants_gpus
from swath.matching.reasons import Reason

FIRST_S = 0.3  # after a job begins to wait: offers may be on their way
JOBS_PER_S = 1000  # with more waiting jobs it is looked at less often
SAME_KIND_S = 15.0  # a sentence in which only the figures change is written so often


def note_leftovers(turn: Turn, leftovers: Iterable[Leftover]) -> None:
    """Remember which jobs freed resources would not help."""
    hopeless: dict[str, bool] = {}
    for leftover in leftovers:
        job_id = leftover.demand.job
        hopeless[job_id] = hopeless.get(job_id, True) and leftover.reason.hopeless
    for job_id, is_hopeless in hopeless.items():
        turn.state.jobs[job_id].hopeless = is_hopeless


def schedule(turn: Turn) -> None:
    """Look at the reasons soon, once something waits."""
    if (turn.state.waiting or turn.state.followed) and turn.state.timers.find(Kind.WHY) is None:
        turn.set_timer(Kind.WHY, FIRST_S)


def refresh(turn: Turn) -> None:
    """Bring the reasons of all waiting jobs up to date."""
    state = turn.state
    _refresh_blocked(turn)
    if not state.waiting:
        return
    waiting = demands.make_demands(state, turn.now)
    limits = Limits(demands.make_tenants(state, turn.now))
    columns = Columns(demand.resources for demand in waiting)
    cluster = Cluster(demands.make_views(state, turn.now), columns, keep_gpus=wants_gpus(waiting, limits))
    for job_id in state.waiting:
        job = state.jobs[job_id]
        if job.waiting:  # it may have been cancelled, or started, in this very turn
            kind, sentence = _find_reason(turn, job, cluster, limits)
            _put(turn, job, kind, sentence)
    turn.set_timer(Kind.WHY, max(state.settings.why_s, len(state.waiting) / JOBS_PER_S))


def _refresh_blocked(turn: Turn) -> None:
    """Bring the figures up to date of what is waited for in other jobs."""
    state = turn.state
    blocked = {name: None for followed in state.followed.values() for name in followed.dependents}
    for job in (state.jobs[job_id] for job_id in blocked):
        if not job.waiting and (sentence := resting_reason(turn, job)) is not None:
            _put(turn, job, "Blocked", sentence)
    if blocked:
        turn.set_timer(Kind.WHY, max(turn.state.settings.why_s, len(blocked) / JOBS_PER_S))


def resting_reason(turn: Turn, job: Job) -> str | None:
    """Why a job none of whose tasks could start now has tasks that have not started."""
    told = [_held_reason(job), dependencies.why_waiting(turn.state, job)]
    if any(told):
        return "; ".join(filter(None, told))
    if job.counts.active or not job.counts.pending:
        return None
    resting = job.find_resting(turn.now)
    if resting is None:
        return None
    count, first_at = resting
    first = first_at.isoformat(timespec="seconds").replace("+00:00", "Z")
    return f"{count} task{'' if count == 1 else 's'} failed and will be tried again, the first at {first}"


def _held_reason(job: Job) -> str | None:
    if job.held_until is None:
        return None
    return f"not to start before {job.held_until.isoformat(timespec='seconds').replace('+00:00', 'Z')}"


def _find_reason(turn: Turn, job: Job, cluster: Cluster, limits: Limits) -> tuple[str, str]:
    """The kind of the reason, and its sentence."""
    if turn.state.outside is not None:
        return "Outside", turn.state.outside
    if not turn.state.connected:
        return "NotConnected", "the scheduler is not connected to a Mesos master"
    if job.room == 0:
        running = job.counts.active
        return "LimitReached", f"{running} task{' runs' if running == 1 else 's run'}, as many as max_running allows"
    wanted = demands.demands_of(turn.state, job, turn.now)
    reasons = [limits.reason(demand) or explain(cluster, demand) for demand in wanted]
    job.hopeless = all(reason.hopeless for reason in reasons)
    reason: Reason = max(reasons, key=lambda reason: reason.hopeless)
    return type(reason).__name__, str(reason)


def _put(turn: Turn, job: Job, kind: str, sentence: str) -> None:
    if sentence == job.wait_reason:
        return
    fresh = job.reason_at is not None and (turn.now - job.reason_at).total_seconds() < SAME_KIND_S
    if fresh and kind == job.reason_kind and job.wait_reason is not None:
        return
    job.wait_reason, job.reason_kind, job.reason_at = sentence, kind, turn.now
    turn.touch(job)

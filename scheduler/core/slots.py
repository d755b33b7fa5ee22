"""Slots that several attempts of a job share: who may, how far ahead work is handed over, and what is done again (ADR 23)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from scheduler.core import beginning, cooling, demands, maintenance, reconciliation
from scheduler.core.beginning import RESEND_S
from scheduler.core.effects import HandOver, Launch
from scheduler.core.known_agents import Agent
from scheduler.core.open_jobs import Job
from scheduler.core.slot import Slot
from scheduler.core.state import State
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.backoff import back_off_s
from swath.domain.constraints import SPREADING
from swath.domain.states import AttemptState
from swath.matching.reasons import QuotaReached

AHEAD_S = 2.0  # of work is handed over before its turn: news may be a fifth of a second old, and a turn takes its time
FEWEST, FIRST, MOST = 2, 8, 128  # attempts in a slot; at the beginning; at the most
ARRIVES_S = 0.1  # a message takes so long: where less is left to do, the slot would end before
SHORT_S = 30.0  # whose tasks take longer gains nothing
SEEN, SEEN_S = 10, 5.0  # tasks of a job that says nothing, and how long they may have taken, for the others to share
AMONG_OTHERS_S = 10.0  # for which a slot gets work while other jobs wait; then the matcher decides anew
ALONE_S = 300.0  # the same while none does
LONGEST_RESEND_S = 60.0
HANDED = 2000  # attempts in one turn: a bound on the size of its transaction


def may_share(job: Job) -> bool:
    """True for a job whose attempts run in slots, several in a row."""
    spec = job.record.spec
    limited = spec.max_running is not None or job.record.resources.ports
    spreads = any(rule.operator in SPREADING for rule in spec.constraints)
    long = (_find_pace_s(job) or 0.0) > SHORT_S
    return _is_short(job) and job.record.size > 1 and not (job.is_interactive or limited or spreads or long)


def _is_short(job: Job) -> bool:
    """As its user says; else by experience, which is to be more than a few lucky ones."""
    if (said := job.record.spec.short) is not None:
        return said
    return job.counts.succeeded >= SEEN and job.longest_run_s is not None and job.longest_run_s <= SEEN_S


def find_depth(job: Job) -> int:
    """How many attempts a slot of the job is to have, the present one included."""
    pace_s = _find_pace_s(job)
    return FIRST if pace_s is None else max(FEWEST, min(MOST, math.ceil(AHEAD_S / max(pace_s, 0.001))))


def _find_pace_s(job: Job) -> float | None:
    """Seconds that an attempt takes: of late, or as far as anybody can tell; None where nobody can."""
    return job.pace_s or job.longest_run_s or job.record.spec.expected_s


def share_of(job: Job, slots: int) -> int:
    """As many of the waiting tasks as each of so many slots gets, if all are treated alike."""
    return max(1, math.ceil(job.waiting / max(1, slots)))


def note_pace(job: Job, run_s: float) -> None:
    """An attempt in a slot took so long."""
    job.pace_s = run_s if job.pace_s is None else 0.9 * job.pace_s + 0.1 * run_s


@dataclass(frozen=True, kw_only=True, slots=True)
class _Waiting:
    """The jobs that what slots hold would help: looked for once a turn, for there may be as many slots as jobs."""

    jobs: frozenset[str]
    at_screens: frozenset[str]  # those among them for whom somebody waits at a screen

    @classmethod
    def among(cls, state: State) -> _Waiting:
        jobs = [job for job in map(state.jobs.__getitem__, state.waiting) if _wants_room(job)]
        at_screens = frozenset(job.id for job in jobs if job.is_interactive)
        return cls(jobs=frozenset(job.id for job in jobs), at_screens=at_screens)


def refill(turn: Turn) -> None:
    """Hand more work over to slots in which attempts have ended."""
    state, left = turn.state, HANDED
    waiting = _Waiting.among(state) if state.hungry else None
    for slot_id in list(state.hungry):
        if left <= 0:
            turn.set_timer(Kind.PLACE, 0)
            return
        del state.hungry[slot_id]
        slot = state.slots[slot_id]
        job, agent = state.jobs.get(slot.job_id), state.agents.get(slot.agent_id)
        if waiting and job is not None and agent is not None and _may_go_on(turn, slot, job, agent, waiting):
            left -= _refill(turn, slot, job, agent)


def _refill(turn: Turn, slot: Slot, job: Job, agent: Agent) -> int:
    depth, here = find_depth(job), len(slot.attempts)
    if here > depth // 2 or (job.pace_s is not None and here * job.pace_s < ARRIVES_S):
        return 0
    count = min(depth - here, share_of(job, len(turn.state.shared[job.id])))
    indices = beginning.take(turn, job, slot.resources, count, slot.agent_id)
    launches = tuple(beginning.launch(turn, agent, job, index, slot.resources, slot.id) for index in indices)
    if launches:
        _hand_over(turn, slot, launches)
    return len(launches)


def _hand_over(turn: Turn, slot: Slot, launches: tuple[Launch, ...], *, again: bool = False) -> None:
    to = {"agent_id": slot.agent_id, "executor_id": slot.executor_id, "slot_id": slot.id}
    turn.call(HandOver(**to, launches=launches, again=again))


def _may_go_on(turn: Turn, slot: Slot, job: Job, agent: Agent, waiting: _Waiting) -> bool:
    """False where the slot is to run out: the matcher decides anew what its resources are for."""
    state = turn.state
    if slot.closing or not state.connected or state.is_leaving or state.gone or not may_share(job):
        return False
    if slot.executor_id != state.settings.executor_id:  # of the version before: it is to run out
        return False
    if demands.find_shut(state, agent) is not None or maintenance.closes_in_s(agent.info, turn.now) is not None:
        return False
    if slot.agent_id in cooling.avoided(state, job) or not job.waiting:
        return False
    if _has_other(waiting.at_screens, job.id):
        return False
    lasts_s = AMONG_OTHERS_S if _has_other(waiting.jobs, job.id) else ALONE_S
    if turn.now - slot.opened_at > timedelta(seconds=lasts_s):
        return False
    return not any(
        demands.is_ending(live) or live.doubtful or live.state is AttemptState.UNREACHABLE
        for live in state.attempts_in(slot.id)
    )


def _has_other(jobs: frozenset[str], job_id: str) -> bool:
    return len(jobs) > (job_id in jobs)


def _wants_room(job: Job) -> bool:
    """False where what a slot holds would not help the job, which waits all the same: for its quota, say."""
    return not job.hopeless and job.room != 0 and job.reason_kind != QuotaReached.__name__


def close_all(state: State) -> None:
    """No slot that is open gets more work: what it was launched by has changed."""
    for slots in state.shared.values():
        for slot_id in slots:
            state.slots[slot_id].closing = True


def on_taken(turn: Turn, slot: Slot, attempt_id: str) -> None:
    """The slot's executor has it."""
    slot.tries = 0
    slot.untaken.pop(attempt_id, None)
    if not slot.untaken:
        turn.state.timers.clear(Kind.WORK, (slot.id, 0))


def on_untaken(turn: Turn, slot_id: str) -> None:
    """A message may have been lost, or the slot: hand over again what was not taken, and ask what became of the slot."""
    state, slot = turn.state, turn.state.slots.get(slot_id)
    if slot is None or not slot.untaken:
        return
    job = state.jobs.get(slot.job_id)
    lives = [state.attempts[attempt_id] for attempt_id in slot.untaken]
    if not state.connected:
        turn.set_timer(Kind.WORK, RESEND_S, (slot_id, 0))
        return
    if job is not None and not any(map(demands.is_ending, lives)):
        _hand_over(turn, slot, tuple(Launch(attempt=live.attempt, job=job.record) for live in lives), again=True)
    reconciliation.ask(turn, lives[0].attempt.id)
    slot.tries += 1
    turn.set_timer(Kind.WORK, back_off_s(RESEND_S, slot.tries, longest_s=LONGEST_RESEND_S), (slot_id, 0))

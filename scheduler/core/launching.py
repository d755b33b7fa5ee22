"""From a plan to attempts: write ahead first, then one ACCEPT an agent (M15, M17)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby

from scheduler.core import beginning, demands, kills, offers, slots, why
from scheduler.core.effects import Accept, Decline, Launch
from scheduler.core.known_agents import Agent
from scheduler.core.open_jobs import Job
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.resources import Resources
from swath.matching.model import Placement, Policy, Preemption
from swath.matching.plan import plan

LAUNCHES = (
    1000  # in one turn, or a few more: a bound on the size of its transaction, and on how long the lease has to wait
)
LOOK_S = 1.0  # between two plans while somebody waits at a screen, whether anything is offered or not
SHARES_S = 10.0  # between two in which resources are taken back for projects below their fair share
KEPT_REFUSE_S = 1.0  # what is left of an agent that is kept for somebody: more of it may be free soon
HOLD_S = 5.0  # offers that are left for the next turn are never held for longer (M29)


def place(turn: Turn) -> None:
    """Use every offer at hand: launch on it or decline it, now, or where there is too much to launch in the next turns."""
    state = turn.state
    offering = state.agents_with_offers()
    if not offering:
        state.held_since = None
    if not state.connected or (not offering and not state.look):
        return
    state.look = False
    result = plan(
        demands.make_views(state, turn.now),
        demands.make_demands(state, turn.now),
        tenants=demands.make_tenants(state, turn.now),
        work=demands.make_work(state, turn.now),
        policy=_choose_policy(turn),
        claims=state.claims,
        most=LAUNCHES,
    )
    state.claims = result.claims
    refusals = _Refusals(kept=frozenset(claim.agent for claim in result.claims), cut=result.cut)
    launch_plan(turn, result.placements, refusals)
    if not _may_hold(turn, wanted=result.cut):
        _decline(turn, offering, refusals)
    _preempt(turn, result.preemptions)
    why.note_leftovers(turn, result.leftovers)


def look(turn: Turn) -> None:
    """Plan in this turn even if nothing is offered: on a full cluster nothing ever is."""
    turn.state.look = True


def look_again(turn: Turn) -> None:
    """Have it looked at again while somebody waits who may take resources back."""
    state = turn.state
    waiting = [state.jobs[job_id] for job_id in state.waiting]
    if any(job.is_interactive for job in waiting):
        pause_s = LOOK_S
    elif len({job.record.project for job in waiting} | {project for project, _ in state.held}) > 1:
        pause_s = SHARES_S
    else:
        state.timers.clear(Kind.LOOK)
        return
    at, known = turn.after(pause_s), state.timers.find(Kind.LOOK)
    if known is None or known > at:
        state.timers.set(Kind.LOOK, at)


def _choose_policy(turn: Turn) -> Policy:
    """As it is set; resources are taken back for fair shares only once in a while, for every time costs work done."""
    state = turn.state
    due = state.shares_at is None or (turn.now - state.shares_at).total_seconds() >= SHARES_S
    policy = state.settings.policy
    return policy if due or not policy.preempt_for_share else replace(policy, preempt_for_share=False)


def _preempt(turn: Turn, preemptions: Iterable[Preemption]) -> None:
    """Ask for the end of those that have to go."""
    for preemption in preemptions:
        live = turn.state.attempts.get(preemption.attempt)
        if live is None:
            continue
        if preemption.for_share:
            turn.state.shares_at = turn.now
        kills.preempt(turn, preemption.attempt)
        told = {"task": live.attempt.task_index, "attempt": live.attempt.id, "for": preemption.demand.job}
        turn.tell(live.attempt.job_id, "attempt.preempted", **told)
        turn.note_of(live.attempt, "info", "attempt_preempted", for_job=preemption.demand.job)


def _may_hold(turn: Turn, *, wanted: bool) -> bool:
    """Have the next turn begin at once where offers are `wanted` for it; False when turns have left some for too long."""
    state = turn.state
    since = state.held_since or turn.now
    allowed = wanted and (turn.now - since).total_seconds() <= HOLD_S
    state.held_since = since if allowed else None
    if allowed:
        turn.set_timer(Kind.PLACE, 0)
    return allowed


@dataclass(frozen=True, kw_only=True, slots=True)
class _Refusals:
    """For how long what is left of an agent's offers is refused."""

    kept: frozenset[str] = frozenset()  # agents that are kept for somebody
    cut: bool = False  # the next turn has more to place: nothing is refused that it could use

    def choose_s(self, turn: Turn, agent: Agent) -> float:
        """Seconds; 0 until the master's next tick."""
        if self.cut:
            return 0.0
        if agent.info.agent_id in self.kept:
            return KEPT_REFUSE_S
        rests = agent.rests_until
        return turn.state.settings.refuse_s if rests is None else (rests - turn.now).total_seconds()


def _decline(turn: Turn, agents: Iterable[Agent], refusals: _Refusals) -> None:
    """Give back what is left of their offers; one DECLINE for all that are refused for as long."""
    unused: dict[float, list[str]] = {}
    for agent in agents:
        if agent.offers:
            refuse_s = refusals.choose_s(turn, agent)
            unused.setdefault(refuse_s, []).extend(agent.offers)
            offers.note_filter(turn, agent.info.agent_id, refuse_s)
            agent.offers.clear()
    for refuse_s, offer_ids in unused.items():
        turn.call(Decline(offer_ids=tuple(offer_ids), refuse_s=refuse_s))


def launch_plan(turn: Turn, placements: Iterable[Placement], refusals: _Refusals | None = None) -> None:
    """Launch the placements, agent by agent, as far as the offers at hand really cover them."""
    refusals = refusals or _Refusals()
    by_agent = sorted(placements, key=lambda placement: placement.agent)
    slots_left = Counter[str]()
    for placement in by_agent:
        slots_left[placement.demand.job] += placement.count
    most = max(1, LAUNCHES // max(1, slots_left.total()))  # in each slot
    for agent_id, group in groupby(by_agent, key=lambda placement: placement.agent):
        agent = turn.state.agents.get(agent_id)
        if agent is not None and agent.offers:
            _launch_on(turn, agent, list(group), refusals.choose_s(turn, agent), slots_left, most)


def _launch_on(
    turn: Turn, agent: Agent, placements: list[Placement], refuse_s: float, slots_left: Counter[str], most: int
) -> None:
    """Verify the placements against the agent's offers as they are now, and launch what they cover."""
    settings = turn.state.settings
    there = any(settings.executor_id in offer.executor_ids for offer in agent.offers.values())
    left = agent.offered if there else agent.offered - settings.executor_resources
    launches: list[Launch] = []
    for placement in placements:
        job = turn.state.jobs[placement.demand.job]
        room = placement.count if job.room is None else min(placement.count, job.room)
        count = min(room, placement.demand.resources.count_in(left)) if Resources().fits_in(left) else 0
        depth = min(most, _find_depth(job, slots_left))
        slots_left[job.id] -= placement.count
        indices = beginning.take(turn, job, placement.demand.resources, count * depth, agent.info.agent_id)
        begun = _begin(turn, agent, job, indices, placement.demand.resources, count)
        left -= placement.demand.resources.scaled(len({launch.attempt.slot_id for launch in begun}))
        launches += begun
    if launches:
        accept = Accept(
            agent_id=agent.info.agent_id,
            offer_ids=tuple(agent.offers),
            launches=tuple(launches),
            refuse_s=refuse_s,
        )
        turn.call(accept)
        agent.offers.clear()
        if refuse_s and left != Resources():
            offers.note_filter(turn, agent.info.agent_id, refuse_s)


def _find_depth(job: Job, slots_left: Counter[str]) -> int:
    """How many attempts each slot of the job begins with; 1 for a job whose attempts have each a Mesos task to itself."""
    if not slots.may_share(job):
        return 1
    return min(slots.find_depth(job), slots.share_of(job, slots_left[job.id]))


def _begin(turn: Turn, agent: Agent, job: Job, indices: list[int], resources: Resources, count: int) -> list[Launch]:
    """Record an attempt of each of these tasks, in `count` slots at most."""
    if not slots.may_share(job):
        return [beginning.launch(turn, agent, job, index, resources) for index in indices]
    hands = [indices[place::count] for place in range(min(count, len(indices)))]
    return [
        beginning.launch(turn, agent, job, index, resources, slot_id)
        for hand in hands
        for slot_id in (turn.state.make_id(turn.now),)
        for index in hand
    ]

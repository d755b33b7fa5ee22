"""From a plan to attempts: write ahead first, then one ACCEPT an agent (M15, M17)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby

from scheduler.core import cooling, demands, jobs, offers, ports, why
from scheduler.core.effects import Accept, Decline, Launch
from scheduler.core.state import Agent, Job
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.attempts import Attempt
from swath.domain.changes import AddAttempt, PutTask
from swath.domain.resources import Resources
from swath.domain.states import TaskState
from swath.matching.model import Placement
from swath.matching.plan import plan

LAUNCHES = (
    1000  # in one turn, or a few more: a bound on the size of its transaction, and on how long the lease has to wait
)
HOLD_S = 5.0  # offers that are left for the next turn are never held for longer (M29)


def place(turn: Turn) -> None:
    """Use every offer at hand: launch on it or decline it, now, or where there is too much to launch in the next turns."""
    offering = turn.state.agents_with_offers()
    if not offering:
        turn.state.held_since = None
        return
    result = plan(demands.make_views(turn.state, turn.now), demands.make_demands(turn.state))
    first, later = _divide(result.placements)
    wanted = {placement.agent for placement in later}
    launch_plan(turn, first, wanted)
    held = wanted if _may_hold(turn, wanted) else set()
    _decline(turn, [agent for agent in offering if agent.info.agent_id not in held], wanted)
    why.note_leftovers(turn, result.leftovers)


def _divide(placements: tuple[Placement, ...]) -> tuple[list[Placement], list[Placement]]:
    """What to launch now, the first demands first, and what in another turn."""
    first: list[Placement] = []
    later: list[Placement] = []
    room = LAUNCHES
    for placement in placements:
        now = min(room, placement.count)
        room -= now
        if now:
            first.append(replace(placement, count=now))
        if now < placement.count:
            later.append(placement)
    return first, later


def _may_hold(turn: Turn, wanted: set[str]) -> bool:
    """Have the next turn begin at once where offers are `wanted` for it; False when turns have left some for too long."""
    state = turn.state
    since = state.held_since or turn.now
    allowed = bool(wanted) and (turn.now - since).total_seconds() <= HOLD_S
    state.held_since = since if allowed else None
    if allowed:
        turn.set_timer(Kind.PLACE, 0)
    return allowed


def _decline(turn: Turn, agents: list[Agent], wanted: set[str]) -> None:
    """Give back what is left of their offers; one DECLINE for all that are refused for as long."""
    unused: dict[float, list[str]] = {}
    for agent in agents:
        if agent.offers:
            refuse_s = _choose_refuse_s(turn, agent, wanted)
            unused.setdefault(refuse_s, []).extend(agent.offers)
            offers.note_filter(turn, agent.info.agent_id, refuse_s)
            agent.offers.clear()
    for refuse_s, offer_ids in unused.items():
        turn.call(Decline(offer_ids=tuple(offer_ids), refuse_s=refuse_s))


def _choose_refuse_s(turn: Turn, agent: Agent, wanted: set[str]) -> float:
    """As long as the agent rests; not at all (until the next tick) where something only waits for its turn."""
    if agent.info.agent_id in wanted:
        return 0.0
    rests = agent.rests_until
    return turn.state.settings.refuse_s if rests is None else (rests - turn.now).total_seconds()


def launch_plan(turn: Turn, placements: Iterable[Placement], wanted: set[str]) -> None:
    """Launch the placements, agent by agent, as far as the offers at hand really cover them.

    What is left of agents that are `wanted` for more is not refused.
    """
    by_agent = sorted(placements, key=lambda placement: placement.agent)
    for agent_id, group in groupby(by_agent, key=lambda placement: placement.agent):
        agent = turn.state.agents.get(agent_id)
        if agent is not None and agent.offers:
            refuse_s = 0.0 if agent_id in wanted else turn.state.settings.refuse_s
            _launch_on(turn, agent, list(group), refuse_s)


def _launch_on(turn: Turn, agent: Agent, placements: list[Placement], refuse_s: float) -> None:
    """Verify the placements against the agent's offers as they are now, and launch what they cover."""
    settings = turn.state.settings
    there = any(settings.executor_id in offer.executor_ids for offer in agent.offers.values())
    left = agent.offered if there else agent.offered - settings.executor_resources
    launches: list[Launch] = []
    for placement in placements:
        job = turn.state.jobs[placement.demand.job]
        room = placement.count if job.room is None else min(placement.count, job.room)
        count = min(room, placement.demand.resources.count_in(left)) if Resources().fits_in(left) else 0
        indices = _take(job, placement.demand.resources, count, agent.info.agent_id)
        left -= placement.demand.resources.scaled(len(indices))
        launches += [_launch(turn, agent, job, index, placement.demand.resources) for index in indices]
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


def _take(job: Job, resources: Resources, count: int, agent_id: str) -> list[int]:
    """At most `count` indices whose next attempt asks for `resources`: those that were tried before, others, failed here."""
    size = (resources.mem, resources.disk)
    again: list[int] = []
    last: list[int] = []
    for index in job.due:
        if len(again) == count:
            break
        if job.size_of(index) == size:
            (last if cooling.has_failed_on(job, index, agent_id) else again).append(index)
    fresh: list[int] = []
    if size == job.fresh_size and job.fresh:
        fresh, job.pending = job.pending.take(count - len(again))
    last = last[: count - len(again) - len(fresh)]
    for index in (*again, *last):
        del job.due[index]
    return again + fresh + last


def _launch(turn: Turn, agent: Agent, job: Job, index: int, resources: Resources) -> Launch:
    """Record one attempt; its ACCEPT leaves after the commit."""
    state, now = turn.state, turn.now
    before = job.tasks.get(index)
    number = 1 if before is None else before.attempts + 1
    attempt_id = state.make_id(now)
    attempt = Attempt(
        id=attempt_id,
        job_id=job.id,
        task_index=index,
        number=number,
        slot_id=attempt_id,
        agent_id=agent.info.agent_id,
        hostname=agent.info.hostname,
        resources=resources,
        ports=ports.choose(agent, resources.ports),
        executor_id=state.settings.executor_id,
        launched_at=now,
    )
    state.add_attempt(attempt)
    job.running[index] = attempt_id
    job.started_at = job.started_at or now
    task = PutTask(
        job_id=job.id,
        index=index,
        state=TaskState.ACTIVE,
        attempts=number,
        failures=before.failures if before else 0,
        free_retries=before.free_retries if before else 0,
        mem=before.mem if before else None,
        disk=before.disk if before else None,
        agent_id=attempt.agent_id,
        hostname=attempt.hostname,
        started_at=before.started_at if before else None,
    )
    turn.write(AddAttempt(attempt=attempt))
    jobs.put_task(turn, job, task, TaskState.PENDING)
    turn.set_timer(Kind.LAUNCH, state.settings.launch_timeout_s, (attempt_id, 0))
    turn.tell(job.id, "task.state", task=index, state=task.state, attempt=attempt_id, agent=attempt.hostname)
    return Launch(attempt=attempt, job=job.record)

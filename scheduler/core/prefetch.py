"""Images are pulled ahead where the next tasks of an array are likely to start.

Every LOOK_S, for a few of the images that jobs wait with, the most urgent job's first:

- only of a job of which some task has begun to run: its image can be had, and works;
- only as long as the agents that hold the image, pull it or have tasks of the job have less room than its tasks could fill;
- only on agents that could run the task: large enough, with the attributes asked for, not cordoned, resting, near their
  maintenance or where the image keeps failing, and with an executor that has spoken lately and has an engine; those with the
  most room first;
- at most `prefetch_agents` agents pull at the same time, and none is asked for the same image again within ASKED_S.

A request may be lost, ignored or late without harm: a task that starts elsewhere, or before its image has come, has it pulled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from scheduler.core import cooling, images_held, maintenance
from scheduler.core.effects import Message
from scheduler.core.known_agents import Agent
from scheduler.core.open_jobs import Job
from scheduler.core.state import LiveAttempt, State
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.images import PrefetchOrder
from swath.domain.resources import Resources
from swath.domain.states import AttemptState
from swath.store.rows import ImageRow

LOOK_S = 10.0
IMAGES = 2  # that one look is about: it costs time for each agent
PULLING_S = 600.0  # from the request on, an agent counts as pulling, unless its executor says that the image is there
ASKED_S = 1800.0  # until an agent may be asked for the same image again
ALIVE_S = 660.0  # since an executor has spoken: it does so every five minutes


def schedule(turn: Turn) -> None:
    """Look soon, once something waits."""
    state = turn.state
    if state.waiting and state.settings.prefetch_agents and state.timers.find(Kind.PREFETCH) is None:
        turn.set_timer(Kind.PREFETCH, LOOK_S)


def look(turn: Turn) -> None:
    """Ask for what is worth it."""
    state = turn.state
    _forget_old(state, turn.now)
    room = state.settings.prefetch_agents - _count_pulling(state, turn.now)
    if not state.connected or state.is_leaving or state.gone or room <= 0:
        return
    for job in _choose_jobs(state):
        key = images_held.key_of(job.record.image)
        state.prefetched.looked_at[key] = turn.now
        for agent in _choose_agents(turn, job)[:room]:
            _ask(turn, agent, job.record.image)
            room -= 1


def _ask(turn: Turn, agent: Agent, image: ImageRow) -> None:
    if agent.told_by is not None and image.reference is not None:
        turn.state.prefetched.asked_at[(agent.info.agent_id, images_held.key_of(image))] = turn.now
        data = PrefetchOrder(reference=image.reference).to_json().encode()
        turn.call(Message(agent_id=agent.info.agent_id, executor_id=agent.told_by, data=data))


def _forget_old(state: State, now: datetime) -> None:
    asked = state.prefetched.asked_at
    for pair in [pair for pair, at in asked.items() if not timedelta() <= now - at < timedelta(seconds=ASKED_S)]:
        del asked[pair]
    wanted = {images_held.key_of(state.jobs[job_id].record.image) for job_id in state.waiting}
    looked = state.prefetched.looked_at
    for key in looked.keys() - wanted:
        del looked[key]


def _count_pulling(state: State, now: datetime) -> int:
    return sum(_is_pulling(state, agent_id, key, now) for agent_id, key in state.prefetched.asked_at)


def _is_pulling(state: State, agent_id: str, key: str, now: datetime) -> bool:
    """Asked not long ago, and its executor has not said that it is done."""
    at = state.prefetched.asked_at.get((agent_id, key))
    agent = state.agents.get(agent_id)
    if at is None or agent is None or agent.told_by is None or key in agent.images:
        return False
    return now - at < timedelta(seconds=PULLING_S)


def _choose_jobs(state: State) -> list[Job]:
    """The most urgent job of each image, and of these the ones whose images were not looked at for the longest time."""
    jobs = sorted(filter(lambda job: _is_worth_it(state, job), _waiting(state)), key=_urgency)
    first: dict[str, Job] = {}
    for job in jobs:
        first.setdefault(images_held.key_of(job.record.image), job)
    looked = state.prefetched.looked_at
    turns = sorted(first, key=lambda key: looked[key].timestamp() if key in looked else 0.0)
    return [first[key] for key in turns[:IMAGES]]


def _waiting(state: State) -> Iterator[Job]:
    return (state.jobs[job_id] for job_id in state.waiting)


def _urgency(job: Job) -> tuple[int, float, str]:
    return (-job.record.priority, job.record.submitted_at.timestamp(), job.id)


def _is_worth_it(state: State, job: Job) -> bool:
    """True for a job with more tasks to start, whose image can be pulled and works."""
    if job.record.image.reference is None or not job.waiting or job.room == 0 or job.hopeless:
        return False
    if job.longest_run_s is not None:
        return True
    return any(live.state is AttemptState.RUNNING for live in _find_running(state, job))


def _find_running(state: State, job: Job) -> Iterator[LiveAttempt]:
    running = (state.attempts.get(attempt_id) for attempt_id in job.running.values())
    return (live for live in running if live is not None)


def _choose_agents(turn: Turn, job: Job) -> list[Agent]:
    """Whom to ask: no more than the tasks to come could fill, beside those that need not be asked."""
    state, key, now = turn.state, images_held.key_of(job.record.image), turn.now
    measure = _make_measure(turn, job)
    missing = _count_tasks(job)
    asked = {agent_id for agent_id, image in state.prefetched.asked_at if image == key}
    at_work = {live.attempt.agent_id for live in _find_running(state, job)}
    heard_after = now - timedelta(seconds=ALIVE_S)
    rooms: dict[str, int] = {}
    for agent_id, agent in state.agents.items():
        if key in agent.images or agent_id in at_work or (agent_id in asked and _is_pulling(state, agent_id, key, now)):
            missing -= measure(agent)
            if missing <= 0:
                return []
        # Else nobody would hear, nobody could pull, or the same was asked for lately in vain.
        elif agent.told_at is not None and agent.told_at > heard_after and agent.has_engine and agent_id not in asked:
            rooms[agent_id] = measure(agent)
    shares = images_held.shares_of(state, job.record.image)
    chosen = []
    for agent_id in sorted(rooms, key=lambda name: (-rooms[name], -shares.get(name, 0.0), name)):
        if missing <= 0 or not rooms[agent_id]:
            break
        chosen.append(state.agents[agent_id])
        missing -= rooms[agent_id]
    return chosen


def _count_tasks(job: Job) -> int:
    """How many of the job's tasks may run at the same time, those included that do."""
    tasks = job.waiting + job.counts.active
    limit = job.record.spec.max_running
    return tasks if limit is None else min(tasks, limit)


def _make_measure(turn: Turn, job: Job) -> Callable[[Agent], int]:
    """How many of the job's tasks an agent could run, were it empty; 0 for one that is to take none."""
    state, expected_s = turn.state, maintenance.expected_s(turn.state, job)
    constraints, cooling_down = job.record.spec.constraints, cooling.avoided(state, job)
    counts: dict[Resources, int] = {}  # most agents are alike

    def measure(agent: Agent) -> int:
        info = agent.info
        if info.deactivated or info.agent_id in state.agent_wishes or agent.rests_until is not None:
            return 0
        if info.agent_id in cooling_down:
            return 0
        closes_in_s = maintenance.closes_in_s(info, turn.now)
        if closes_in_s is not None and closes_in_s <= expected_s:
            return 0
        if constraints and not all(rule.admits(agent.attributes) for rule in constraints):
            return 0
        total = info.total
        if total not in counts:
            room = total - state.settings.executor_resources
            counts[total] = job.record.resources.count_in(room) if Resources().fits_in(room) else 0
        return counts[total]

    return measure

"""The state as the matcher sees it: what waits, and what there is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain

from scheduler.core import cooling, images_held, maintenance, usage
from scheduler.core.known_agents import Agent
from scheduler.core.open_jobs import Job, Size
from scheduler.core.state import LiveAttempt, State
from swath.domain.constraints import SPREADING
from swath.domain.resources import Resources
from swath.domain.states import AttemptState
from swath.matching.model import OFFER_S, AgentView, Demand, Running, Tenants, Work
from swath.matching.reasons import Shut

WITHHELD_S = 60.0  # many ticks of a master: what is free by then and not offered has been lost on its way, or to others
_NOTHING = Resources()


def make_demands(state: State, now: datetime) -> list[Demand]:
    """What could start now: a demand for each job and size of task."""
    if state.is_leaving or state.gone:
        return []
    return [demand for job_id in state.waiting for demand in demands_of(state, state.jobs[job_id], now)]


def make_tenants(state: State, now: datetime) -> Tenants:
    """Who holds what, and held what of late."""
    return Tenants(projects=state.projects, held=state.held, past=usage.past_shares(state, now))


def make_work(state: State, now: datetime) -> Work:
    """What runs on agents, as far as somebody asks."""

    def find(agents: Collection[str]) -> Mapping[str, list[Running]]:
        return {agent_id: _running_on(state, agent_id, now) for agent_id in agents if agent_id in state.uses}

    return find


def _running_on(state: State, agent_id: str, now: datetime) -> list[Running]:
    return [_to_running(state, state.attempts_in(slot_id), now) for slot_id in state.uses[agent_id].slots]


def _to_running(state: State, lives: Sequence[LiveAttempt], now: datetime) -> Running:
    """The attempts of a slot as others see them: as one. Whose job nobody knows is being killed already."""
    live = lives[0]
    job = state.jobs.get(live.attempt.job_id)
    ending = any(is_ending(one) for one in lives)
    return Running(
        attempt=live.attempt.id,
        job=live.attempt.job_id,
        project=live.owner.project,
        user=live.owner.user,
        resources=live.attempt.resources,
        priority=0 if job is None else job.record.priority,
        age_s=maintenance.age_s(live, now),
        ends_in_s=0.0 if job is None or ending else _left_s(state, job, lives, now),
        overdue=job is not None
        and len(lives) == 1
        and maintenance.age_s(live, now) > maintenance.expected_s(state, job),
        preemptible=job is not None and _is_preemptible(job) and live.state is not AttemptState.UNREACHABLE,
        ending=ending,
    )


def _left_s(state: State, job: Job, lives: Sequence[LiveAttempt], now: datetime) -> float:
    """In how many seconds the slot is expected to end: those behind the first have not begun."""
    return maintenance.left_s(state, lives[0], now) + (len(lives) - 1) * maintenance.expected_s(state, job)


def is_ending(live: LiveAttempt) -> bool:
    """True for an attempt whose end is asked for."""
    return bool(live.kills) or live.kill_cause is not None or live.state is AttemptState.KILLING


def make_views(state: State, now: datetime) -> list[AgentView]:
    """The agents as the matcher sees them."""
    due_by = _find_due_by(state, now)
    return [_view(state, agent, now, due_by) for agent in state.agents.values()]


def _is_preemptible(job: Job) -> bool:
    """Never an interactive job: two of them that wait would end each other for ever."""
    return job.record.spec.preemptible and not job.is_interactive


def _find_due_by(state: State, now: datetime) -> datetime | None:
    """What was to be offered by then, and has not been, is withheld; None while we have not asked for it long enough."""
    due_by = now - timedelta(seconds=WITHHELD_S)
    asked = [at for at in (state.connected_at, state.asked_at) if at is not None]
    return due_by if asked and max(asked) < due_by else None


def _is_withheld(agent: Agent, due_by: datetime | None) -> bool:
    """True where nothing is offered, though nothing is refused there and nothing has changed for long."""
    if due_by is None or agent.offers:
        return False
    due_at, freed_at = agent.due_at, agent.use.freed_at
    return (due_at is None or due_at < due_by) and (freed_at is None or freed_at < due_by)


def _view(state: State, agent: Agent, now: datetime, due_by: datetime | None) -> AgentView:
    """Made anew only when something of it has changed: thousands of agents are looked at in every turn."""
    shut, closes_in_s = find_shut(state, agent), maintenance.closes_in_s(agent.info, now)
    freed_at = agent.use.freed_at
    freed_lately = freed_at is not None and (now - freed_at).total_seconds() < OFFER_S
    use, withheld = agent.use, _is_withheld(agent, due_by)
    made_of = (
        agent.info,
        use.resources,
        agent.elsewhere,
        use.starting,
        freed_lately,
        tuple(agent.offers),
        shut,
        closes_in_s,
        withheld,
    )
    if agent.view is None or agent.view[0] != made_of:
        view = _make_view(state, agent, shut, closes_in_s)
        agent.view = made_of, replace(view, freed_lately=freed_lately, withheld=withheld)
    return agent.view[1]


def _make_view(state: State, agent: Agent, shut: Shut | None, closes_in_s: float | None) -> AgentView:
    executor = state.settings.executor_resources
    # "Offers list executor_ids" (transcript 02): the first task on an agent brings its executor along, whose resources
    # the same offers have to cover.
    there = any(state.settings.executor_id in offer.executor_ids for offer in agent.offers.values())
    offered = bool(agent.offers) and shut is None
    return AgentView(
        id=agent.info.agent_id,
        free=agent.offered if offered else agent.info.total - agent.use.resources - agent.elsewhere - executor,
        total=agent.info.total,
        overhead=executor if offered and not there else _NOTHING,
        reserved=executor,
        attributes=agent.attributes,
        starting=agent.use.starting,
        offered=offered,
        shut=shut,
        closes_in_s=closes_in_s,
    )


def find_shut(state: State, agent: Agent) -> Shut | None:
    """Why nothing is to be launched there; None where something may be."""
    wish = state.agent_wishes.get(agent.info.agent_id)
    if agent.info.deactivated or wish is not None:
        return Shut.FAILING if wish is not None and wish.is_our_own else Shut.CORDONED
    if agent.rests_until is None:
        return None
    return Shut.RESTING if agent.engine_problem is None else Shut.SICK


def demands_of(state: State, job: Job, now: datetime) -> list[Demand]:
    """Tasks to be tried again may have grown; those that have not go together with the ones that never ran."""
    if not job.waiting or job.room == 0:
        return []
    due = job.find_due()
    sizes = dict.fromkeys(([job.fresh_size] if job.fresh else []) + list(due))
    record, spec = job.record, job.record.spec
    like = Demand(
        job=job.id,
        resources=record.resources,
        count=0,
        limit=job.room,
        project=record.project,
        user=record.user,
        priority=record.priority,
        since=record.submitted_at,
        waited_s=_waited_s(state, job, now),
        interactive=job.is_interactive,
        constraints=spec.constraints,
        prefer=spec.prefer,
        expected_s=maintenance.expected_s(state, job),
        avoid=cooling.avoided(state, job),
        image=images_held.key_of(record.image),
        image_at=images_held.shares_of(state, record.image),
        running_on=_count_running(state, job) if any(rule.operator in SPREADING for rule in spec.constraints) else {},
    )
    return [_resized(state, job, like, size, due.get(size, [])) for size in sizes]


def _waited_s(state: State, job: Job, now: datetime) -> float:
    """Without a subscription nothing is offered: nobody is to blame for what could not start."""
    known = (job.record.submitted_at, job.served_at, state.connected_at)
    return (now - max(at for at in known if at is not None)).total_seconds()


def _resized(state: State, job: Job, like: Demand, size: Size, queues: Sequence[Mapping[int, datetime]]) -> Demand:
    """The demand of the tasks that ask for `size`: those that are due again, and the fresh ones where it is theirs."""
    fresh = job.fresh if size == job.fresh_size else 0
    due = sum(map(len, queues))
    shun = cooling.shunned(job, chain(*queues), due, fresh)
    return replace(like, resources=job.request_of(size), count=due + fresh, shun=shun)


def _count_running(state: State, job: Job) -> dict[str, int]:
    """How many of the job's tasks are on each agent."""
    count: dict[str, int] = {}
    for attempt_id in job.running.values():
        agent_id = state.attempts[attempt_id].attempt.agent_id
        count[agent_id] = count.get(agent_id, 0) + 1
    return count

"""The state as the matcher sees it: what waits, and what there is."""

from __future__ import annotations

from datetime import datetime

from scheduler.core import maintenance
from scheduler.core.state import Agent, Job, Size, State
from swath.domain.resources import Resources
from swath.matching.model import AgentView, Demand
from swath.matching.reasons import Shut


def make_demands(state: State) -> list[Demand]:
    """What could start now: a demand for each job and size of task."""
    if state.is_leaving or state.gone:
        return []
    return [demand for job_id in state.waiting for demand in demands_of(state.jobs[job_id])]


def make_views(state: State, now: datetime) -> list[AgentView]:
    """The agents as the matcher sees them."""
    return [_view(state, agent, now) for agent in state.agents.values()]


def _view(state: State, agent: Agent, now: datetime) -> AgentView:
    executor = state.settings.executor_resources
    # "Offers list executor_ids" (transcript 02): the first task on an agent brings its executor along, whose resources
    # the same offers have to cover.
    there = any(state.settings.executor_id in offer.executor_ids for offer in agent.offers.values())
    shut = _find_shut(state, agent)
    offered = bool(agent.offers) and shut is None
    return AgentView(
        id=agent.info.agent_id,
        free=agent.offered if offered else agent.info.total - agent.use.resources - executor,
        total=agent.info.total,
        overhead=executor if offered and not there else Resources(),
        reserved=executor,
        attributes=agent.info.attributes,
        offered=offered,
        shut=shut,
        closes_in_s=maintenance.closes_in_s(agent.info, now),
    )


def _find_shut(state: State, agent: Agent) -> Shut | None:
    wish = state.agent_wishes.get(agent.info.agent_id)
    if agent.info.deactivated or wish is not None:
        return Shut.FAILING if wish is not None and wish.is_our_own else Shut.CORDONED
    return None if agent.rests_until is None else Shut.RESTING


def demands_of(job: Job) -> list[Demand]:
    """Tasks to be tried again may have grown; those that have not go together with the ones that never ran."""
    if not job.waiting or job.room == 0:
        return []
    sizes: dict[Size, int] = {}
    for index in job.due:
        size = job.size_of(index)
        sizes[size] = sizes.get(size, 0) + 1
    expected_s = maintenance.expected_s(job)
    if job.fresh:
        sizes[job.fresh_size] = sizes.get(job.fresh_size, 0) + job.fresh
    return [
        Demand(
            job=job.id,
            resources=job.request_of(size),
            count=count,
            limit=job.room,
            priority=job.record.priority,
            since=job.record.submitted_at,
            constraints=job.record.spec.constraints,
            expected_s=expected_s,
        )
        for size, count in sizes.items()
    ]

"""How much of something the best agent has for a task of a job."""

from __future__ import annotations

from dataclasses import replace

from scheduler.core.open_jobs import Job
from scheduler.core.state import Agent, State
from swath.domain.constraints import with_own
from swath.domain.resources import Resources
from swath.domain.retries import Largest

_MOST_KNOWN = 1000  # answers


def largest_for(state: State, job: Job) -> Largest:
    """Looks at every agent; None while the master has not listed all of them, for what an offer shows may be a part.

    What was found is remembered until some agent is another: all tasks of an array may run out of memory at once.
    """

    def largest(resource: str, asked: Resources) -> int | None:
        others = replace(asked, mem=0) if resource == "mem" else replace(asked, disk=0)
        key = (job.record.spec.constraints, resource, others)
        if key not in state.largest:
            if len(state.largest) >= _MOST_KNOWN:
                state.largest.clear()
            state.largest[key] = _find(state, job, resource, others)
        return state.largest[key]

    return largest


def _find(state: State, job: Job, resource: str, others: Resources) -> int | None:
    if not all(agent.listed for agent in state.agents.values()):
        return None
    rooms = [_room(state, agent) for agent in state.agents.values() if _admits(job, agent)]
    return max((getattr(room, resource) for room in rooms if others.fits_in(room)), default=None)


def fits_somewhere(state: State, job: Job, asked: Resources) -> bool:
    """True when an agent is large enough, whatever runs there: most often the first that is looked at."""
    return any(asked.fits_in(_room(state, agent)) and _admits(job, agent) for agent in state.agents.values())


def _room(state: State, agent: Agent) -> Resources:
    return agent.info.total - state.settings.executor_resources


def _admits(job: Job, agent: Agent) -> bool:
    rules, info = job.record.spec.constraints, agent.info
    if not rules:
        return True
    attributes = with_own(info.attributes, hostname=info.hostname, region=info.region, zone=info.zone)
    return all(rule.admits(attributes) for rule in rules)

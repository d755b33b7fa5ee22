"""How much of something the best agent has for a task of a job. One that has just gone counts: it may come back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from scheduler.core.open_jobs import Job
from scheduler.core.state import State
from swath.domain.changes import PutAgent
from swath.domain.constraints import with_own
from swath.domain.resources import Resources
from swath.domain.retries import Largest, bounded

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
    if not _are_known(state):
        return None
    rooms = [_room(state, info) for info in _find_infos(state) if _admits(job, info)]
    return max((getattr(room, resource) for room in rooms if others.fits_in(room)), default=None)


def fits_somewhere(state: State, job: Job, asked: Resources) -> bool:
    """True when an agent is large enough, whatever runs there: most often the first that is looked at."""
    return any(asked.fits_in(_room(state, info)) and _admits(job, info) for info in _find_infos(state))


def fitted(state: State, job: Job, wanted: Resources, least: Resources) -> Resources:
    """`wanted`, or as much of it as an agent could hold, but `least` in any case; all of it while that is not known.

    Thousands of tasks may ask for the same in one turn: what was found is remembered until some agent is another.
    """
    if wanted == least:
        return wanted
    key = (job.record.spec.constraints, wanted, least)
    if key not in state.fitted:
        if len(state.fitted) >= _MOST_KNOWN:
            state.fitted.clear()
        state.fitted[key] = _fitted(state, job, wanted, least)
    return state.fitted[key]


def _fitted(state: State, job: Job, wanted: Resources, least: Resources) -> Resources:
    if fits_somewhere(state, job, wanted) or not _are_known(state):
        return wanted
    found = bounded(wanted, least, largest_for(state, job))
    return found if isinstance(found, Resources) and fits_somewhere(state, job, found) else least


def _are_known(state: State) -> bool:
    """True once the master has listed what there is."""
    return bool(state.agents) and all(agent.listed for agent in state.agents.values())


def _find_infos(state: State) -> Iterator[PutAgent]:
    return chain((agent.info for agent in state.agents.values()), state.missed.values())


def _room(state: State, info: PutAgent) -> Resources:
    return info.total - state.settings.executor_resources


def _admits(job: Job, info: PutAgent) -> bool:
    rules = job.record.spec.constraints
    if not rules:
        return True
    attributes = with_own(info.attributes, hostname=info.hostname, region=info.region, zone=info.zone)
    return all(rule.admits(attributes) for rule in rules)

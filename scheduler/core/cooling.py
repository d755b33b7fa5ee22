"""Where an image keeps failing, and where a task has failed: the first agents are left alone for a while, the others come last.

A healthy agent fails a run of bad ends, too, where the image or its data are bad. What speaks against an agent is that the
same image does better elsewhere: `find_chance` says how likely a healthy agent would do as badly.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice

from scheduler.core.health import Record
from scheduler.core.known_agents import Agent
from scheduler.core.open_jobs import Job
from scheduler.core.state import LiveAttempt, State
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.backoff import back_off_s
from swath.domain.retries import SAYS_NOTHING_OF_AGENT, Cause

BAD_ENDS = 3  # in a row
UNLIKELY = 1e-3  # of a healthy agent: beyond this it is not trusted for a while
FIRST_REST_S = 30.0
LONGEST_REST_S = 3600.0
MOST_AGENTS = 8  # on which a task is remembered to have failed
SAMPLE = 1000  # of tasks that are alike: as many may wait to be tried again as a job has
MOST_IMAGES = 32  # of which an agent's record is kept

# The attempt never came as far as its command: with these three in a row there is nothing to compare.
_NEVER_RAN = frozenset({Cause.IMAGE, Cause.AGENT, Cause.DROPPED})
# LOST says only that a task may be better off elsewhere.
NOBODYS_WORD = SAYS_NOTHING_OF_AGENT | {Cause.LOST}
# What the task is, not where it runs: its data, what it writes, what it was given of memory and disk.
TASKS_OWN = frozenset({Cause.DATA, Cause.OUTPUT, Cause.OOM, Cause.DISK})


def on_end(turn: Turn, live: LiveAttempt, job: Job, cause: Cause | None) -> None:
    """Take down how an attempt of the job's image went on its agent."""
    agent = turn.state.agents.get(live.attempt.agent_id)
    if cause is not None and cause not in SAYS_NOTHING_OF_AGENT and live.attempt.task_index in job.tasks:
        note_failure(job, live.attempt.task_index, live.attempt.agent_id)
    if agent is None or cause in NOBODYS_WORD:
        return
    record = _record_of(turn.state, agent, job.record.image.id)
    if cause in TASKS_OWN:
        record.never_ran = 0
        return
    record.count(failed=cause is not None)
    if cause is None:
        turn.state.succeeded_at = turn.now
        _forgive(turn, agent, record, job.record.image.id)
    else:
        _blame(turn, live, agent, record, job, cause)


def note_failure(job: Job, index: int, agent_id: str) -> None:
    """The task has failed on the agent."""
    known = job.failed_on.get(index, ())
    if agent_id not in known:
        job.failed_on[index] = (*known, agent_id)[-MOST_AGENTS:]


def avoided(state: State, job: Job) -> frozenset[str]:
    """The agents that the job's image must not use for now."""
    return state.cooling.get(job.record.image.id, frozenset())


def shunned(job: Job, indices: Iterable[int], count: int, fresh: int) -> frozenset[str]:
    """The agents to use last for these `count` tasks and `fresh` others: those where more than half of them have failed.

    Which of several tasks goes to which agent is settled at the launch: one that failed elsewhere comes before.
    """
    if not job.failed_on or fresh >= count:
        return frozenset()
    looked_at = list(islice(indices, SAMPLE))
    times = Counter(agent_id for index in looked_at for agent_id in job.failed_on.get(index, ()))
    half = len(looked_at) * (1 + fresh / count) / 2
    return frozenset(agent_id for agent_id, failed in times.items() if failed > half)


def has_failed_on(job: Job, index: int, agent_id: str) -> bool:
    """True where the task is better off elsewhere."""
    return agent_id in job.failed_on.get(index, ())


def find_chance(state: State, agent: Agent, ends: Sequence[tuple[int, int]], now: datetime) -> float:
    """How likely a healthy agent has `ends`, (image, bad ends) each, by how the images do on all other agents.

    Each bad end is as likely as the share of the image's ends elsewhere that were bad, (bad + 1) / (all + 2): Laplace's rule
    of succession, by which few ends say little. An image that never ran elsewhere says nothing.
    """
    return math.exp(sum(count * math.log(_share(state, agent, image, now)) for image, count in ends))


def _share(state: State, agent: Agent, image: int, now: datetime) -> float:
    """The part of the image's ends on all other agents that were bad."""
    own = agent.records.get(image, Record())
    _, ends, failures = _count_ends(state, image, now)
    elsewhere = max(0, ends - own.all)
    return (max(0, failures - own.failures) + 1) / (elsewhere + 2) if elsewhere else 1.0


def _count_ends(state: State, image: int, now: datetime) -> tuple[datetime, int, int]:
    """(when, all, bad) of the image on all agents: looks at each of them, but once a turn."""
    known = state.image_ends.get(image)
    if known is None or known[0] != now:
        records = [agent.records[image] for agent in state.agents.values() if image in agent.records]
        known = now, sum(record.all for record in records), sum(record.failures for record in records)
        state.image_ends[image] = known
    return known


def _record_of(state: State, agent: Agent, image: int) -> Record:
    """The image's record on the agent; of many images the one that ran here longest ago is forgotten."""
    record = agent.records.pop(image, None) or Record()
    agent.records[image] = record
    if len(agent.records) > MOST_IMAGES:
        oldest = next(iter(agent.records))
        del agent.records[oldest]
        state.thaw(agent.info.agent_id, oldest)
    return record


def _blame(turn: Turn, live: LiveAttempt, agent: Agent, record: Record, job: Job, cause: Cause) -> None:
    """One more bad end of the image here. Attempts that were launched together and fail together are one."""
    if record.ends and record.failed_at is not None and live.attempt.launched_at < record.failed_at:
        return
    record.failed_at = turn.now
    record.ends += 1
    record.never_ran = record.never_ran + 1 if cause in _NEVER_RAN else 0
    image = job.record.image.id
    if record.never_ran >= BAD_ENDS or (
        record.ends >= BAD_ENDS and find_chance(turn.state, agent, [(image, record.ends)], turn.now) <= UNLIKELY
    ):
        _cool(turn, agent, record, job)


def _cool(turn: Turn, agent: Agent, record: Record, job: Job) -> None:
    """Each time twice as long, until the image succeeds here."""
    rest_s = back_off_s(FIRST_REST_S, record.rests, longest_s=LONGEST_REST_S)
    record.rests += 1
    image, agent_id = job.record.image, agent.info.agent_id
    turn.state.cooling[image.id] = turn.state.cooling.get(image.id, frozenset()) | {agent_id}
    turn.set_timer(Kind.COOL, rest_s, (agent_id, image.id))
    name = f"{image.name}:{image.version}"
    turn.note(
        "warning", "image_cools_down", agent=agent.info.hostname, image=name, seconds=rest_s, bad_ends=record.ends
    )


def on_cooled(turn: Turn, agent_id: str, image: int) -> None:
    """The image gets another chance on the agent."""
    turn.state.thaw(agent_id, image)
    turn.state.wants_offers = True


def _forgive(turn: Turn, agent: Agent, record: Record, image: int) -> None:
    """The image has succeeded here."""
    if record.rests:
        turn.state.thaw(agent.info.agent_id, image)
        turn.state.timers.clear(Kind.COOL, (agent.info.agent_id, image))
    record.forgive()

"""Where an image keeps failing, and where a task has failed: the first agents are left alone for a while, the others come last.

A healthy agent fails a run of bad ends, too, where the image or its data are bad. What speaks against an agent is that the
same image does better elsewhere: `find_chance` says how likely a healthy agent would do as badly.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence

from scheduler.core.health import Ends, Streak
from scheduler.core.state import Agent, Job, LiveAttempt, State
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.backoff import back_off_s
from swath.domain.retries import SAYS_NOTHING_OF_AGENT, Cause

BAD_ENDS = 3  # in a row
UNLIKELY = 1e-3  # of a healthy agent: beyond this it is not trusted for a while
FIRST_REST_S = 30.0
LONGEST_REST_S = 3600.0
MOST_AGENTS = 8  # on which a task is remembered to have failed

# The attempt never came as far as its command: with these three in a row there is nothing to compare.
_NEVER_RAN = frozenset({Cause.IMAGE, Cause.AGENT, Cause.DROPPED})
NOBODYS_WORD = SAYS_NOTHING_OF_AGENT | {Cause.LOST}  # LOST says only that a task may be better off elsewhere


def on_end(turn: Turn, live: LiveAttempt, job: Job, cause: Cause | None) -> None:
    """Take down how an attempt of the job's image went on its agent."""
    agent = turn.state.agents.get(live.attempt.agent_id)
    if cause is not None and cause not in SAYS_NOTHING_OF_AGENT and live.attempt.task_index in job.tasks:
        note_failure(job, live.attempt.task_index, live.attempt.agent_id)
    if agent is None or cause in NOBODYS_WORD:
        return
    image = job.record.image.id
    turn.state.image_ends.setdefault(image, Ends()).count(failed=cause is not None)
    if cause is None:
        turn.state.succeeded_at = turn.now
        _forgive(turn, agent, image)
    else:
        _blame(turn, live, agent, job, cause)


def note_failure(job: Job, index: int, agent_id: str) -> None:
    """The task has failed on the agent."""
    known = job.failed_on.get(index, ())
    if agent_id not in known:
        job.failed_on[index] = (*known, agent_id)[-MOST_AGENTS:]


def avoided(state: State, job: Job) -> frozenset[str]:
    """The agents that the job's image must not use for now."""
    return state.cooling.get(job.record.image.id, frozenset())


def shunned(state: State, job: Job, indices: Collection[int], fresh: int = 0) -> frozenset[str]:
    """The agents to use last for these tasks and `fresh` others: those where more than half of them have failed.

    Which of several tasks goes to which agent is settled at the launch: one that failed elsewhere comes before.
    """
    if not job.failed_on:
        return frozenset()
    count = Counter(agent_id for index in indices for agent_id in job.failed_on.get(index, ()))
    return frozenset(agent_id for agent_id, times in count.items() if 2 * times > len(indices) + fresh)


def has_failed_on(job: Job, index: int, agent_id: str) -> bool:
    """True where the task is better off elsewhere."""
    return agent_id in job.failed_on.get(index, ())


def find_chance(state: State, agent: Agent, ends: Sequence[tuple[int, int]]) -> float:
    """How likely a healthy agent has `ends`, (image, bad ends) each, by how the images do on all the others.

    Each bad end is as likely as the share of the image's other ends that were bad, (bad + 1) / (all + 2): Laplace's rule of
    succession, by which an image that was never seen elsewhere says little.
    """
    return math.exp(sum(count * math.log(_share(state, agent, image)) for image, count in ends))


def _share(state: State, agent: Agent, image: int) -> float:
    """The part of the image's ends elsewhere that were bad."""
    ends, own = state.image_ends.get(image, Ends()), agent.streaks.get(image, Streak()).failures
    return (max(0, ends.failures - own) + 1) / (max(0, ends.all - own) + 2)


def _blame(turn: Turn, live: LiveAttempt, agent: Agent, job: Job, cause: Cause) -> None:
    """One more bad end of the image here. Attempts that were launched together and fail together are one."""
    image = job.record.image.id
    streak = agent.streaks.setdefault(image, Streak())
    streak.failures += 1
    if streak.failed_at is not None and live.attempt.launched_at < streak.failed_at:
        return
    streak.failed_at = turn.now
    streak.ends += 1
    streak.never_ran = streak.never_ran + 1 if cause in _NEVER_RAN else 0
    unlikely = streak.ends >= BAD_ENDS and find_chance(turn.state, agent, [(image, streak.ends)]) <= UNLIKELY
    if streak.never_ran >= BAD_ENDS or unlikely:
        _cool(turn, agent, job, streak)


def _cool(turn: Turn, agent: Agent, job: Job, streak: Streak) -> None:
    """Each time twice as long, until the image succeeds here."""
    rest_s = back_off_s(FIRST_REST_S, streak.rests, longest_s=LONGEST_REST_S)
    streak.rests += 1
    image, agent_id = job.record.image, agent.info.agent_id
    turn.state.cooling[image.id] = turn.state.cooling.get(image.id, frozenset()) | {agent_id}
    turn.set_timer(Kind.COOL, rest_s, (agent_id, image.id))
    name = f"{image.name}:{image.version}"
    turn.note(
        "warning", "image_cools_down", agent=agent.info.hostname, image=name, seconds=rest_s, bad_ends=streak.ends
    )


def on_cooled(turn: Turn, agent_id: str, image: int) -> None:
    """The image gets another chance on the agent."""
    turn.state.thaw(agent_id, image)
    turn.state.wants_offers = True


def _forgive(turn: Turn, agent: Agent, image: int) -> None:
    """The image has succeeded here."""
    if agent.streaks.pop(image, None) is not None:
        turn.state.thaw(agent.info.agent_id, image)
        turn.state.timers.clear(Kind.COOL, (agent.info.agent_id, image))

"""Agents on which everything fails: they get nothing for a while, each time for longer, and in the end no more.

One ladder: BAD_ENDS bad ends in a row let an agent rest, each further one for twice as long; after RESTS of them without one
success it is cordoned, until an operator lifts that. Only an agent that does worse than others is: where everything fails
everywhere, or there is nothing to compare it with, it rests and is tried again.
"""

from __future__ import annotations

from scheduler.core import cooling
from scheduler.core.cooling import BAD_ENDS, FIRST_REST_S, LONGEST_REST_S, UNLIKELY
from scheduler.core.health import Trouble
from scheduler.core.known_agents import Agent
from scheduler.core.open_jobs import Job
from scheduler.core.state import LiveAttempt
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.backoff import back_off_s
from swath.domain.changes import CordonAgent
from swath.domain.retries import Cause
from swath.domain.wishes import SWATH, AgentMode, AgentWish

RESTS = 4  # in a row: 30 s and 1, 2, 4 minutes
ALL_BUT_CERTAIN = 1e-6  # of a healthy agent: beyond this it is given up
SEVERAL_IMAGES, SEVERAL_JOBS = 2, 3  # one of them, or an image may be to blame
MOST_CORDONED = 0.1  # of the agents, at least one: if more are bad, something else is the matter

_AGENTS_FAULT = frozenset({Cause.AGENT, Cause.DROPPED})


def on_end(turn: Turn, live: LiveAttempt, job: Job, cause: Cause | None) -> None:
    """Count the bad ends in a row. Attempts that were launched together and end together, with their executor, are one."""
    agent = turn.state.agents.get(live.attempt.agent_id)
    if agent is None or cause in cooling.NOBODYS_WORD:
        return
    if cause is None:
        forgive(agent)
        return
    if cause not in _AGENTS_FAULT:
        agent.bad_ends = 0
    if cause in cooling.TASKS_OWN:
        return
    if agent.failed_at is not None and live.attempt.launched_at < agent.failed_at:
        return
    agent.failed_at = turn.now
    agent.bad_ends += cause in _AGENTS_FAULT
    agent.trouble = agent.trouble or Trouble(since=turn.now)
    agent.trouble.add(job.record.image.id, job.id)
    if agent.bad_ends >= BAD_ENDS or _is_bad(turn, agent, agent.trouble, UNLIKELY):
        _rest(turn, agent, agent.trouble)


def forgive(agent: Agent) -> None:
    """Something has succeeded there, or an operator vouches for it."""
    agent.bad_ends = agent.rests = 0
    agent.trouble = None


def on_rested(turn: Turn, agent_id: str) -> None:
    """The agent gets another chance; the next bad end lets it rest for twice as long."""
    agent = turn.state.agents.get(agent_id)
    if agent is not None:
        agent.rests_until = agent.engine_problem = None
        turn.state.wants_offers = True


def _is_bad(turn: Turn, agent: Agent, trouble: Trouble, chance: float) -> bool:
    """Several images or jobs fail here that would not on a healthy agent, `chance` aside."""
    several = len(trouble.ends) >= SEVERAL_IMAGES or len(trouble.jobs) >= SEVERAL_JOBS
    enough = sum(trouble.ends.values()) >= BAD_ENDS
    if not (several and enough):
        return False
    return cooling.find_chance(turn.state, agent, list(trouble.ends.items()), turn.now) <= chance


def _rest(turn: Turn, agent: Agent, trouble: Trouble) -> None:
    if agent.rests >= RESTS and _may_cordon(turn, agent, trouble):
        _cordon(turn, agent, trouble)
        return
    rest_s = back_off_s(FIRST_REST_S, agent.rests, longest_s=LONGEST_REST_S)
    agent.rests += 1
    agent.rests_until = turn.after(rest_s)
    turn.set_timer(Kind.REST, rest_s, (agent.info.agent_id, 0))
    ends = sum(trouble.ends.values())
    turn.note("warning", "agent_rests", agent=agent.info.hostname, seconds=rest_s, bad_ends=ends)


def _may_cordon(turn: Turn, agent: Agent, trouble: Trouble) -> bool:
    state = turn.state
    # A success here would have ended the trouble: whatever has succeeded since did so elsewhere.
    elsewhere = state.succeeded_at is not None and state.succeeded_at >= trouble.since
    ours = sum(wish.is_our_own for agent_id, wish in state.agent_wishes.items() if agent_id in state.agents)
    few = ours < max(1, int(MOST_CORDONED * len(state.agents)))
    wanted = agent.info.agent_id in state.agent_wishes  # by an operator: no task came here of late in any case
    return elsewhere and few and not wanted and _is_bad(turn, agent, trouble, ALL_BUT_CERTAIN)


def _cordon(turn: Turn, agent: Agent, trouble: Trouble) -> None:
    """Only for us: Mesos is not told, and its other frameworks judge for themselves."""
    agent_id, ends = agent.info.agent_id, sum(trouble.ends.values())
    since = trouble.since.isoformat(timespec="seconds").replace("+00:00", "Z")
    message = f"{ends} bad ends of {trouble.what} since {since}, and no good one, while others succeed elsewhere"
    turn.state.agent_wishes[agent_id] = AgentWish(agent_id=agent_id, mode=AgentMode.CORDONED, rev=0, user=SWATH)
    turn.write(CordonAgent(agent_id=agent_id, message=message))
    turn.note("error", "agent_cordoned", agent=agent.info.hostname, agent_id=agent_id, reason=message)

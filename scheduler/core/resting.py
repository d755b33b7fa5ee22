"""Agents on which attempts keep failing by no fault of theirs: they get none for a while, or one would eat a whole array."""

from __future__ import annotations

from scheduler.core.state import LiveAttempt
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.backoff import back_off_s
from swath.domain.retries import Cause

BAD_ENDS = 3  # in a row
FIRST_REST_S = 30.0
LONGEST_REST_S = 3600.0

_AGENTS_FAULT = frozenset({Cause.AGENT, Cause.DROPPED})
_NOBODYS_WORD = frozenset(
    {Cause.LOST, Cause.KILLED, Cause.SPEC, Cause.DRAINED, Cause.PREEMPTED}
)  # they say nothing of how the agent does


def on_end(turn: Turn, live: LiveAttempt, cause: Cause | None) -> None:
    """Count the bad ends in a row. Attempts that were launched together and end together, with their executor, are one."""
    agent = turn.state.agents.get(live.attempt.agent_id)
    if agent is None or cause in _NOBODYS_WORD:
        return
    if cause not in _AGENTS_FAULT:
        agent.bad_ends = 0
    elif agent.failed_at is None or live.attempt.launched_at >= agent.failed_at:
        agent.bad_ends, agent.failed_at = agent.bad_ends + 1, turn.now
        if agent.bad_ends >= BAD_ENDS:
            rest_s = back_off_s(FIRST_REST_S, agent.bad_ends - BAD_ENDS, longest_s=LONGEST_REST_S)
            agent.rests_until = turn.after(rest_s)
            turn.set_timer(Kind.REST, rest_s, (agent.info.agent_id, 0))
            turn.note("warning", "agent_rests", agent=agent.info.hostname, seconds=rest_s, bad_ends=agent.bad_ends)


def on_rested(turn: Turn, agent_id: str) -> None:
    """The agent gets another chance; the next bad end lets it rest for twice as long."""
    agent = turn.state.agents.get(agent_id)
    if agent is not None:
        agent.rests_until = None
        turn.state.wants_offers = True

"""Agents whose Docker engine is sick, as their executors say: they get no tasks until it is well, or nobody says so any more.

Executors say it again and again, for a MESSAGE may be lost. Whoever reaches an agent's port may say it: it moves where tasks
go, and never what becomes of those that run.
"""

from __future__ import annotations

from scheduler.core import resting
from scheduler.core.events import EngineSaid
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn

SICK_S = 90.0  # without another word; executors say it every half minute


def on_engine_said(turn: Turn, event: EngineSaid) -> None:
    """Pause the agent, for a while longer each time; or let it take tasks again."""
    agent = turn.state.agents.get(event.agent_id)
    if agent is None or (event.problem is None and agent.engine_problem is None):
        return
    if event.problem is None:
        turn.note("info", "engine_well", agent=agent.info.hostname)
        turn.state.timers.clear(Kind.REST, (event.agent_id, 0))
        resting.on_rested(turn, event.agent_id)
        return
    if agent.engine_problem is None:
        turn.note("warning", "engine_sick", agent=agent.info.hostname, reason=event.problem)
    agent.engine_problem = event.problem
    until = turn.after(SICK_S)
    if agent.rests_until is None or agent.rests_until < until:
        agent.rests_until = until
        turn.set_timer(Kind.REST, SICK_S, (event.agent_id, 0))

"""What operators want of agents: cordoned and drained, by Mesos where it lets us, and by ourselves in any case."""

from __future__ import annotations

from scheduler.core import agents, kills, resting
from scheduler.core.effects import Operate
from scheduler.core.events import Operated
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.backoff import back_off_s
from swath.domain.changes import ObserveAgentWish
from swath.domain.retries import Cause
from swath.domain.wishes import AgentMode, AgentWish

FIRST_REPEAT_S = 1.0
LONGEST_REPEAT_S = 60.0


def on_wish(turn: Turn, wish: AgentWish) -> None:
    """From this turn on nothing is launched on an agent that is to be anything but ACTIVE; then Mesos is told."""
    state = turn.state
    known = state.wishes_under_way.get(wish.agent_id)
    if wish.rev <= max(wish.observed_rev, 0 if known is None else known.rev):
        return
    if wish.mode is AgentMode.ACTIVE:
        state.agent_wishes.pop(wish.agent_id, None)
        _trust(turn, wish.agent_id)
        state.wants_offers = True  # what it offered was refused for long
    else:
        state.agent_wishes[wish.agent_id] = wish
    agents.reconsider(turn)
    state.wishes_under_way[wish.agent_id] = wish
    turn.note("info", "agent_wish", agent=wish.agent_id, mode=wish.mode, rev=wish.rev)
    ask(turn, wish.agent_id)


def _trust(turn: Turn, agent_id: str) -> None:
    """Whoever lets an agent take tasks again vouches for it."""
    agent = turn.state.agents.get(agent_id)
    if agent is not None:
        resting.forgive(agent)
        agent.rests_until = agent.engine_problem = None
        turn.state.timers.clear(Kind.REST, (agent_id, 0))


def on_subscribed(turn: Turn) -> None:
    """What was asked of the master before may have been lost."""
    for agent_id in list(turn.state.wishes_under_way):
        ask(turn, agent_id)


def ask(turn: Turn, agent_id: str) -> None:
    """Have Mesos do it, now or with the next subscription."""
    wish = turn.state.wishes_under_way.get(agent_id)
    if wish is not None and turn.state.connected:
        turn.call(Operate(wish=wish))


def on_operated(turn: Turn, event: Operated) -> None:
    """Done, refused for good, or to be asked again.

    Where Mesos refuses to drain (no right, no such agent for it), we end our own tasks there: others' run on.
    """
    state = turn.state
    wish = state.wishes_under_way.get(event.agent_id)
    if wish is None or wish.rev != event.rev:
        return  # of an earlier wish
    if event.problem is not None and not event.refused:
        _ask_later(turn, event.agent_id)
        return
    if event.problem is not None:
        turn.note("warning", "operator_call_refused", agent=event.agent_id, mode=wish.mode, reason=event.problem)
        if wish.mode is AgentMode.DRAINED and _drain_ourselves(turn, event.agent_id):
            # Not done before the last of them has ended: whoever takes over asks, is refused, and goes on.
            turn.write(ObserveAgentWish(agent_id=event.agent_id, rev=wish.observed_rev, message=event.problem))
            _ask_later(turn, event.agent_id)
            return
    del state.wishes_under_way[event.agent_id]
    state.wish_tries.pop(event.agent_id, None)
    turn.write(ObserveAgentWish(agent_id=event.agent_id, rev=event.rev, message=event.problem))
    agents.list_soon(turn)


def _ask_later(turn: Turn, agent_id: str) -> None:
    tries = turn.state.wish_tries[agent_id] = turn.state.wish_tries.get(agent_id, 0) + 1
    turn.set_timer(Kind.OPERATE, back_off_s(FIRST_REPEAT_S, tries - 1, longest_s=LONGEST_REPEAT_S), (agent_id, 0))


def _drain_ourselves(turn: Turn, agent_id: str) -> bool:
    """Ask for the end of our attempts on the agent; True while there are any."""
    mine = [live for live in turn.state.attempts.values() if live.attempt.agent_id == agent_id]
    for live in mine:
        kills.end_for(turn, live, Cause.DRAINED)
    return bool(mine)

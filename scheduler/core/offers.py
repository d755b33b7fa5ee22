"""Offers come and go, and are asked for or not: SUPPRESS when idle, REVIVE when something could use them (M28)."""

from __future__ import annotations

from scheduler.core import agents
from scheduler.core.effects import Revive, Suppress
from scheduler.core.events import Offered, Rescinded
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn


def on_offered(turn: Turn, event: Offered) -> None:
    """Keep the offers until the end of this turn, where all of them are used or declined."""
    for offer in event.offers:
        if turn.state.is_new_offer(offer.id, offer.agent_id):
            agents.on_offer(turn, offer)


def on_rescinded(turn: Turn, event: Rescinded) -> None:
    """The offer is void (M17), even where this comes before it."""
    agent_id = turn.state.heard_offers.get(event.offer_id)
    turn.state.is_new_offer(event.offer_id)
    if agent_id is not None and (agent := turn.state.agents.get(agent_id)) is not None:
        agent.offers.pop(event.offer_id, None)


def settle(turn: Turn) -> None:
    """Say to the master whether offers are wanted, once the turn's offers are used up."""
    state = turn.state
    hungry = _is_hungry(turn)
    if state.freed and hungry and not _are_many_filtered(turn):
        # "Freed resources are offered only at the master's next allocation tick, but REVIVE is answered with offers in 2
        # to 4 ms" (M28).
        state.wants_offers = True
    state.freed = False
    if not state.connected:
        return
    if not any(_has_room(turn, job_id) for job_id in state.waiting):
        _suppress(turn)
    elif state.suppressed or (state.wants_offers and hungry):
        revive(turn)


def revive(turn: Turn) -> None:
    """Ask for offers, now or as soon as the limit allows."""
    state = turn.state
    if not state.connected or not (state.suppressed or state.wants_offers):
        return
    next_at = state.revives.take(turn.now)
    if next_at is not None:
        state.timers.set(Kind.REVIVE, next_at)
        return
    state.timers.clear(Kind.REVIVE)
    if state.suppressed:
        state.asked_at = turn.now
    state.suppressed = state.wants_offers = False
    for agent in (state.agents.get(agent_id) for agent_id in state.filtered):
        if agent is not None:
            agent.due_at = turn.now
    state.filtered.clear()
    turn.call(Revive())


def note_filter(turn: Turn, agent_id: str, refuse_s: float) -> None:
    """What was just refused of the agent is not offered again for so long, unless we ask for it."""
    turn.state.filtered[agent_id] = turn.after(refuse_s)
    if (agent := turn.state.agents.get(agent_id)) is not None:
        agent.due_at = turn.after(refuse_s)


def _are_many_filtered(turn: Turn) -> bool:
    """ "It drops all filters, so only while few agents (hundreds) are filtered; above that the tick serves" (M28)."""
    state = turn.state
    most = state.settings.largest_revive
    if len(state.filtered) >= most:
        state.filtered = {agent_id: until for agent_id, until in state.filtered.items() if until > turn.now}
    return len(state.filtered) >= most


def _suppress(turn: Turn) -> None:
    state = turn.state
    state.wants_offers = False
    state.timers.clear(Kind.REVIVE)
    if not state.suppressed:
        state.suppressed = True
        turn.call(Suppress())


def _has_room(turn: Turn, job_id: str) -> bool:
    return turn.state.jobs[job_id].room != 0


def _is_hungry(turn: Turn) -> bool:
    """True when an offer could help some job."""
    jobs = turn.state.jobs
    return any(_has_room(turn, job_id) and not jobs[job_id].hopeless for job_id in turn.state.waiting)


def forget_all(turn: Turn) -> None:
    """The subscription that the offers and the filters belonged to is over."""
    turn.state.filtered.clear()
    for agent in turn.state.agents_with_offers():
        agent.offers.clear()

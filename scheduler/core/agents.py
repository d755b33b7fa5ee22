"""The agents: known from their offers and from the master's list."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from scheduler.core.effects import Decline, ListAgents
from scheduler.core.events import AgentsListed, Failure, InverseOffer, Offer
from scheduler.core.known_agents import Agent
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.changes import DeactivateAgent, PutAgent
from swath.domain.resources import Resources, largest_of
from swath.domain.wishes import AgentMode


def on_offer(turn: Turn, offer: Offer) -> None:
    """Keep the offer; an agent seen for the first time is written down with what can be told from it."""
    agent = turn.state.agents.get(offer.agent_id)
    if agent is None:
        agent = turn.state.add_agent(_guess(offer, Resources()))
        list_soon(turn)
        reconsider(turn)
    agent.offers[offer.id] = offer
    agent.offered_at = agent.due_at = turn.now
    info = _offering(agent.info, offer) if agent.listed else _guess(offer, _at_least(turn, agent))
    if info != agent.info or _is_stale(turn, agent):
        _write(turn, agent, info)


def on_listed(turn: Turn, event: AgentsListed) -> None:
    """Take in the master's list: it alone knows totals, for "offers show only what is free" (DESIGN.md 4.8)."""
    state = turn.state
    for info in event.agents:
        agent = state.agents.get(info.agent_id)
        if not info.active:
            _drop(turn, info.agent_id)
            continue
        if agent is None:
            agent = state.add_agent(info)
        state.note_listed(agent)
        _note_elsewhere(turn, agent, event)
        info = _with_window(info, agent.info)  # the list does not tell of it
        if agent.info != info:
            reconsider(turn)
        if agent.info != info or _is_stale(turn, agent):
            _write(turn, agent, info)
    known = {info.agent_id for info in event.agents} | event.recovered
    asked_at = event.asked_at or turn.now
    for agent_id in [agent_id for agent_id in state.agents if agent_id not in known]:
        # Whoever has offered something since is there: it registered while the list was on its way.
        offered_at = state.agents[agent_id].offered_at
        if offered_at is None or offered_at < asked_at:
            _drop(turn, agent_id)
    list_later(turn, recovered=event.recovered)


def _note_elsewhere(turn: Turn, agent: Agent, event: AgentsListed) -> None:
    """What is neither ours nor our executor's of what the master has given away.

    What has ended since the list was asked for may stand in it still: then it can only show that others hold less.
    """
    allocated, freed_at = event.allocated.get(agent.info.agent_id, Resources()), agent.use.freed_at
    elsewhere = (allocated - agent.use.resources - turn.state.settings.executor_resources).clipped()
    if freed_at is None or freed_at < (event.asked_at or turn.now) or elsewhere.fits_in(agent.elsewhere):
        if elsewhere != agent.elsewhere:
            agent.due_at = max(agent.due_at or turn.now, turn.now)
        agent.elsewhere = elsewhere


def on_window(turn: Turn, offer: InverseOffer) -> None:
    """The agent will be taken away for a while."""
    agent = turn.state.agents.get(offer.agent_id)
    if agent is not None and (info := _with_window(agent.info, offer)) != agent.info:
        _write(turn, agent, info)


def on_failure(turn: Turn, event: Failure) -> None:
    """An executor or an agent ended; the updates of its tasks follow by themselves, the list of agents may be stale."""
    if event.executor_id is None:
        list_soon(turn)
    turn.note("warning", "failure", agent=event.agent_id, executor=event.executor_id, status=event.status)


def list_soon(turn: Turn) -> None:
    """The view of the cluster is stale."""
    at = turn.after(0.2)
    known = turn.state.timers.find(Kind.AGENTS)
    if known is None or known > at:
        turn.state.timers.set(Kind.AGENTS, at)


def list_later(turn: Turn, recovered: Collection[str] = ()) -> None:
    """Ask again after a while; sooner while somebody waits for resources, or for the end of a drain.

    recovered: the agents that a new master knows by name only, and of whose drains it tells nothing yet.
    """
    settings = turn.state.settings
    pause_s = settings.agents_busy_s if turn.state.waiting else settings.agents_idle_s
    is_any_draining = _is_any_draining(turn) or any(_is_to_drain(turn, agent_id) for agent_id in recovered)
    turn.set_timer(Kind.AGENTS, settings.agents_draining_s if is_any_draining else pause_s)


def _is_any_draining(turn: Turn) -> bool:
    return any(agent.info.drain == "DRAINING" for agent in turn.state.agents.values())


def _is_to_drain(turn: Turn, agent_id: str) -> bool:
    wish = turn.state.agent_wishes.get(agent_id)
    return wish is not None and wish.mode is AgentMode.DRAINED


def list_now(turn: Turn) -> None:
    """Ask the leading master."""
    if turn.state.connected:
        turn.call(ListAgents())
        list_later(turn)


def _guess(offer: Offer, total: Resources) -> PutAgent:
    """The agent as far as an offer tells."""
    return PutAgent(
        agent_id=offer.agent_id,
        hostname=offer.hostname,
        url=offer.url,
        total=total,
        attributes=offer.attributes,
        region=offer.region,
        zone=offer.zone,
        unavailable_from=offer.unavailable_from,
        unavailable_until=offer.unavailable_until,
    )


def _offering(info: PutAgent, offer: Offer) -> PutAgent:
    """A master offers nothing of an agent that is deactivated: it has been activated since it was listed."""
    return replace(_with_window(info, offer), deactivated=False, drain=None)


def _with_window(info: PutAgent, of: Offer | InverseOffer | PutAgent) -> PutAgent:
    return replace(info, unavailable_from=of.unavailable_from, unavailable_until=of.unavailable_until)


def _at_least(turn: Turn, agent: Agent) -> Resources:
    """What an agent must have that nobody has listed yet: what it offers and what runs on it."""
    executor = turn.state.settings.executor_resources if agent.use.slots else Resources()
    return largest_of([agent.offered + agent.use.resources + executor, agent.info.total])


def _is_stale(turn: Turn, agent: Agent) -> bool:
    at = agent.written_at
    return at is None or (turn.now - at).total_seconds() >= turn.state.settings.agents_seen_s


def _write(turn: Turn, agent: Agent, info: PutAgent) -> None:
    turn.state.describe_agent(agent, info)
    agent.written_at = turn.now
    turn.write(info)


def _drop(turn: Turn, agent_id: str) -> None:
    """The agent is gone or takes no tasks; its attempts end by updates and reconciliation, not by this."""
    agent = turn.state.remove_agent(agent_id)
    if agent is not None:
        if agent.offers:
            turn.call(Decline(offer_ids=tuple(agent.offers), refuse_s=turn.state.settings.refuse_s))
        turn.write(DeactivateAgent(agent_id=agent_id))
        turn.set_timer(Kind.MISSED, turn.state.settings.unknown_wait_s, (agent_id, 0))
        reconsider(turn)


def load(turn: Turn) -> None:
    """Whoever had gone before this core began may come back as well."""
    turn.set_timer(Kind.MISSED, turn.state.settings.unknown_wait_s)


def on_missed(turn: Turn, agent_id: str) -> None:
    """The agent has been gone for long, or whoever had gone before this core began has."""
    turn.state.forget_missed(agent_id)
    turn.state.all_missed = turn.state.all_missed or not agent_id
    reconsider(turn)


def reconsider(turn: Turn) -> None:
    """With another cluster, what was hopeless may not be any more."""
    turn.state.agents_changed = True
    for job_id in turn.state.waiting:
        turn.state.jobs[job_id].hopeless = False
    if turn.state.waiting:
        turn.set_timer(Kind.WHY, 0.3)

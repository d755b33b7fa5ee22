"""Maintenance windows of agents, and the questions to frameworks that follow from them (transcript 09c)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from local.master_state import Agent, Framework, InverseOffer, MasterState, send
from local.messages import MasterEffect

Json = dict[str, Any]


def machine_of(agent_info: Json) -> Json:
    return {"hostname": agent_info["hostname"], "ip": "127.0.0.1"}


def find_unavailability(state: MasterState, agent: Agent) -> Json | None:
    """Of the window for which the agent's machine is scheduled."""
    machine = machine_of(agent.info)
    for window in state.maintenance.windows:
        if machine in window.get("machine_ids", ()):
            found: Json = window["unavailability"]
            return found
    return None


def is_down(state: MasterState, agent_info: Json) -> bool:
    return machine_of(agent_info) in state.maintenance.down


def ask(state: MasterState, now: float, agents: Iterable[Agent]) -> list[MasterEffect]:
    """Inverse offers to every framework that holds or is offered something on an agent with a window.

    They come again after their filter, even when they were accepted; a window's start does nothing (surprise 46).
    """
    if not state.maintenance.windows:
        return []
    asked: dict[str, list[Json]] = {}
    for agent in agents:
        unavailability = find_unavailability(state, agent)
        if agent.connected and unavailability is not None:
            for framework in _find_holders(state, agent, now):
                document = _make_inverse_offer(state, framework, agent, unavailability, now)
                asked.setdefault(framework.framework_id, []).append(document)
    effects: list[MasterEffect] = []
    for framework_id, documents in asked.items():
        event = {"type": "INVERSE_OFFERS", "inverse_offers": {"inverse_offers": documents}}
        effects += send(state.frameworks[framework_id], event)
    return effects


def _find_holders(state: MasterState, agent: Agent, now: float) -> Iterator[Framework]:
    """Subscribed frameworks that are to be asked about the agent now."""
    holders = {framework_id for framework_id, _ in agent.executors}
    holders |= {offer.framework_id for offer in state.offers.values() if offer.agent_id == agent.agent_id}
    pending = {offer.framework_id for offer in state.inverse_offers.values() if offer.agent_id == agent.agent_id}
    for framework_id in sorted(holders - pending):
        framework = state.frameworks[framework_id]
        until = state.maintenance.filters.get((agent.agent_id, framework_id), 0.0)
        if framework.stream is not None and until <= now:
            yield framework


def _make_inverse_offer(
    state: MasterState, framework: Framework, agent: Agent, unavailability: Json, now: float
) -> Json:
    offer = InverseOffer(
        offer_id=state.make_offer_id(),
        framework_id=framework.framework_id,
        agent_id=agent.agent_id,
        expires_at=None if state.offer_timeout_s is None else now + state.offer_timeout_s,
    )
    state.inverse_offers[offer.offer_id] = offer
    hostname = agent.info["hostname"]
    return {
        "id": {"value": offer.offer_id},
        "url": {
            "scheme": "http",
            "address": {"hostname": hostname, "ip": "127.0.0.1", "port": agent.port},
            "path": "/slave(1)",
        },
        "framework_id": {"value": offer.framework_id},
        "agent_id": {"value": offer.agent_id},
        "unavailability": unavailability,
    }

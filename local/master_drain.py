"""DRAIN_AGENT, DEACTIVATE_AGENT, REACTIVATE_AGENT (transcripts 09d, 09e)."""

from __future__ import annotations

from typing import Any

from local.master_losses import mark_gone
from local.master_state import Agent, Drain, MasterState, rescind_agent
from local.messages import DrainAgent, MasterEffect, Respond

Json = dict[str, Any]
_UNKNOWN = Respond(status=400, text="Unknown agent")


def on_drain_agent(state: MasterState, body: Json, now: float) -> list[MasterEffect]:
    """Offers go at once, tasks by KILL; DRAINED when the last terminal update is acknowledged."""
    agent_id = body["agent_id"]["value"]
    if not _is_known(state, agent_id):
        return [_UNKNOWN]
    config: Json = {"mark_gone": body.get("mark_gone", False)}
    if "max_grace_period" in body:
        grace = body["max_grace_period"]
        nanoseconds = grace.get("seconds", 0) * 1_000_000_000 + grace.get("nanos", 0)
        if nanoseconds < 0:
            return [Respond(status=400, text="Expecting 'max_grace_period' to be non-negative")]
        config["max_grace_period"] = {"nanoseconds": nanoseconds}
    state.drains[agent_id] = Drain(config=config, since=now)
    return [*_deactivate(state, agent_id), *state.tell_agent(agent_id, DrainAgent(config=config))]


def on_deactivate_agent(state: MasterState, body: Json, now: float) -> list[MasterEffect]:
    """No offers any more; tasks go on."""
    agent_id = body["agent_id"]["value"]
    return _deactivate(state, agent_id) if _is_known(state, agent_id) else [_UNKNOWN]


def on_reactivate_agent(state: MasterState, body: Json, now: float) -> list[MasterEffect]:
    """Offers come again at the next tick."""
    agent_id = body["agent_id"]["value"]
    if agent_id not in state.deactivated:
        return [Respond(status=400, text="Agent is not deactivated")]
    state.deactivated.discard(agent_id)
    state.drains.pop(agent_id, None)
    return [Respond(status=200)]


def settle_drains(state: MasterState, now: float) -> list[MasterEffect]:
    """Draining agents without tasks are drained; or gone, where that was asked for.

    A task counts until its terminal update is acknowledged. An executor without tasks does not count.
    """
    effects: list[MasterEffect] = []
    for agent_id, drain in list(state.drains.items()):
        agent = state.agents.get(agent_id)
        if drain.drained or agent is None or not agent.connected or _has_tasks(state, agent):
            continue
        drain.drained = True
        if drain.config["mark_gone"]:
            effects += mark_gone(state, agent_id, now)
    return effects


def _has_tasks(state: MasterState, agent: Agent) -> bool:
    return any(t.agent_id == agent.agent_id for f in state.frameworks.values() for t in f.tasks.values())


def _is_known(state: MasterState, agent_id: str) -> bool:
    return agent_id in state.agents or agent_id in state.recovered_agents or agent_id in state.unreachable


def _deactivate(state: MasterState, agent_id: str) -> list[MasterEffect]:
    state.deactivated.add(agent_id)
    return [Respond(status=200), *rescind_agent(state, agent_id)]

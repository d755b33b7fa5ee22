"""Calls of the operator API that change something (transcripts 05, 09c, 09d, 09e)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from local.master_drain import on_deactivate_agent, on_drain_agent, on_reactivate_agent
from local.master_losses import mark_gone
from local.master_maintenance import on_start_maintenance, on_stop_maintenance, on_update_schedule
from local.master_state import MasterState
from local.messages import MasterEffect, Respond

Json = dict[str, Any]


def on_operator_call(state: MasterState, call: Json, now: float) -> list[MasterEffect]:
    return CALLS[call["type"]](state, call[call["type"].lower()], now)


def _on_mark_agent_gone(state: MasterState, body: Json, now: float) -> list[MasterEffect]:
    agent_id = body["agent_id"]["value"]
    known = (state.agents, state.recovered_agents, state.unreachable, state.gone)
    if not any(agent_id in agents for agents in known):
        return [Respond(status=404, text=f"Agent '{agent_id}' not found")]
    return [Respond(status=200), *mark_gone(state, agent_id, now)]


CALLS: dict[str, Callable[[MasterState, Json, float], list[MasterEffect]]] = {
    "MARK_AGENT_GONE": _on_mark_agent_gone,
    "DRAIN_AGENT": on_drain_agent,
    "DEACTIVATE_AGENT": on_deactivate_agent,
    "REACTIVATE_AGENT": on_reactivate_agent,
    "UPDATE_MAINTENANCE_SCHEDULE": on_update_schedule,
    "START_MAINTENANCE": on_start_maintenance,
    "STOP_MAINTENANCE": on_stop_maintenance,
}

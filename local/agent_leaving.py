"""How an agent ends: unregistered by an operator, refused by the master, or started only to clean up."""

from __future__ import annotations

from local.agent_executors import shut_down_framework
from local.agent_state import AgentSettings, AgentState
from local.messages import AgentEffect, AgentUnregistered, StopAgent, ToMaster


def on_unregister(settings: AgentSettings, state: AgentState, now: float) -> list[AgentEffect]:
    """SIGUSR1: executors are told SHUTDOWN, the master that the agent is gone (transcript 04e)."""
    message = ToMaster(message=AgentUnregistered(agent_id=state.agent_id))
    return [message, *leave(settings, state, now)]


def leave(settings: AgentSettings, state: AgentState, now: float) -> list[AgentEffect]:
    """Every executor ends; nothing that their tasks still say goes anywhere. It stops when the last one has exited."""
    state.registered, state.leaving = False, True
    state.recovering_until = state.register_at = None
    effects: list[AgentEffect] = []
    for framework_id in list(state.frameworks):
        effects += shut_down_framework(settings, state, framework_id, now)
    return effects + stop_when_empty(state)


def stop_when_empty(state: AgentState) -> list[AgentEffect]:
    if not state.leaving or state.executors or state.stopped:
        return []
    state.stopped = True
    return [StopAgent()]

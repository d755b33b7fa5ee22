"""How the master loses agents: a broken connection, the ping time-out, an agent that leaves, an operator's word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from local.master_state import (
    Agent,
    Framework,
    MasterState,
    Task,
    complete,
    note_status,
    remove_executor,
    remove_task,
    rescind_agent,
    send,
    set_task_state,
)
from local.messages import AgentGone, AgentUnregistered, MasterEffect, ShutdownAgent
from local.statuses import make_status, make_update_event

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """What schedulers are told of a lost agent's tasks; those without PARTITION_AWARE hear TASK_LOST."""

    message: str
    state: str = "TASK_LOST"
    reason: str = "REASON_AGENT_REMOVED"
    unreachable_at: float | None = None  # the tasks may come back


GONE = Loss(
    message="Agent has been marked gone", state="TASK_GONE_BY_OPERATOR", reason="REASON_AGENT_REMOVED_BY_OPERATOR"
)


def on_gone(state: MasterState, event: AgentGone, now: float) -> list[MasterEffect]:
    """A broken socket rescinds the agent's offers and deactivates it at once (surprise 28).

    Frameworks without checkpoint lose their tasks there in the same moment (M3, transcript 04i).
    """
    agent = state.agents.get(event.agent_id)
    if agent is None or not agent.connected:
        return []
    agent.connected, agent.unreachable_at = False, now + state.ping_timeout_s
    loss = Loss(message=f"Agent {agent.info['hostname']} disconnected", reason="REASON_AGENT_DISCONNECTED")
    effects: list[MasterEffect] = []
    for framework in state.frameworks.values():
        if not framework.info.get("checkpoint", False):
            effects += _lose_everything_of(state, framework, agent, loss, now)
    return effects + rescind_agent(state, agent.agent_id)


def find_next_loss(state: MasterState) -> float | None:
    due = [agent.unreachable_at for agent in state.agents.values() if agent.unreachable_at is not None]
    return min([*due, state.recovered_until] if state.recovered_agents else due, default=None)


def lose_overdue(state: MasterState, now: float) -> list[MasterEffect]:
    """The ping time-out of agents whose connection is broken: their tasks are unreachable."""
    effects = _give_up_recovered(state, now) if state.recovered_until <= now else []
    for agent in list(state.agents.values()):
        if agent.unreachable_at is not None and agent.unreachable_at <= now:
            loss = Loss(
                message="health check timed out",
                state="TASK_UNREACHABLE",
                reason="REASON_AGENT_REMOVED",
                unreachable_at=now,
            )
            effects += remove_agent(state, agent, loss, now)
            state.unreachable[agent.agent_id] = now
    return effects


def _give_up_recovered(state: MasterState, now: float) -> list[MasterEffect]:
    """Agents of the registry that have not come back after a failover; of their tasks the master knows nothing."""
    effects: list[MasterEffect] = []
    for agent_id in list(state.recovered_agents):
        del state.recovered_agents[agent_id]
        state.unreachable[agent_id] = now
        effects += _tell_agent_lost(state, agent_id)
    return effects


def _tell_agent_lost(state: MasterState, agent_id: str) -> list[MasterEffect]:
    failure: Json = {"type": "FAILURE", "failure": {"agent_id": {"value": agent_id}}}
    return [effect for framework in state.frameworks.values() for effect in send(framework, failure)]


def on_unregistered(state: MasterState, event: AgentUnregistered, now: float) -> list[MasterEffect]:
    """TASK_LOST even for PARTITION_AWARE frameworks (surprise 16)."""
    agent = state.agents.get(event.agent_id)
    if agent is None:
        return []
    loss = Loss(message=f"Agent {agent.info['hostname']} removed: the agent unregistered")
    return remove_agent(state, agent, loss, now)


def mark_gone(state: MasterState, agent_id: str, now: float) -> list[MasterEffect]:
    """The operator vouches that the agent never comes back: its tasks are terminal, and it is refused from now on."""
    if agent_id in state.gone:
        return []
    state.gone[agent_id] = now
    state.drains.pop(agent_id, None)
    state.deactivated.discard(agent_id)
    state.recovered_agents.pop(agent_id, None)
    agent = state.agents.get(agent_id)
    if agent is not None:
        shutdown = state.tell_agent(agent_id, ShutdownAgent(message=GONE.message))
        return remove_agent(state, agent, GONE, now) + shutdown
    state.unreachable.pop(agent_id, None)
    effects: list[MasterEffect] = []
    for framework in state.frameworks.values():
        for task in [t for t in framework.unreachable.values() if t.agent_id == agent_id]:
            effects += _tell_loss(framework, task, GONE, now)
            del framework.unreachable[task.task_id]
            task.state = task.forwarded
            complete(framework, task)
    return effects


def remove_agent(state: MasterState, agent: Agent, loss: Loss, now: float) -> list[MasterEffect]:
    """Tasks first, then RESCINDs, then FAILURE with the agent's id alone (transcripts 04e, 05, 09c)."""
    effects: list[MasterEffect] = []
    for framework in state.frameworks.values():
        effects += _lose_everything_of(state, framework, agent, loss, now)
    effects += rescind_agent(state, agent.agent_id)
    del state.agents[agent.agent_id]
    return effects + _tell_agent_lost(state, agent.agent_id)


def _lose_everything_of(
    state: MasterState, framework: Framework, agent: Agent, loss: Loss, now: float
) -> list[MasterEffect]:
    """A framework's tasks and executors on one agent."""
    effects: list[MasterEffect] = []
    for task in state.tasks_of(framework, agent.agent_id):
        effects += _tell_loss(framework, task, loss, now)
        set_task_state(state, framework, task, task.forwarded)
        if loss.unreachable_at is None:
            remove_task(state, framework, task)
        else:
            _set_aside(state, framework, task)
    for _, executor_id in [key for key in agent.executors if key[0] == framework.framework_id]:
        remove_executor(state, framework, agent.agent_id, executor_id)
    return effects


def _set_aside(state: MasterState, framework: Framework, task: Task) -> None:
    """It may come back with its agent."""
    remove_task(state, framework, task)
    framework.completed.pop()
    framework.unreachable[task.task_id] = task


def _tell_loss(framework: Framework, task: Task, loss: Loss, now: float) -> list[MasterEffect]:
    aware = framework.partition_aware
    reason = loss.reason if aware or loss.state == "TASK_LOST" else "REASON_AGENT_REMOVED"
    status = make_status(
        task.task_id,
        loss.state if aware else "TASK_LOST",
        source="SOURCE_MASTER",
        reason=reason,
        message=loss.message,
        timestamp=now,
        agent_id=task.agent_id,
        executor_id=task.executor_id,
        unreachable_at=loss.unreachable_at,
    )
    note_status(task, status)
    return send(framework, make_update_event(status))

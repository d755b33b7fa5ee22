"""Agents at the master: registration, return after a restart, broken connections."""

from __future__ import annotations

from typing import Any

from local.allocator import allocate
from local.master_state import (
    Agent,
    Executor,
    Framework,
    MasterState,
    Task,
    occupy,
    release,
    remove_executor,
    send,
    take_back,
)
from local.master_tasks import note_status
from local.messages import AgentAccepted, AgentGone, AgentRegistered, FrameworkSubscribed, MasterEffect, ToAgent
from local.resources import from_wire, role_of
from local.statuses import is_terminal, make_status, make_update_event

Json = dict[str, Any]


def on_registered(state: MasterState, event: AgentRegistered, now: float) -> list[MasterEffect]:
    """Take the agent and everything it runs over, and offer what is free at once."""
    agent_id: str = event.agent_info["id"]["value"]
    was_known = state.recovered_agents.pop(agent_id, None) is not None
    known = state.agents.get(agent_id)
    agent = Agent(
        agent_id=agent_id,
        info=event.agent_info,
        port=event.port,
        total=from_wire(event.agent_info["resources"]),
        registered_at=known.registered_at if known else now,
        reregistered_at=now if event.again else None,
    )
    if known is not None:
        _forget(state, known)
    state.agents[agent_id] = agent
    _add_executors(state, event, agent, now)
    effects = _add_tasks(state, event, agent, now, silent=was_known or known is not None)
    effects.append(ToAgent(agent_id=agent_id, message=AgentAccepted()))
    effects += [ToAgent(agent_id=agent_id, message=kill) for kill in (known.kept_kills if known else ())]
    for framework in state.frameworks.values():
        if framework.stream is not None:
            # The second of the two resends that follow a re-registration (surprise 12).
            message = FrameworkSubscribed(framework_info=framework.info)
            effects.append(ToAgent(agent_id=agent_id, message=message))
    return effects + allocate(state, now, [agent])


def _forget(state: MasterState, agent: Agent) -> None:
    """What the agent reports from now on replaces what was known of it."""
    for offer in [o for o in state.offers.values() if o.agent_id == agent.agent_id]:
        take_back(state, offer)
    for framework in state.frameworks.values():
        for _, executor_id in [k for k in agent.executors if k[0] == framework.framework_id]:
            remove_executor(state, framework, agent.agent_id, executor_id)
        for task in [t for t in framework.tasks.values() if t.agent_id == agent.agent_id]:
            if not task.released:
                release(state, framework, agent.agent_id, role_of(task.info), task.bundle)
            del framework.tasks[task.task_id]


def _find_or_recover(state: MasterState, info: Json, now: float) -> Framework:
    """Frameworks are not in the registry; agents bring them back, and the failover time-out starts anew (M2)."""
    framework_id = info["id"]["value"]
    framework = state.frameworks.get(framework_id)
    if framework is None:
        framework = Framework(info=info, registered_at=now, reregistered_at=now, recovered=True)
        framework.remove_at = now + info.get("failover_timeout", 0.0)
        state.frameworks[framework_id] = framework
    return framework


def _add_executors(state: MasterState, event: AgentRegistered, agent: Agent, now: float) -> None:
    for info in event.frameworks:
        _find_or_recover(state, info, now)
    for info in event.executors:
        framework = state.frameworks[info["framework_id"]["value"]]
        bundle = from_wire(info.get("resources", ()))
        agent.executors[(framework.framework_id, info["executor_id"]["value"])] = Executor(info=info, bundle=bundle)
        occupy(state, framework, agent.agent_id, role_of(info), bundle)


def _add_tasks(
    state: MasterState, event: AgentRegistered, agent: Agent, now: float, *, silent: bool
) -> list[MasterEffect]:
    effects: list[MasterEffect] = []
    for reported in event.tasks:
        framework = state.frameworks[reported.framework_id]
        forwarded = reported.forwarded
        task = Task(
            info=reported.info,
            framework_id=reported.framework_id,
            agent_id=agent.agent_id,
            executor_id=reported.info["executor"]["executor_id"]["value"],
            bundle=from_wire(reported.info["resources"]),
            state=reported.state,
            forwarded="TASK_STAGING",
            released=is_terminal(reported.state),
        )
        if forwarded is not None:
            note_status(task, forwarded)
        framework.tasks[task.task_id] = task
        if not task.released:
            occupy(state, framework, agent.agent_id, role_of(task.info), task.bundle)
            if not silent and event.again:
                effects += send(framework, make_update_event(_tell_return(task, now)))
    return effects


def _tell_return(task: Task, now: float) -> Json:
    """An agent that the registry does not know is taken over with its tasks (surprise 29)."""
    container = task.statuses[-1].get("container_status") if task.statuses else None
    return make_status(
        task.task_id,
        task.forwarded,
        source="SOURCE_MASTER",
        reason="REASON_AGENT_REREGISTERED",
        message="Unknown agent reregistered",
        timestamp=now,
        agent_id=task.agent_id,
        executor_id=task.executor_id,
        container_status=container,
    )


def on_gone(state: MasterState, event: AgentGone, now: float) -> list[MasterEffect]:
    """A broken socket rescinds the agent's offers and deactivates it at once (surprise 28)."""
    agent = state.agents.get(event.agent_id)
    if agent is None:
        return []
    agent.active = False
    effects: list[MasterEffect] = []
    for offer in [o for o in state.offers.values() if o.agent_id == agent.agent_id]:
        take_back(state, offer)
        rescind = {"type": "RESCIND", "rescind": {"offer_id": {"value": offer.offer_id}}}
        effects += send(state.frameworks[offer.framework_id], rescind)
    return effects

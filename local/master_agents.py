"""Agents at the master: registration, and return after a restart or a partition. Their loss: master_losses.py."""

from __future__ import annotations

from typing import Any

from local.allocator import allocate
from local.master_state import (
    Agent,
    Executor,
    Framework,
    MasterState,
    Task,
    note_status,
    occupy,
    release,
    remove_executor,
    rescind_agent,
    send,
)
from local.messages import (
    AgentAccepted,
    AgentRegistered,
    DrainAgent,
    FrameworkSubscribed,
    MasterEffect,
    MasterMessage,
    ReconcileTasks,
    ReportedTask,
    ShutdownAgent,
    ShutdownFramework,
    ToAgent,
)
from local.resources import from_wire, role_of
from local.statuses import is_terminal, make_status, make_update_event
from local.windows import is_down

Json = dict[str, Any]


def on_registered(state: MasterState, event: AgentRegistered, now: float) -> list[MasterEffect]:
    """Take the agent and everything it runs over, and offer what is free at once."""
    agent_id: str = event.agent_info["id"]["value"]
    refusal = _find_refusal(state, event.agent_info)
    if refusal is not None:
        return [ToAgent(agent_id=agent_id, message=ShutdownAgent(message=refusal))]
    known = state.agents.get(agent_id)
    welcome = _find_welcome(state, agent_id) if event.again else None
    state.recovered_agents.pop(agent_id, None)
    state.unreachable.pop(agent_id, None)
    effects = rescind_agent(state, agent_id)
    old = _forget(state, known) if known is not None else {}
    agent = state.agents[agent_id] = _make_agent(event, known, now)
    effects += _add_frameworks(state, event, now)
    _add_executors(state, event, agent)
    effects += _add_tasks(state, event, agent, old, now, welcome)
    missing = [task for task in old.values() if not task.released]
    for task in missing:
        _add_missing(state, agent, task)
    told: list[MasterMessage] = [AgentAccepted(), *_ask_for(state, missing), *_find_drain(state, agent_id)]
    told += known.kept_kills if known else ()
    # The second of the two resends that follow a re-registration (surprise 12).
    told += [FrameworkSubscribed(framework_info=f.info) for f in state.frameworks.values() if f.stream is not None]
    effects += [ToAgent(agent_id=agent_id, message=message) for message in told]
    return effects + allocate(state, now, [agent])


def _find_refusal(state: MasterState, agent_info: Json) -> str | None:
    """Why an agent may not serve; it shuts down then (transcripts 05, 09c)."""
    if agent_info["id"]["value"] in state.gone:
        return "Agent has been marked gone"
    return "Machine is 'DOWN'" if is_down(state, agent_info) else None


def _make_agent(event: AgentRegistered, known: Agent | None, now: float) -> Agent:
    total = from_wire(event.agent_info["resources"])
    return Agent(
        agent_id=event.agent_info["id"]["value"],
        info=event.agent_info,
        port=event.port,
        total=total,
        reserved=total.reserved,
        registered_at=known.registered_at if known else now,
        reregistered_at=now if event.again else None,
    )


def _find_drain(state: MasterState, agent_id: str) -> list[MasterMessage]:
    drain = state.drains.get(agent_id)
    return [] if drain is None else [DrainAgent(config=drain.config)]


def _find_welcome(state: MasterState, agent_id: str) -> str | None:
    """What schedulers are told of the tasks of an agent that was given up or is not in the registry (surprise 29)."""
    if agent_id in state.unreachable:
        return "Unreachable agent re-reregistered"  # (sic)
    known = agent_id in state.agents or agent_id in state.recovered_agents
    return None if known else "Unknown agent reregistered"


def _forget(state: MasterState, agent: Agent) -> dict[tuple[str, str], Task]:
    """What the agent reports from now on replaces what was known of it; -> the tasks, by framework and task id."""
    old: dict[tuple[str, str], Task] = {}
    for framework in state.frameworks.values():
        for _, executor_id in [k for k in agent.executors if k[0] == framework.framework_id]:
            remove_executor(state, framework, agent.agent_id, executor_id)
        for task in state.tasks_of(framework, agent.agent_id):
            if not task.released:
                release(state, framework, agent.agent_id, role_of(task.info), task.bundle)
            old[(framework.framework_id, task.task_id)] = framework.tasks.pop(task.task_id)
    return old


def _add_missing(state: MasterState, agent: Agent, task: Task) -> None:
    framework = state.frameworks[task.framework_id]
    framework.tasks[task.task_id] = task
    occupy(state, framework, agent.agent_id, role_of(task.info), task.bundle)


def _ask_for(state: MasterState, missing: list[Task]) -> list[MasterMessage]:
    """Their launches were lost on the way; the agent answers with TASK_DROPPED."""
    pairs = tuple((state.frameworks[task.framework_id].info, task.info) for task in missing)
    return [ReconcileTasks(tasks=pairs)] if pairs else []


def _add_frameworks(state: MasterState, event: AgentRegistered, now: float) -> list[MasterEffect]:
    """Frameworks are not in the registry; agents bring them back, and the failover time-out starts anew (M2).

    Those that were removed while the agent was away end there, too.
    """
    agent_id, effects = event.agent_info["id"]["value"], list[MasterEffect]()
    for info in event.frameworks:
        framework_id = info["id"]["value"]
        if framework_id in state.removed:
            effects.append(ToAgent(agent_id=agent_id, message=ShutdownFramework(framework_id=framework_id)))
        elif framework_id not in state.frameworks:
            framework = Framework(info=info, registered_at=now, reregistered_at=now, recovered=True)
            framework.remove_at = now + info.get("failover_timeout", 0.0)
            state.frameworks[framework_id] = framework
    return effects


def _add_executors(state: MasterState, event: AgentRegistered, agent: Agent) -> None:
    for info in event.executors:
        framework = state.frameworks.get(info["framework_id"]["value"])
        if framework is not None:
            bundle = from_wire(info.get("resources", ()))
            agent.executors[(framework.framework_id, info["executor_id"]["value"])] = Executor(info=info, bundle=bundle)
            occupy(state, framework, agent.agent_id, role_of(info), bundle)


def _add_tasks(
    state: MasterState,
    event: AgentRegistered,
    agent: Agent,
    old: dict[tuple[str, str], Task],
    now: float,
    welcome: str | None,
) -> list[MasterEffect]:
    effects: list[MasterEffect] = []
    for reported in event.tasks:
        framework = state.frameworks.get(reported.framework_id)
        if framework is None:
            continue
        task = _make_task(reported, agent)
        _keep_history(
            task, old.pop((task.framework_id, task.task_id), None), framework.unreachable.pop(task.task_id, None)
        )
        if reported.forwarded is not None:
            update = task.update
            note_status(task, reported.forwarded)
            task.update = update
        framework.tasks[task.task_id] = task
        if not task.released:
            occupy(state, framework, agent.agent_id, role_of(task.info), task.bundle)
            if welcome is not None:
                effects += send(framework, make_update_event(_tell_return(task, welcome, now)))
    return effects


def _keep_history(task: Task, known: Task | None, unreachable: Task | None) -> None:
    """A task that was given up comes back as its agent knows it, without what the master had said meanwhile."""
    if known is not None:
        task.statuses, task.update = known.statuses, known.update
    elif unreachable is not None:
        task.statuses = [status for status in unreachable.statuses if "uuid" in status]


def _make_task(reported: ReportedTask, agent: Agent) -> Task:
    return Task(
        info=reported.info,
        framework_id=reported.framework_id,
        agent_id=agent.agent_id,
        executor_id=reported.info["executor"]["executor_id"]["value"],
        bundle=from_wire(reported.info["resources"]),
        state=reported.state,
        forwarded="TASK_STAGING",
        released=is_terminal(reported.state),
    )


def _tell_return(task: Task, welcome: str, now: float) -> Json:
    container = task.statuses[-1].get("container_status") if task.statuses else None
    return make_status(
        task.task_id,
        task.forwarded,
        source="SOURCE_MASTER",
        reason="REASON_AGENT_REREGISTERED",
        message=welcome,
        timestamp=now,
        agent_id=task.agent_id,
        executor_id=task.executor_id,
        container_status=container,
    )

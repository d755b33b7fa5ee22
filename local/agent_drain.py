"""Draining at the agent (transcripts 09d, 09e)."""

from __future__ import annotations

from typing import Any

from local.agent_executors import on_kill_task
from local.agent_state import AgentSettings, AgentState, Task
from local.messages import AgentEffect, DrainAgent, KillTask, Record
from local.statuses import is_terminal

Json = dict[str, Any]


def on_drain(settings: AgentSettings, state: AgentState, message: DrainAgent, now: float) -> list[AgentEffect]:
    """KILL for every task, with the shorter of its own grace and the operator's."""
    effects = set_drain(state, message.config)
    for task in list(state.tasks.values()):
        if not is_terminal(task.state):
            kill = KillTask(
                framework_id=task.framework_id, task_id=task.task_id, kill_policy=_find_policy(task, message.config)
            )
            effects += on_kill_task(settings, state, kill, now)
    return effects + end_drain(state)


def _find_policy(task: Task, config: Json) -> Json | None:
    """None where the task's own, or its executor's default, is to count."""
    longest = config.get("max_grace_period")
    if longest is None:
        return None
    own = task.info.get("kill_policy", {}).get("grace_period")
    if own is not None and own["nanoseconds"] <= longest["nanoseconds"]:
        return None
    return {"grace_period": longest}


def set_drain(state: AgentState, config: Json | None) -> list[AgentEffect]:
    if state.drain == config:
        return []
    state.drain = config
    return [Record(record={"k": "drain", "config": config})]


def end_drain(state: AgentState) -> list[AgentEffect]:
    """Over when the agent runs nothing any more."""
    return set_drain(state, None) if state.drain is not None and not state.executors else []

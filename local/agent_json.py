"""An agent's answers to operators: /state, /containers, metrics, the v1 GET_* calls (transcript 12)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from local.agent import Agent
from local.agent_state import Executor, Phase, Task
from local.resources import Bundle, from_wire, role_of, sum_bundles
from local.state_parts import (
    AGENT_CAPABILITIES,
    attributes_of,
    full_by_reservation,
    resources_by_reservation,
    task_document,
    task_state,
    update_fields,
)
from local.statuses import VERSION, format_duration, is_terminal

Json = dict[str, Any]


def _statuses(task: Task) -> list[Json]:
    first = [] if task.forwarded is None or task.forwarded in task.pending else [task.forwarded]
    return [*first, *task.pending]


def _bundle_of(agent: Agent, executor: Executor) -> Bundle:
    """What an executor and its tasks hold."""
    total = from_wire(executor.info.get("resources", ()))
    for task in agent.state.tasks_of(executor):
        if not is_terminal(task.state):
            total = total + from_wire(task.info["resources"])
    return total


def _used(agent: Agent) -> Bundle:
    return sum_bundles(_bundle_of(agent, executor) for executor in agent.state.executors.values())


def make_state(agent: Agent) -> Json:
    settings, state = agent.settings, agent.state
    total = from_wire(settings.info["resources"])
    return {
        "version": VERSION,
        "id": state.agent_id,
        "pid": f"slave(1)@{settings.hostname}:{settings.port}",
        "hostname": settings.info["hostname"],
        "capabilities": list(AGENT_CAPABILITIES),
        "resources": total.to_state(),
        **resources_by_reservation(total),
        **full_by_reservation(total),
        "reserved_resources_allocated": {},
        "unreserved_resources_allocated": _used(agent).to_state(),
        "resource_providers": [],
        "attributes": attributes_of(settings.info),
        "master_hostname": settings.hostname,
        "flags": {
            "work_dir": settings.work_dir,
            "executor_registration_timeout": format_duration(settings.registration_timeout_s),
            "executor_reregistration_timeout": format_duration(settings.reregistration_timeout_s),
            "executor_shutdown_grace_period": format_duration(settings.shutdown_grace_s),
        },
        "frameworks": [_framework(agent, info) for info in state.frameworks.values()],
        "completed_frameworks": [],
    }


def _framework(agent: Agent, info: Json) -> Json:
    framework_id = info["id"]["value"]
    executors = [e for e in agent.state.executors.values() if e.framework_id == framework_id]
    return {
        "id": framework_id,
        "name": info["name"],
        "user": info["user"],
        "failover_timeout": info.get("failover_timeout", 0.0),
        "checkpoint": info.get("checkpoint", False),
        "hostname": info.get("hostname", ""),
        "roles": info.get("roles", []),
        "executors": [_executor(agent, executor) for executor in executors],
        "completed_executors": [],
    }


def _executor(agent: Agent, executor: Executor) -> Json:
    tasks = list(agent.state.tasks_of(executor))
    queued = {info["task_id"]["value"] for info in executor.queued}

    def show(chosen: Iterable[Task]) -> list[Json]:
        return [
            task_state(t.info, t.framework_id, t.state, from_wire(t.info["resources"]), _statuses(t)) for t in chosen
        ]

    return {
        "id": executor.executor_id,
        "name": executor.info.get("name", ""),
        "source": executor.info.get("source", ""),
        "container": executor.container_id,
        "directory": agent.directory_of(executor),
        "resources": _bundle_of(agent, executor).to_state(),
        "role": role_of(executor.info),
        "type": executor.info.get("type", "CUSTOM"),
        "tasks": show(t for t in tasks if not is_terminal(t.state) and t.task_id not in queued),
        "queued_tasks": list(executor.queued),
        "completed_tasks": show(t for t in tasks if is_terminal(t.state)),
    }


def make_containers(agent: Agent, now: float, measure: Callable[[int], Json]) -> list[Json]:
    """/containers; `measure(pid)` gives cpu times and resident memory."""
    containers = []
    for executor in agent.state.executors.values():
        bundle = _bundle_of(agent, executor)
        limit = int(bundle.amount("mem") * 1024 * 1024)
        statistics: Json = {"cpus_soft_limit": bundle.amount("cpus"), "timestamp": now}
        statistics |= {"mem_limit_bytes": limit, "mem_soft_limit_bytes": limit}
        status: Json = {"container_id": {"value": executor.container_id}}
        if executor.pid is not None:
            statistics |= measure(executor.pid)
            status["executor_pid"] = executor.pid
        containers.append(
            {
                "container_id": executor.container_id,
                "executor_id": executor.executor_id,
                "executor_name": executor.info.get("name", ""),
                "framework_id": executor.framework_id,
                "source": executor.info.get("source", ""),
                "statistics": statistics,
                "status": status,
            }
        )
    return containers


def get_containers(agent: Agent, now: float, measure: Callable[[int], Json]) -> Json:
    """v1 GET_CONTAINERS."""
    containers = []
    for shown in make_containers(agent, now, measure):
        container: Json = {name: {"value": shown[name]} for name in ("framework_id", "executor_id", "container_id")}
        container["executor_name"] = shown["executor_name"]
        container["container_status"] = shown["status"]
        container["resource_statistics"] = shown["statistics"]
        containers.append(container)
    return {"containers": containers}


def get_agent(agent: Agent) -> Json:
    return {"agent_info": agent.settings.info | {"id": {"value": agent.state.agent_id}}}


def get_executors(agent: Agent) -> Json:
    executors = [{"executor_info": executor.info} for executor in agent.state.executors.values()]
    return {"executors": executors, "completed_executors": []}


def get_frameworks(agent: Agent) -> Json:
    frameworks = [{"framework_info": info} for info in agent.state.frameworks.values()]
    return {"frameworks": frameworks, "completed_frameworks": []}


def get_tasks(agent: Agent) -> Json:
    queued = {info["task_id"]["value"] for e in agent.state.executors.values() for info in e.queued}
    found: dict[str, list[Json]] = {"queued_tasks": [], "launched_tasks": [], "terminated_tasks": []}
    for task in agent.state.tasks.values():
        statuses = _statuses(task)
        document = task_document(task.info, task.framework_id, task.state, statuses)
        document |= update_fields(statuses[-1]) if statuses else {}
        kind = "terminated" if is_terminal(task.state) else "queued" if task.task_id in queued else "launched"
        found[f"{kind}_tasks"].append(document)
    return {"pending_tasks": [], **found, "completed_tasks": []}


def get_state(agent: Agent) -> Json:
    return {
        "get_tasks": get_tasks(agent),
        "get_executors": get_executors(agent),
        "get_frameworks": get_frameworks(agent),
    }


def make_metrics(agent: Agent) -> dict[str, float]:
    """The gauges of /metrics/snapshot that can be told from the state."""
    state = agent.state
    metrics = {"slave/registered": float(state.registered), "slave/frameworks_active": float(len(state.frameworks))}
    total, used = from_wire(agent.settings.info["resources"]), _used(agent)
    for name in ("cpus", "mem", "disk", "gpus"):
        metrics[f"slave/{name}_total"], metrics[f"slave/{name}_used"] = total.amount(name), used.amount(name)
        metrics[f"slave/{name}_percent"] = used.amount(name) / total.amount(name) if total.amount(name) else 0.0
    phases = Counter(executor.phase for executor in state.executors.values())
    for phase in Phase:
        metrics[f"slave/executors_{phase.lower()}"] = float(phases[phase])
    states = Counter(task.state for task in state.tasks.values())
    for kind in ("staging", "starting", "running", "killing"):
        metrics[f"slave/tasks_{kind}"] = float(states[f"TASK_{kind.upper()}"])
    return metrics

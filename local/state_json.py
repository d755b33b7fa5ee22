"""The master's answers to operators: /state and its parts, and the v1 GET_* calls (transcript 12)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from local.allocator import to_document
from local.master_state import Agent, Framework, MasterState, Offer, Task
from local.resources import EMPTY, Bundle, role_of, sum_bundles
from local.state_parts import (
    AGENT_CAPABILITIES,
    attributes_of,
    command_of,
    full_by_reservation,
    nanoseconds,
    resources_by_reservation,
    task_document,
    task_state,
    update_fields,
)
from local.statuses import VERSION

Json = dict[str, Any]


# --- what is used or offered, by role ---------------------------------------------------------------------------------


def _wire_by_role(parts: Iterable[tuple[str, Bundle]], *, ranges_first: bool = False) -> list[Json]:
    totals: dict[str, Bundle] = {}
    for role, bundle in parts:
        totals[role] = totals.get(role, EMPTY) + bundle
    return [
        r
        for role, bundle in totals.items()
        for r in bundle.to_wire(allocated=role, form="both", ranges_first=ranges_first)
    ]


def _offers_by_agent(state: MasterState) -> Mapping[str, list[Offer]]:
    """Once for all agents: there may be thousands of both."""
    found: dict[str, list[Offer]] = defaultdict(list)
    for offer in state.offers.values():
        found[offer.agent_id].append(offer)
    return found


def _offered(offers: list[Offer]) -> Iterator[tuple[str, Bundle]]:
    return ((offer.role, offer.bundle) for offer in offers)


# --- v1 -------------------------------------------------------------------------------------------------------------


def get_agents(state: MasterState) -> Json:
    offers = _offers_by_agent(state)
    agents = [_agent_document(state, agent, offers.get(agent.agent_id, [])) for agent in state.agents.values()]
    return {"agents": agents, "recovered_agents": list(state.recovered_agents.values())}


def _agent_document(state: MasterState, agent: Agent, offers: list[Offer]) -> Json:
    document: Json = {
        "agent_info": agent.info,
        "active": state.is_active(agent),
        "deactivated": agent.agent_id in state.deactivated,
        "version": VERSION,
        "pid": f"slave(1)@127.0.0.1:{agent.port}",
        "registered_time": nanoseconds(agent.registered_at),
    }
    if agent.reregistered_at is not None:
        document["reregistered_time"] = nanoseconds(agent.reregistered_at)
    document["total_resources"] = agent.total.to_wire(form="both")
    allocated = _wire_by_role(agent.used_by_role.items())
    if allocated:
        document["allocated_resources"] = allocated
    if offers:
        document["offered_resources"] = _wire_by_role(_offered(offers), ranges_first=True)
    document["capabilities"] = [{"type": name} for name in AGENT_CAPABILITIES]
    return document | _drain_document(state, agent)


def _drain_document(state: MasterState, agent: Agent) -> Json:
    drain = state.drains.get(agent.agent_id)
    if drain is None:
        return {}
    info = {"state": "DRAINED" if drain.drained else "DRAINING", "config": drain.config}
    return {"drain_info": info, "estimated_drain_start_time": nanoseconds(float(int(drain.since)))}


def get_frameworks(state: MasterState) -> Json:
    return {
        "frameworks": [_framework_document(state, framework) for framework in state.frameworks.values()],
        "completed_frameworks": [_framework_document(state, framework) for framework in state.removed.values()],
    }


def _framework_document(state: MasterState, framework: Framework) -> Json:
    document: Json = {
        "framework_info": framework.info,
        "active": framework.stream is not None,
        "connected": framework.stream is not None,
        "recovered": framework.recovered,
        "registered_time": nanoseconds(framework.registered_at),
        "reregistered_time": nanoseconds(framework.reregistered_at),
    }
    if framework.unregistered_at:
        document["unregistered_time"] = nanoseconds(framework.unregistered_at)
    offers = list(state.offers_of(framework.framework_id))
    if offers:
        document["offers"] = [to_document(state, offer) for offer in offers]
    allocated = _wire_by_role(framework.used_by_role.items())
    if allocated:
        document["allocated_resources"] = allocated
    if offers:
        document["offered_resources"] = _wire_by_role(_offered(offers), ranges_first=True)
    return document | {"offer_constraints": framework.constraints}


def get_tasks(state: MasterState) -> Json:
    completed = [
        _task_document(task)
        for framework in (*state.frameworks.values(), *state.removed.values())
        for task in framework.completed
    ]
    running = [_task_document(task) for framework in state.frameworks.values() for task in framework.tasks.values()]
    unreachable = [_task_document(t) for framework in state.frameworks.values() for t in framework.unreachable.values()]
    return {"tasks": running, "unreachable_tasks": unreachable, "completed_tasks": completed}


def _task_document(task: Task) -> Json:
    return task_document(task.info, task.framework_id, task.state, task.statuses) | (
        update_fields(task.update) if task.update else {}
    )


def get_executors(state: MasterState) -> Json:
    executors = [
        {"executor_info": executor.info, "agent_id": {"value": agent.agent_id}}
        for agent in state.agents.values()
        for executor in agent.executors.values()
    ]
    return {"executors": executors}


def get_state(state: MasterState) -> Json:
    return {
        "get_tasks": get_tasks(state),
        "get_executors": get_executors(state),
        "get_frameworks": get_frameworks(state),
        "get_agents": get_agents(state),
    }


def get_roles(state: MasterState) -> Json:
    by_role: dict[str, list[Json]] = {}
    for framework in state.frameworks.values():
        for role in framework.roles:
            by_role.setdefault(role, []).append(framework.info["id"])
    return {"roles": [{"name": name, "weight": 1.0, "frameworks": ids} for name, ids in by_role.items()]}


def get_master(state: MasterState) -> Json:
    return {
        "master_info": state.master_info(),
        "start_time": state.started_at,
        "elected_time": state.started_at,
    }


# --- /state ---------------------------------------------------------------------------------------------------------


def make_state(state: MasterState) -> Json:
    pid = f"master@{state.hostname}:{state.port}"
    active = sum(state.is_active(agent) for agent in state.agents.values())
    return {
        "version": VERSION,
        "start_time": state.started_at,
        "elected_time": state.started_at,
        "id": state.master_id,
        "pid": pid,
        "hostname": state.hostname,
        "capabilities": [entry["type"] for entry in state.master_info()["capabilities"]],
        "activated_slaves": float(active),
        "deactivated_slaves": float(len(state.agents) - active),
        "unreachable_slaves": float(len(state.unreachable)),
        "leader": pid,
        "leader_info": {"id": state.master_id, "pid": pid, "port": state.port, "hostname": state.hostname},
        "flags": {"allocation_interval": f"{state.interval_s:g}secs"},
        "slaves": [_slave(state, agent) for agent in state.agents.values()],
        "recovered_slaves": list(state.recovered_agents.values()),
        **make_frameworks(state),
        "orphan_tasks": [],
    }


def _slave(state: MasterState, agent: Agent) -> Json:
    return {
        "id": agent.agent_id,
        "hostname": agent.info["hostname"],
        "port": agent.port,
        "attributes": attributes_of(agent.info),
        "pid": f"slave(1)@127.0.0.1:{agent.port}",
        "registered_time": agent.registered_at,
        **({} if agent.reregistered_at is None else {"reregistered_time": agent.reregistered_at}),
        "resources": agent.total.to_state(),
        "used_resources": agent.used.to_state(),
        "offered_resources": agent.offered.to_state(),
        **resources_by_reservation(agent.total),
        "active": state.is_active(agent),
        "deactivated": agent.agent_id in state.deactivated,
        **_drain_document(state, agent),
        "version": VERSION,
        "capabilities": list(AGENT_CAPABILITIES),
    }


def make_slaves(state: MasterState) -> Json:
    """/slaves: as in /state, and the resources in full."""
    slaves, offers = [], _offers_by_agent(state)
    for agent in state.agents.values():
        full = {
            **full_by_reservation(agent.total),
            "used_resources_full": _wire_by_role(agent.used_by_role.items()),
            "offered_resources_full": _wire_by_role(_offered(offers.get(agent.agent_id, [])), ranges_first=True),
        }
        slaves.append(_slave(state, agent) | full)
    return {"slaves": slaves, "recovered_slaves": list(state.recovered_agents.values())}


def make_frameworks(state: MasterState) -> Json:
    return {
        "frameworks": [_framework(state, framework) for framework in state.frameworks.values()],
        "completed_frameworks": [_framework(state, framework) for framework in state.removed.values()],
        "unregistered_frameworks": [],
    }


def _framework(state: MasterState, framework: Framework) -> Json:
    info, offers = framework.info, list(state.offers_of(framework.framework_id))
    offered = sum_bundles(offer.bundle for offer in offers)
    return {
        "id": framework.framework_id,
        "name": info["name"],
        "used_resources": framework.used.to_state(),
        "offered_resources": offered.to_state(),
        "capabilities": [entry.get("type") for entry in info.get("capabilities", ())],
        "hostname": info.get("hostname", ""),
        "webui_url": info.get("webui_url", ""),
        "active": framework.stream is not None,
        "connected": framework.stream is not None,
        "recovered": framework.recovered,
        "user": info["user"],
        "failover_timeout": info.get("failover_timeout", 0.0),
        "checkpoint": info.get("checkpoint", False),
        "registered_time": framework.registered_at,
        "unregistered_time": framework.unregistered_at,
        "resources": (framework.used + offered).to_state(),
        "roles": framework.roles,
        "tasks": [_task_state(task) for task in framework.tasks.values()],
        "unreachable_tasks": [_task_state(task) for task in framework.unreachable.values()],
        "completed_tasks": [_task_state(task) for task in framework.completed],
        "offers": [_offer_state(offer) for offer in offers],
        "executors": list(_executor_states(state, framework)),
        "offer_constraints": framework.constraints,
    }


def _task_state(task: Task) -> Json:
    return task_state(task.info, task.framework_id, task.state, task.bundle, task.statuses)


def _offer_state(offer: Offer) -> Json:
    return {
        "id": offer.offer_id,
        "framework_id": offer.framework_id,
        "allocation_info": {"role": offer.role},
        "slave_id": offer.agent_id,
        "resources": offer.bundle.to_state(),
    }


def _executor_states(state: MasterState, framework: Framework) -> Iterator[Json]:
    for agent in state.agents.values():
        for (owner, executor_id), executor in agent.executors.items():
            if owner == framework.framework_id:
                yield {
                    "executor_id": executor_id,
                    "name": executor.info.get("name", ""),
                    "framework_id": owner,
                    "command": command_of(executor.info),
                    "resources": executor.bundle.to_state(),
                    "role": role_of(executor.info),
                    "type": executor.info.get("type", "CUSTOM"),
                    "slave_id": agent.agent_id,
                }


def make_tasks(state: MasterState) -> Json:
    """/tasks, running ones first."""
    frameworks = (*state.frameworks.values(), *state.removed.values())
    running = [_task_state(task) for framework in frameworks for task in framework.tasks.values()]
    return {"tasks": running + [_task_state(task) for framework in frameworks for task in framework.completed]}


def make_metrics(state: MasterState, now: float) -> dict[str, float]:
    """The gauges of /metrics/snapshot that can be told from the state; counters of messages are not kept."""
    metrics = {"master/elected": 1.0, "master/uptime_secs": now - state.started_at}
    total = used = EMPTY
    for agent in state.agents.values():
        total, used = total + agent.total, used + agent.used
    for name in ("cpus", "mem", "disk", "gpus"):
        metrics[f"master/{name}_total"], metrics[f"master/{name}_used"] = total.amount(name), used.amount(name)
        metrics[f"master/{name}_percent"] = used.amount(name) / total.amount(name) if total.amount(name) else 0.0
    connected = float(sum(f.stream is not None for f in state.frameworks.values()))
    disconnected = float(len(state.frameworks)) - connected
    active = float(sum(agent.connected for agent in state.agents.values()))
    for kind in ("active", "connected"):
        metrics[f"master/frameworks_{kind}"], metrics[f"master/slaves_{kind}"] = connected, active
    for kind in ("inactive", "disconnected"):
        metrics[f"master/frameworks_{kind}"] = disconnected
        metrics[f"master/slaves_{kind}"] = float(len(state.agents)) - active
    metrics["master/outstanding_offers"] = float(len(state.offers))
    frameworks = (*state.frameworks.values(), *state.removed.values())
    counts = Counter(task.state for f in frameworks for task in (*f.tasks.values(), *f.completed))
    for kind in (
        "staging",
        "starting",
        "running",
        "killing",
        "finished",
        "failed",
        "killed",
        "lost",
        "dropped",
        "gone",
    ):
        metrics[f"master/tasks_{kind}"] = float(counts[f"TASK_{kind.upper()}"])
    return metrics

"""ACCEPT and DECLINE: which offers, which tasks, what is wrong with them (transcripts 02, 08, 16)."""

from __future__ import annotations

from typing import Any

from local.allocator import refuse
from local.executor_infos import find_difference
from local.master_state import Agent, Executor, Framework, MasterState, Offer, Task, occupy, send, take_back
from local.messages import MasterEffect, Respond, RunTask, ToAgent
from local.names import find_id_problem
from local.resources import (
    EMPTY,
    Bundle,
    format_resource,
    format_resources,
    format_thousandths,
    from_wire,
    sum_bundles,
    to_thousandths,
)
from local.statuses import make_status, make_update_event

Json = dict[str, Any]


def on_decline(state: MasterState, framework: Framework, call: Json, now: float) -> list[MasterEffect]:
    for offer_id in (entry["value"] for entry in call["decline"].get("offer_ids", ())):
        offer = state.offers.get(offer_id)
        if offer is not None and offer.framework_id == framework.framework_id:
            take_back(state, offer)
            refuse(state, offer, offer.bundle, call["decline"].get("filters"), now)
    return [Respond(status=202)]


def on_accept(state: MasterState, framework: Framework, call: Json, now: float) -> list[MasterEffect]:
    accept = call["accept"]
    offer_ids = [entry["value"] for entry in accept.get("offer_ids", ())]
    tasks = [
        task
        for operation in accept.get("operations", ())
        if operation.get("type") == "LAUNCH"
        for task in operation.get("launch", {}).get("task_infos", ())
    ]
    answer: list[MasterEffect] = [Respond(status=202)]
    problem = _find_offers_problem(state, framework, offer_ids)
    offers = [state.offers[i] for i in dict.fromkeys(offer_ids) if i in state.offers]
    offers = [offer for offer in offers if offer.framework_id == framework.framework_id]
    for offer in offers:
        take_back(state, offer)
    if problem is not None:
        # One bad offer id drops every task; the good offers are free again, without a filter (surprise 41).
        message = f"Task launched with invalid offers: {problem}"
        for task in tasks:
            answer += _refuse_task(framework, task, "TASK_DROPPED", "REASON_INVALID_OFFERS", message, now)
        return answer
    left = sum_bundles(offer.bundle for offer in offers)
    for task in tasks:
        effects, used = _launch(state, framework, offers[0], left, task, now)
        left = left - used
        answer += effects
    answer += _refuse_groups(framework, accept, now)
    refuse(state, offers[0], left, accept.get("filters"), now)
    return answer


def _find_offers_problem(state: MasterState, framework: Framework, offer_ids: list[str]) -> str | None:
    if not offer_ids:
        return "No offers specified"
    for index, offer_id in enumerate(offer_ids):
        offer = state.offers.get(offer_id)
        if offer is None:
            return f"Offer {offer_id} is no longer valid"
        if offer.framework_id != framework.framework_id:
            expected = f"while framework {framework.framework_id} is expected"
            return f"Offer {offer_id} has invalid framework {offer.framework_id} {expected}"
        if offer_id in offer_ids[:index]:
            return f"Duplicate offer {offer_id} in offer list"
    first = state.offers[offer_ids[0]]
    for offer_id in offer_ids[1:]:
        offer = state.offers[offer_id]
        if offer.agent_id != first.agent_id:
            agents = f"Offer {offer_id} uses agent {offer.agent_id} and agent {first.agent_id}"
            return f"Aggregated offers must belong to one single agent. {agents}"
        if offer.role != first.role:
            roles = f"Offer {offer_id} uses role {offer.role} and role {first.role}"
            return f"Aggregated offers must be allocated to the same role. {roles}"
    return None


def _refuse_task(
    framework: Framework, task: Json, state: str, reason: str, message: str, now: float
) -> list[MasterEffect]:
    if state == "TASK_DROPPED" and not framework.partition_aware:
        state = "TASK_LOST"
    status = make_status(
        task["task_id"]["value"],
        state,
        source="SOURCE_MASTER",
        reason=reason,
        message=message,
        timestamp=now,
        agent_id=task["agent_id"]["value"],
    )
    return send(framework, make_update_event(status))


def _refuse_groups(framework: Framework, accept: Json, now: float) -> list[MasterEffect]:
    """Task groups need the default executor, which is not part of `local`."""
    effects: list[MasterEffect] = []
    for operation in accept.get("operations", ()):
        if operation.get("type") == "LAUNCH_GROUP":
            group = operation.get("launch_group", {})
            executor = group.get("executor", {})
            given = from_wire(executor.get("resources", ())).scalars
            missing = [name for name in ("cpus", "mem", "disk") if name not in given]
            message = "Task groups are not supported: local runs custom executors only"
            if missing:
                message = f"Executor '{executor.get('executor_id', {}).get('value')}' uses no {missing[0]}"
            for task in group.get("task_group", {}).get("tasks", ()):
                effects += _refuse_task(framework, task, "TASK_ERROR", "REASON_TASK_GROUP_INVALID", message, now)
    return effects


def _launch(
    state: MasterState, framework: Framework, offer: Offer, left: Bundle, task: Json, now: float
) -> tuple[list[MasterEffect], Bundle]:
    """Validate one task against what is left of the offers; -> effects and what it takes."""
    agent = state.agents[offer.agent_id]
    task = _fill_in(framework, offer, task)
    problem = _find_task_problem(framework, agent, task)
    executor = task.get("executor", {})
    executor_id = executor.get("executor_id", {}).get("value", "")
    key = (framework.framework_id, executor_id)
    is_new = key not in agent.executors
    task_bundle = from_wire(task["resources"])
    executor_bundle = from_wire(executor.get("resources", ())) if is_new else EMPTY
    if problem is None:
        wanted = task["resources"] + (executor.get("resources", []) if is_new else [])
        problem = _find_total_problem(left, offer.role, wanted)
    if problem is not None:
        return _refuse_task(framework, task, "TASK_ERROR", "REASON_TASK_INVALID", problem, now), EMPTY
    occupy(state, framework, agent.agent_id, offer.role, task_bundle + executor_bundle)
    if is_new:
        agent.executors[key] = Executor(info=executor, bundle=executor_bundle)
    record = Task(
        info=task,
        framework_id=framework.framework_id,
        agent_id=agent.agent_id,
        executor_id=executor_id,
        bundle=task_bundle,
        state="TASK_STAGING",
        forwarded="TASK_STAGING",
    )
    framework.tasks[record.task_id] = record
    run = RunTask(framework_info=framework.info, task=task)
    return [ToAgent(agent_id=agent.agent_id, message=run)], task_bundle + executor_bundle


def _fill_in(framework: Framework, offer: Offer, task: Json) -> Json:
    """Allocation info and the executor's framework id are filled in (surprise 42)."""

    def fill(resources: list[Json]) -> list[Json]:
        allocation = {"allocation_info": {"role": offer.role}}
        return [allocation | _to_refined(resource) for resource in resources]

    task = task | {"resources": fill(task.get("resources", []))}
    if "executor" in task:
        executor = dict(task["executor"])
        executor.setdefault("framework_id", framework.info["id"])
        if "resources" in executor:
            executor["resources"] = fill(executor["resources"])
        task["executor"] = executor
    return task


def _to_refined(resource: Json) -> Json:
    """Executors see reservations, never roles, whichever form the framework speaks."""
    role = resource.get("role", "*")
    plain = {name: value for name, value in resource.items() if name != "role"}
    return (
        plain
        if role == "*" or "reservations" in resource
        else plain | {"reservations": [{"type": "STATIC", "role": role}]}
    )


def _find_task_problem(framework: Framework, agent: Agent, task: Json) -> str | None:
    task_id, agent_id = task["task_id"]["value"], task["agent_id"]["value"]
    problem = find_id_problem(task_id)
    if problem is not None:
        return problem
    if task_id in framework.tasks:
        # Carries the id of the task that runs on (surprise 15).
        return f"Task has duplicate ID: {task_id}"
    if agent_id != agent.agent_id:
        return f"Task uses invalid agent {agent_id} while agent {agent.agent_id} is expected"
    if task.get("kill_policy", {}).get("grace_period", {}).get("nanoseconds", 0) < 0:
        return "Task's 'kill_policy.grace_period' must be non-negative"
    if "health_check" in task and "type" not in task["health_check"]:
        return "Task uses invalid health check: HealthCheck must specify 'type'"
    if not task["resources"]:
        return "Task uses no resources"
    if ("command" in task) == ("executor" in task):
        return "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"
    if "executor" not in task:
        return "Command tasks are not supported: local runs custom executors only"
    return _find_resource_problem(task["resources"]) or _find_executor_problem(framework, agent, task["executor"])


def _find_executor_problem(framework: Framework, agent: Agent, executor: Json) -> str | None:
    kind = executor.get("type", "CUSTOM")
    if kind == "UNKNOWN":
        return "'ExecutorInfo.type' must be 'CUSTOM'"
    if kind == "DEFAULT" and "command" in executor:
        return "'ExecutorInfo.command' must not be set for 'DEFAULT' executor"
    if kind == "DEFAULT":
        return "Default executors are not supported: local runs custom executors only"
    if "command" not in executor:
        return "'ExecutorInfo.command' must be set for 'CUSTOM' executor"
    problem = find_id_problem(executor["executor_id"]["value"])
    if problem is not None:
        return problem
    expected, actual = framework.framework_id, executor["framework_id"]["value"]
    if actual != expected:
        return f"ExecutorInfo has an invalid FrameworkID (Actual: {actual} vs Expected: {expected})"
    known = agent.executors.get((expected, executor["executor_id"]["value"]))
    if known is not None:
        return find_difference(known.info, executor)
    return _find_resource_problem(executor.get("resources", []))


def _find_resource_problem(resources: list[Json]) -> str | None:
    for resource in resources:
        if resource["type"] != "SCALAR":
            continue
        problem = None
        if "scalar" not in resource:
            problem = "Invalid scalar resource"
        elif resource["scalar"]["value"] != 0 and to_thousandths(resource["scalar"]["value"]) <= 0:
            # 0 itself counts as left out.
            problem = "Invalid scalar resource: value <= 0"
        if problem is not None:
            value = format_thousandths(to_thousandths(resource.get("scalar", {}).get("value", 0)))
            return f"Resource '{format_resource(resource, value)}' is invalid: {problem}"
    return None


def _find_total_problem(left: Bundle, role: str, wanted: list[Json]) -> str | None:
    foreign = any(r["allocation_info"].get("role") != role for r in wanted)
    if not foreign and left.contains(from_wire(wanted)):
        return None
    available = format_resources(left.to_wire(allocated=role, ranges_first=True))
    needed = f"Total resources {format_resources(wanted)} required by task and its executor"
    return f"{needed} is more than available {available}"

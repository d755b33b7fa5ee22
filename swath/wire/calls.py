"""Builders of the scheduler's calls and of what they carry: `mesos/v1/scheduler/scheduler.proto` and `mesos.proto` as JSON.

Ids are plain strings here and become `{"value": ...}`. No builder but `make_subscribe` writes `framework_id`: the driver
adds it to each call that it sends, so nothing else has to know it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from swath.domain.resources import Resources
from swath.wire.enums import Capability
from swath.wire.resources import Message as Message
from swath.wire.resources import make_resources, to_scalars

WEEK_S = 7 * 24 * 3600.0

# M23, M35; MULTI_ROLE because `roles` is read only with it. GPU_RESOURCES, REGION_AWARE only where wanted (M33, M34).
CAPABILITIES = (Capability.PARTITION_AWARE, Capability.TASK_KILLING_STATE, Capability.MULTI_ROLE)


def make_id(value: str) -> Message:
    """Mesos' id messages: `{"value": value}`."""
    return {"value": value}


def make_duration(seconds: float) -> Message:
    """`DurationInfo`: whole nanoseconds."""
    return {"nanoseconds": round(seconds * 1_000_000_000)}


def make_data(data: bytes) -> str:
    """A `bytes` field in JSON: standard base64 with padding."""
    return b64encode(data).decode("ascii")


def _to_ids(values: Iterable[str]) -> list[Message]:
    return [make_id(value) for value in values]


def _with_filters(body: Message, refuse_s: float | None) -> Message:
    """`Filters`, or none of it: without, the master refuses for 5 s; 0 = until the next tick (surprise 39)."""
    return body if refuse_s is None else {**body, "filters": {"refuse_seconds": refuse_s}}


def make_subscribe(framework_info: Mapping[str, Any], suppressed_roles: Sequence[str] = ()) -> Message:
    """SUBSCRIBE; the framework id stands both at the top and in the info, or the master answers 400 (surprise 34)."""
    subscribe: Message = {"framework_info": dict(framework_info)}
    if suppressed_roles:
        subscribe["suppressed_roles"] = list(suppressed_roles)
    message: Message = {"type": "SUBSCRIBE", "subscribe": subscribe}
    if framework_info.get("id"):
        message["framework_id"] = framework_info["id"]
    return message


def make_accept(
    offer_ids: Iterable[str], task_infos: Sequence[Mapping[str, Any]], refuse_s: float | None = None
) -> Message:
    """ACCEPT that launches the tasks on the sum of the offers, all of one agent and one role (M17, M18).

    `refuse_s` (seconds) filters what the tasks leave over.
    """
    launch = {"type": "LAUNCH", "launch": {"task_infos": list(task_infos)}}
    accept = _with_filters({"offer_ids": _to_ids(offer_ids), "operations": [launch]}, refuse_s)
    return {"type": "ACCEPT", "accept": accept}


def make_decline(offer_ids: Iterable[str], refuse_s: float | None = None) -> Message:
    """DECLINE, with a filter of `refuse_s` seconds."""
    return {"type": "DECLINE", "decline": _with_filters({"offer_ids": _to_ids(offer_ids)}, refuse_s)}


def make_accept_inverse_offers(inverse_offer_ids: Iterable[str], refuse_s: float | None = None) -> Message:
    """ACCEPT_INVERSE_OFFERS: the agents may be taken for maintenance."""
    body = _with_filters({"inverse_offer_ids": _to_ids(inverse_offer_ids)}, refuse_s)
    return {"type": "ACCEPT_INVERSE_OFFERS", "accept_inverse_offers": body}


def make_decline_inverse_offers(inverse_offer_ids: Iterable[str], refuse_s: float | None = None) -> Message:
    """DECLINE_INVERSE_OFFERS: the agents are still needed."""
    body = _with_filters({"inverse_offer_ids": _to_ids(inverse_offer_ids)}, refuse_s)
    return {"type": "DECLINE_INVERSE_OFFERS", "decline_inverse_offers": body}


def make_revive(roles: Sequence[str] = ()) -> Message:
    """REVIVE: drop the filters and the suppression, of the named roles or of all; offers come in 2 to 4 ms (surprise 39)."""
    return {"type": "REVIVE", "revive": {"roles": list(roles)}} if roles else {"type": "REVIVE"}


def make_suppress(roles: Sequence[str] = ()) -> Message:
    """SUPPRESS: no more offers, for the named roles or for all."""
    return {"type": "SUPPRESS", "suppress": {"roles": list(roles)}} if roles else {"type": "SUPPRESS"}


def make_acknowledge(agent_id: str, task_id: str, uuid: str) -> Message:
    """ACKNOWLEDGE an update; `uuid` as it came, in base64."""
    body = {"agent_id": make_id(agent_id), "task_id": make_id(task_id), "uuid": uuid}
    return {"type": "ACKNOWLEDGE", "acknowledge": body}


def make_kill(task_id: str, agent_id: str | None = None, grace_s: float | None = None) -> Message:
    """KILL, always with the agent id where it is known (M36); `grace_s` seconds override the task's own kill policy."""
    kill: Message = {"task_id": make_id(task_id)}
    if agent_id is not None:
        kill["agent_id"] = make_id(agent_id)
    if grace_s is not None:
        kill["kill_policy"] = {"grace_period": make_duration(grace_s)}
    return {"type": "KILL", "kill": kill}


def make_reconcile(tasks: Iterable[tuple[str, str | None]] = ()) -> Message:
    """RECONCILE (task id, agent id) pairs; no pair at all asks for all tasks that the master knows.

    Without agent ids the master stays silent or answers UNKNOWN where it would have said more (M25, surprise 21).
    """
    entries = [
        {"task_id": make_id(task_id)} | ({} if agent_id is None else {"agent_id": make_id(agent_id)})
        for task_id, agent_id in tasks
    ]
    return {"type": "RECONCILE", "reconcile": {"tasks": entries}}


def make_shutdown(executor_id: str, agent_id: str) -> Message:
    """SHUTDOWN an executor with all its tasks."""
    return {"type": "SHUTDOWN", "shutdown": {"executor_id": make_id(executor_id), "agent_id": make_id(agent_id)}}


def make_message(agent_id: str, executor_id: str, data: bytes) -> Message:
    """MESSAGE to an executor: best effort, lost without a word while the agent is away (surprise 24)."""
    body = {"agent_id": make_id(agent_id), "executor_id": make_id(executor_id), "data": make_data(data)}
    return {"type": "MESSAGE", "message": body}


def make_teardown() -> Message:
    """TEARDOWN: kills every task of the framework. On an operator's explicit command only (M4)."""
    return {"type": "TEARDOWN"}


def make_update_framework(
    framework_info: Mapping[str, Any],
    suppressed_roles: Sequence[str] = (),
    offer_constraints: Mapping[str, Any] | None = None,
) -> Message:
    """UPDATE_FRAMEWORK: another FrameworkInfo (not user, not checkpoint: 400) without a new subscription."""
    body: Message = {"framework_info": dict(framework_info)}
    if suppressed_roles:
        body["suppressed_roles"] = list(suppressed_roles)
    if offer_constraints is not None:
        body["offer_constraints"] = dict(offer_constraints)
    return {"type": "UPDATE_FRAMEWORK", "update_framework": body}


def make_offer_filter(minimums: Iterable[Resources]) -> Message:
    """`OfferFilters`: offer only what holds one of the amounts, ports aside (transcript 09a)."""
    quantities = [
        {"quantities": {name: {"value": value} for name, value in to_scalars(minimum).items() if value > 0}}
        for minimum in minimums
    ]
    return {"min_allocatable_resources": {"quantities": quantities}}


def with_framework_id(message: Mapping[str, Any], framework_id: str) -> Message:
    """The call as it goes out; UPDATE_FRAMEWORK wants the id in the info, too (surprise 34)."""
    complete: Message = {**message, "framework_id": make_id(framework_id)}
    if message.get("type") == "UPDATE_FRAMEWORK":
        body = message["update_framework"]
        info = {**body["framework_info"], "id": make_id(framework_id)}
        complete["update_framework"] = {**body, "framework_info": info}
    return complete


def make_labels(labels: Mapping[str, str]) -> Message:
    """`Labels` of a plain mapping."""
    return {"labels": [{"key": key, "value": value} for key, value in labels.items()]}


def make_framework_info(
    *,
    user: str,
    name: str,
    role: str,
    failover_timeout_s: float = WEEK_S,
    checkpoint: bool = True,
    capabilities: Sequence[str] = CAPABILITIES,
    principal: str | None = None,
    hostname: str | None = None,
    webui_url: str | None = None,
    labels: Mapping[str, str] | None = None,
    offer_filters: Mapping[str, Any] | None = None,
) -> Message:
    """FrameworkInfo without its id, which the driver fills in.

    The defaults are the safe ones: checkpointing (M3) and a week to come back after a disconnect (M2).
    """
    info: Message = {
        "user": user,
        "name": name,
        "roles": [role],
        "checkpoint": checkpoint,
        "failover_timeout": float(failover_timeout_s),
        "capabilities": [{"type": str(capability)} for capability in capabilities],
    }
    optional = {"principal": principal, "hostname": hostname, "webui_url": webui_url, "offer_filters": offer_filters}
    info |= {key: value for key, value in optional.items() if value is not None}
    return info | ({"labels": make_labels(labels)} if labels else {})


def make_executor_info(
    executor_id: str,
    *,
    command: str,
    environment: Mapping[str, str],
    resources: Resources,
    role: str,
    name: str,
    source: str | None = None,
    framework_id: str | None = None,
    container: Mapping[str, Any] | None = None,
    shutdown_grace_s: float | None = None,
    data: bytes | None = None,
    labels: Mapping[str, str] | None = None,
) -> Message:
    """A CUSTOM ExecutorInfo whose command line runs in a shell on the agent's host, or in `container`.

    It must be equal in every launch under one executor id, or the task is a TASK_ERROR; labels and the order of the
    variables do not count (surprise 43). The master fills in the framework id where it is missing.
    """
    variables = [{"name": key, "type": "VALUE", "value": value} for key, value in environment.items()]
    info: Message = {
        "type": "CUSTOM",
        "executor_id": make_id(executor_id),
        "name": name,
        "command": {"shell": True, "value": command, "environment": {"variables": variables}},
        "resources": make_resources(resources, role),
    }
    optional = {
        "framework_id": make_id(framework_id) if framework_id is not None else None,
        "source": source,
        "container": container,
        "shutdown_grace_period": make_duration(shutdown_grace_s) if shutdown_grace_s is not None else None,
        "data": make_data(data) if data is not None else None,
        "labels": make_labels(labels) if labels else None,
    }
    return info | {key: value for key, value in optional.items() if value is not None}


def make_task_info(
    task_id: str,
    *,
    name: str,
    agent_id: str,
    resources: Resources,
    role: str,
    executor: Mapping[str, Any],
    data: bytes | None = None,
    kill_grace_s: float | None = None,
    max_completion_s: float | None = None,
    labels: Mapping[str, str] | None = None,
    ports: Iterable[int] = (),
) -> Message:
    """TaskInfo for a custom executor; `resources` is the task's own share, the executor's comes on top.

    `ports` are those that it gets, as many as its resources say.

    `max_completion_s` (M37) is the executor's to enforce: an agent does nothing with it (surprise 44).
    """
    info: Message = {
        "name": name,
        "task_id": make_id(task_id),
        "agent_id": make_id(agent_id),
        "resources": make_resources(resources, role, ports),
        "executor": dict(executor),
    }
    optional = {
        "data": make_data(data) if data is not None else None,
        "kill_policy": {"grace_period": make_duration(kill_grace_s)} if kill_grace_s is not None else None,
        "max_completion_time": make_duration(max_completion_s) if max_completion_s is not None else None,
        "labels": make_labels(labels) if labels else None,
    }
    return info | {key: value for key, value in optional.items() if value is not None}

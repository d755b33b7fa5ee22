"""The life of a framework at the master: SUBSCRIBE, UPDATE_FRAMEWORK, disconnect, failover time-out, TEARDOWN."""

from __future__ import annotations

from typing import Any

from local.allocator import allocate, clear_filters
from local.master_state import (
    Framework,
    MasterState,
    Task,
    note_status,
    remove_executor,
    remove_task,
    send,
    take_back,
    take_back_all,
)
from local.messages import (
    CloseStream,
    FrameworkSubscribed,
    MasterEffect,
    OpenStream,
    Respond,
    SendEvent,
    ShutdownFramework,
)
from local.names import find_framework_change_problem, find_framework_problem, find_suppressed_problem
from local.statuses import make_status

Json = dict[str, Any]
HEARTBEAT: Json = {"type": "HEARTBEAT"}


def on_subscribe(state: MasterState, call: Json, now: float) -> list[MasterEffect]:
    """The newest SUBSCRIBE wins, `force` or not; the old stream gets an ERROR and ends (surprise 33)."""
    subscribe = call["subscribe"]
    info: Json = subscribe["framework_info"]
    stream = state.make_uuid()
    opened: list[MasterEffect] = [OpenStream(stream=stream, header=True)]
    problem = _find_problem(state, info, subscribe.get("suppressed_roles", []))
    if problem is not None:
        return [*opened, _make_error(stream, problem), CloseStream(stream=stream)]
    known = state.frameworks.get(info["id"]["value"]) if "id" in info else None
    effects: list[MasterEffect] = []
    if known is None:
        framework, was_active = _add_framework(state, info, now), False
    else:
        framework, was_active = known, known.stream is not None
        effects += _fail_over(state, framework, info, now)
    framework.stream, framework.remove_at, framework.recovered = stream, None, False
    framework.suppressed = set(subscribe.get("suppressed_roles", ()))
    framework.constraints = subscribe.get("offer_constraints", {})
    framework.heartbeat_at = now + state.heartbeat_s
    effects += opened
    effects += [_make_subscribed(state, framework), SendEvent(stream=stream, event=HEARTBEAT)]
    if not was_active:
        # Offers 1 ms after SUBSCRIBED; a takeover of a live stream waits for the next tick (transcript 06).
        effects += allocate(state, now)
    return effects + state.tell_agents(FrameworkSubscribed(framework_info=framework.info))


def _find_problem(state: MasterState, info: Json, suppressed: list[str]) -> str | None:
    problem = find_framework_problem(info) or find_suppressed_problem(_roles(info), suppressed)
    if problem is not None or "id" not in info:
        return problem
    framework_id = info["id"]["value"]
    if framework_id in state.removed:
        return "Framework has been removed"
    known = state.frameworks.get(framework_id)
    if known is not None and not known.recovered and known.info.get("principal") != info.get("principal"):
        return "Changing framework's principal is not allowed."
    return None


def _roles(info: Json) -> list[str]:
    return list(info.get("roles", ())) or [info.get("role", "*")]


def _make_error(stream: str, message: str) -> MasterEffect:
    return SendEvent(stream=stream, event={"type": "ERROR", "error": {"message": message}})


def _make_subscribed(state: MasterState, framework: Framework) -> MasterEffect:
    subscribed = {
        "framework_id": framework.info["id"],
        "heartbeat_interval_seconds": state.heartbeat_s,
        "master_info": state.master_info(),
    }
    assert framework.stream is not None  # noqa: S101 - set by the caller one line before
    return SendEvent(stream=framework.stream, event={"type": "SUBSCRIBED", "subscribed": subscribed})


def _add_framework(state: MasterState, info: Json, now: float) -> Framework:
    """Unknown framework ids are accepted as they are (surprise 34)."""
    if "id" not in info:
        info = info | {"id": {"value": f"{state.master_id}-{state.framework_count:04d}"}}
        state.framework_count += 1
    framework = Framework(info=info, registered_at=now, reregistered_at=now)
    state.frameworks[framework.framework_id] = framework
    return framework


def _fail_over(state: MasterState, framework: Framework, info: Json, now: float) -> list[MasterEffect]:
    """User and checkpoint keep their old values in silence; the rest of the new FrameworkInfo counts (surprise 34)."""
    kept = {name: framework.info[name] for name in ("user", "checkpoint") if name in framework.info}
    if framework.recovered:
        kept = {}
    effects = _change_info(state, framework, info | kept)
    take_back_all(state, framework.framework_id)
    if framework.stream is not None:
        effects += [_make_error(framework.stream, "Framework failed over"), CloseStream(stream=framework.stream)]
    framework.reregistered_at = now
    return effects


def _change_info(state: MasterState, framework: Framework, info: Json) -> list[MasterEffect]:
    """Offers for roles that are gone are rescinded at once."""
    framework.info = info
    effects: list[MasterEffect] = []
    for offer in state.offers_of(framework.framework_id):
        if offer.role not in framework.roles:
            take_back(state, offer)
            effects += send(framework, {"type": "RESCIND", "rescind": {"offer_id": {"value": offer.offer_id}}})
    return effects


def on_update_framework(state: MasterState, framework: Framework, call: Json, now: float) -> list[MasterEffect]:
    """Answers 200, not 202 (surprise 34)."""
    update = call["update_framework"]
    info: Json = update["framework_info"]
    suppressed = update.get("suppressed_roles", [])
    problem = find_suppressed_problem(_roles(info), suppressed)
    if problem is not None:
        return [Respond(status=400, text=f"'UpdateFramework' call is not valid: {problem}")]
    problem = find_framework_change_problem(framework.info, info)
    if problem is not None:
        return [Respond(status=400, text=f"FrameworkInfo update is not valid: {problem}")]
    framework.suppressed = set(suppressed)
    framework.constraints = update.get("offer_constraints", {})
    return [
        Respond(status=200),
        *_change_info(state, framework, info),
        *state.tell_agents(FrameworkSubscribed(framework_info=framework.info)),
    ]


def on_disconnect(state: MasterState, stream: str, now: float) -> list[MasterEffect]:
    """Offers go in silence; the failover time-out runs, and 0 or none removes at once (surprise 36)."""
    framework = next((f for f in state.frameworks.values() if f.stream == stream), None)
    if framework is None:
        return []
    framework.stream = None
    clear_filters(state, framework.framework_id)
    take_back_all(state, framework.framework_id)
    timeout = framework.info.get("failover_timeout", 0.0)
    if timeout <= 0:
        return remove_framework(state, framework, now)
    framework.remove_at = now + timeout
    return []


def on_teardown(state: MasterState, framework: Framework, call: Json, now: float) -> list[MasterEffect]:
    """The stream ends without an event (surprise 36)."""
    return [Respond(status=202), *remove_framework(state, framework, now)]


def _make_removed(framework: Framework, task: Task, now: float) -> Json:
    """For the operator's eyes only: there is no scheduler to tell."""
    return make_status(
        task.task_id,
        "TASK_KILLED",
        source="SOURCE_MASTER",
        reason="REASON_FRAMEWORK_REMOVED",
        message=f"Framework {framework.framework_id} removed",
        timestamp=now,
        agent_id=task.agent_id,
    )


def remove_framework(state: MasterState, framework: Framework, now: float) -> list[MasterEffect]:
    effects = state.tell_agents(ShutdownFramework(framework_id=framework.framework_id))
    take_back_all(state, framework.framework_id)
    clear_filters(state, framework.framework_id)
    for task in list(framework.tasks.values()):
        if not task.released:
            note_status(task, _make_removed(framework, task, now))
            task.state = "TASK_KILLED"
        remove_task(state, framework, task)
    for agent in state.agents.values():
        for framework_id, executor_id in list(agent.executors):
            if framework_id == framework.framework_id:
                remove_executor(state, framework, agent.agent_id, executor_id)
    if framework.stream is not None:
        effects.append(CloseStream(stream=framework.stream))
    framework.stream, framework.unregistered_at = None, now
    state.removed[framework.framework_id] = state.frameworks.pop(framework.framework_id)
    return effects

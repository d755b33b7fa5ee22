"""The maintenance schedule, answers to inverse offers, machines that go down and up (transcript 09c)."""

from __future__ import annotations

from typing import Any

from local.allocator import allocate, find_filter_end
from local.master_losses import Loss, remove_agent
from local.master_state import Framework, MasterState, rescind_agent
from local.messages import MasterEffect, Respond, ShutdownAgent
from local.windows import find_unavailability, is_down, machine_of

Json = dict[str, Any]


def on_update_schedule(state: MasterState, body: Json, now: float) -> list[MasterEffect]:
    """Offers of the agents in question are rescinded, and come again at once with their windows."""
    windows = body["schedule"].get("windows", [])
    problem = _find_schedule_problem(state, windows)
    if problem is not None:
        return [Respond(status=400, text=problem)]
    before = {agent_id: find_unavailability(state, agent) for agent_id, agent in state.agents.items()}
    state.maintenance.windows = windows
    effects: list[MasterEffect] = [Respond(status=200)]
    changed = [a for i, a in state.agents.items() if find_unavailability(state, a) != before[i]]
    for agent in changed:
        effects += rescind_agent(state, agent.agent_id)
        _forget_answers(state, agent.agent_id)
    return effects + allocate(state, now, changed)


def _find_schedule_problem(state: MasterState, windows: list[Json]) -> str | None:
    machines = [machine for window in windows for machine in window.get("machine_ids", ())]
    for index, machine in enumerate(machines):
        if not machine.get("hostname") and not machine.get("ip"):
            return "Either 'hostname' or 'ip' must be set for a machine"
        if machine in machines[:index]:
            return f"Machine '{_show(machine)}' appears more than once in the schedule"
    for machine in state.maintenance.down:
        if machine not in machines:
            return f"Machine '{_show(machine)}' is deactivated and cannot be removed from the schedule"
    for window in windows:
        if not window.get("machine_ids"):
            return "List of machines is empty"
        if window["unavailability"].get("duration", {}).get("nanoseconds", 0) < 0:
            return "Unavailability 'duration' is negative"
    return None


def _show(machine: Json) -> str:
    return f"{machine.get('hostname', '')} ({machine.get('ip', '')})"


def _forget_answers(state: MasterState, agent_id: str) -> None:
    for kept in (state.maintenance.answers, state.maintenance.filters):
        for key in [key for key in kept if key[0] == agent_id]:
            del kept[key]


def on_inverse_answer(state: MasterState, framework: Framework, call: Json, now: float) -> list[MasterEffect]:
    """ACCEPT_INVERSE_OFFERS and DECLINE_INVERSE_OFFERS: noted for the operator, and a filter."""
    body = call[call["type"].lower()]
    for offer_id in (entry["value"] for entry in body.get("inverse_offer_ids", ())):
        offer = state.inverse_offers.get(offer_id)
        if offer is None or offer.framework_id != framework.framework_id:
            continue
        del state.inverse_offers[offer_id]
        key = (offer.agent_id, offer.framework_id)
        state.maintenance.answers[key] = {
            "status": call["type"].partition("_")[0],
            "framework_id": {"value": offer.framework_id},
            "timestamp": {"nanoseconds": int(now * 1e9)},
        }
        until = find_filter_end(state, body.get("filters"), now)
        if until is not None:
            state.maintenance.filters[key] = until
    return [Respond(status=202)]


# --- machines down and up -------------------------------------------------------------------------------------------


def on_start_maintenance(state: MasterState, body: Json, now: float) -> list[MasterEffect]:
    """The machines' agents are shut down; TASK_LOST even for PARTITION_AWARE frameworks (surprise 16)."""
    machines = body.get("machines", [])
    for machine in machines:
        if not _is_scheduled(state, machine):
            text = f"Machine '{_show(machine)}' is not part of a maintenance schedule"
            return [Respond(status=400, text=text)]
        if machine in state.maintenance.down:
            text = f"Machine '{_show(machine)}' is not in DRAINING mode and cannot be brought down"
            return [Respond(status=400, text=text)]
    state.maintenance.down += machines
    effects: list[MasterEffect] = [Respond(status=200)]
    for agent in [agent for agent in state.agents.values() if is_down(state, agent.info)]:
        reason = "Operator initiated 'Machine DOWN'"
        effects += state.tell_agent(agent.agent_id, ShutdownAgent(message=reason))
        loss = Loss(message=f"Agent {agent.info['hostname']} removed: {reason}")
        effects += remove_agent(state, agent, loss, now)
        _forget_answers(state, agent.agent_id)
    return effects


def on_stop_maintenance(state: MasterState, body: Json, now: float) -> list[MasterEffect]:
    """The machines leave the schedule, and their agents may register again."""
    machines = body.get("machines", [])
    for machine in machines:
        if machine not in state.maintenance.down:
            text = f"Machine '{_show(machine)}' is not in DOWN mode and cannot be brought up"
            return [Respond(status=400, text=text)]
    state.maintenance.down = [machine for machine in state.maintenance.down if machine not in machines]
    windows = [
        window | {"machine_ids": [m for m in window["machine_ids"] if m not in machines]}
        for window in state.maintenance.windows
    ]
    state.maintenance.windows = [window for window in windows if window["machine_ids"]]
    return [Respond(status=200)]


def _is_scheduled(state: MasterState, machine: Json) -> bool:
    return any(machine in window["machine_ids"] for window in state.maintenance.windows)


# --- what operators are told ----------------------------------------------------------------------------------------


def get_schedule(state: MasterState) -> Json:
    windows = state.maintenance.windows
    return {"schedule": {"windows": windows} if windows else {}}


def get_status(state: MasterState) -> Json:
    status: Json = {}
    draining = [
        _make_draining(state, machine)
        for window in state.maintenance.windows
        for machine in window["machine_ids"]
        if machine not in state.maintenance.down
    ]
    if draining:
        status["draining_machines"] = draining
    if state.maintenance.down:
        status["down_machines"] = state.maintenance.down
    return {"status": status}


def _make_draining(state: MasterState, machine: Json) -> Json:
    agents = {agent.agent_id for agent in state.agents.values() if machine_of(agent.info) == machine}
    statuses = [answer for (agent_id, _), answer in state.maintenance.answers.items() if agent_id in agents]
    return {"id": machine, "statuses": statuses} if statuses else {"id": machine}

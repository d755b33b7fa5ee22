"""What a master writes down, so that the next one to lead knows it: Mesos' registry. Tasks and frameworks are not in it."""

from __future__ import annotations

from typing import Any

from local.master_state import Drain, MasterState

Json = dict[str, Any]


def take_registry(state: MasterState) -> Json:
    """A JSON document for `restore_registry`."""
    admitted = [*state.recovered_agents.values(), *(agent.info for agent in state.agents.values())]
    return {
        "agents": admitted,
        "unreachable": dict(state.unreachable),
        "gone": dict(state.gone),
        "deactivated": sorted(state.deactivated),
        "drains": {
            agent_id: {"config": drain.config, "since": drain.since, "drained": drain.drained}
            for agent_id, drain in state.drains.items()
        },
        "windows": list(state.maintenance.windows),
        "down": list(state.maintenance.down),
    }


def restore_registry(state: MasterState, registry: Json) -> None:
    """Agents that were registered are recovered: known, and not back yet."""
    for info in registry["agents"]:
        state.recovered_agents[info["id"]["value"]] = info | {"checkpoint": True}
    state.unreachable.update(registry["unreachable"])
    state.gone.update(registry["gone"])
    state.deactivated.update(registry["deactivated"])
    state.drains.update({agent_id: Drain(**drain) for agent_id, drain in registry["drains"].items()})
    state.maintenance.windows = list(registry["windows"])
    state.maintenance.down = list(registry["down"])

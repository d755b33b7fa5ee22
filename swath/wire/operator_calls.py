"""Builders of the calls of Mesos' operator API that Swath makes: `mesos/v1/master/master.proto` as JSON."""

from __future__ import annotations

from swath.wire.calls import Message, make_id


def make_drain_agent(agent_id: str, *, max_grace_s: float | None = None, mark_gone: bool = False) -> Message:
    """DRAIN_AGENT: no more offers, and every task is killed, within `max_grace_s` seconds where that is given.

    Its duration is {"seconds": whole}; {"nanoseconds": ...} would be taken for 0 without a word (surprise 20).
    """
    drain: Message = {"agent_id": make_id(agent_id), "mark_gone": mark_gone}
    if max_grace_s is not None:
        drain["max_grace_period"] = {"seconds": round(max_grace_s)}
    return {"type": "DRAIN_AGENT", "drain_agent": drain}


def make_deactivate_agent(agent_id: str) -> Message:
    """DEACTIVATE_AGENT: no more offers; tasks run on."""
    return {"type": "DEACTIVATE_AGENT", "deactivate_agent": {"agent_id": make_id(agent_id)}}


def make_reactivate_agent(agent_id: str) -> Message:
    """REACTIVATE_AGENT, after either; 400 for an agent that is active."""
    return {"type": "REACTIVATE_AGENT", "reactivate_agent": {"agent_id": make_id(agent_id)}}

"""Which ports of an agent a task gets: deterministic, and never one that a live attempt has."""

from __future__ import annotations

from scheduler.core.known_agents import Agent
from swath.domain.errors import InternalError
from swath.domain.ranges import Ranges


def choose(agent: Agent, count: int) -> tuple[int, ...]:
    """`count` of the agent's free ports; raises InternalError where it has not so many.

    To be taken down with the attempt before the next are chosen.
    """
    return choose_from(agent.free_ports, count, agent.use.last_port) if count else ()


def choose_from(free: Ranges, count: int, last: int) -> tuple[int, ...]:
    """`count` of the free ports, those first that come after `last`, the one that was given out last.

    What has just been given back is used as late as may be: somebody may still look for its last holder there.
    """
    chosen = free.after(last, count)
    if len(chosen) < count:
        chosen += [port for port in free.after(-1, count - len(chosen)) if port <= last]
    if len(chosen) < count:
        raise InternalError(f"{count} ports are wanted, {len(chosen)} are free")
    return tuple(chosen)

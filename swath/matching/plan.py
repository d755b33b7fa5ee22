"""The matcher: demands in order of priority and age, agents as rows of an array.

The cost grows with (demands) x (agents), not with tasks (DESIGN.md 4.6).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from swath.domain.resources import Resources
from swath.matching.explain import Cluster, admits
from swath.matching.model import AgentView, Demand, Leftover, Placement, Plan
from swath.matching.reasons import LimitReached, Shut

Ints = npt.NDArray[np.int64]


def plan(agents: Sequence[AgentView], demands: Sequence[Demand]) -> Plan:
    """Place as many tasks as fit on the offered agents, and say of everything else why it waits.

    Never places more on an agent than its `free` holds, the executor's share included. A demand that does not fit does not
    hold back those behind it.
    """
    agents = keep_for_gpus(agents, demands)
    offered = [agent for agent in agents if agent.offered]
    room = _Room(offered)
    running: dict[str, int] = {}  # job -> tasks placed here
    placements: list[Placement] = []
    waiting: list[tuple[Demand, int, bool]] = []
    for demand in sorted(demands, key=_order):
        allowed = _allowed(demand, running.get(demand.job, 0))
        taken = room.take(demand, allowed)
        running[demand.job] = running.get(demand.job, 0) + int(taken.sum())
        placements += [
            Placement(demand=demand, agent=offered[row].id, count=int(taken[row])) for row in np.flatnonzero(taken)
        ]
        if (left := demand.count - int(taken.sum())) > 0:
            waiting.append((demand, left, left == demand.count - allowed))
    return Plan(
        placements=tuple(placements),
        leftovers=_explained(Cluster(room.after(agents)), waiting) if waiting else (),
    )


def keep_for_gpus(agents: Sequence[AgentView], demands: Sequence[Demand]) -> Sequence[AgentView]:
    """The agents as they are; "no CPU-only task on GPU agents while GPU demand exists" (MESOS.md, M33)."""
    if not any(demand.resources.gpus for demand in demands):
        return agents
    return [
        agent if agent.shut or not agent.total.gpus else replace(agent, shut=Shut.KEPT_FOR_GPUS) for agent in agents
    ]


def _order(demand: Demand) -> tuple[int, float, str, int]:
    return (-demand.priority, demand.since.timestamp(), demand.job, -demand.resources.mem)


def _allowed(demand: Demand, running: int) -> int:
    """How many tasks of the demand may start, resources aside."""
    return demand.count if demand.limit is None else max(0, min(demand.count, demand.limit - running))


def _explained(cluster: Cluster, waiting: list[tuple[Demand, int, bool]]) -> tuple[Leftover, ...]:
    return tuple(
        Leftover(demand=demand, count=left, reason=LimitReached() if limited else cluster.explain(demand))
        for demand, left, limited in waiting
    )


class _Room:
    """What is free on the offered agents while the plan grows."""

    def __init__(self, agents: Sequence[AgentView]) -> None:
        self._agents = agents
        self._rows = {agent.id: row for row, agent in enumerate(agents)}
        self._free = to_array([agent.free for agent in agents])
        self._overhead = to_array([agent.overhead for agent in agents])
        self._shut = [agent.shut for agent in agents]
        self._closes_in_s = np.array([math.inf if a.closes_in_s is None else a.closes_in_s for a in agents])

    def take(self, demand: Demand, allowed: int) -> Ints:
        """Take room for at most `allowed` tasks; returns how many of them on each agent."""
        capacity = self._capacity(demand)
        taken = spread(capacity, allowed, np.asarray(self._overhead.any(axis=1), dtype=np.bool_))
        if taken.any():
            self._free -= np.outer(taken, np.array(demand.resources.as_tuple(), dtype=np.int64))
            first = taken > 0
            self._free[first] -= self._overhead[first]
            self._overhead[first] = 0
        return taken

    def after(self, agents: Sequence[AgentView]) -> list[tuple[AgentView, Ints | None]]:
        """All of `agents` with what is left free on those offered, the executor's share gone already."""
        left = np.maximum(self._free - self._overhead, 0)
        return [(agent, left[self._rows[agent.id]] if agent.offered else None) for agent in agents]

    def _capacity(self, demand: Demand) -> Ints:
        """How many of the demand's tasks each agent could take."""
        need = np.array(demand.resources.as_tuple(), dtype=np.int64)
        available = self._free - self._overhead
        asked = need > 0
        fits = available.min(axis=1, initial=0) >= 0
        if asked.any():
            count = (available[:, asked] // need[asked]).min(axis=1)
        else:
            count = np.full(len(self._agents), demand.count, dtype=np.int64)
        open_ = np.array([admits(shut, demand) for shut in self._shut], dtype=bool)
        in_time = self._closes_in_s > demand.expected_s
        count = np.where(fits & open_ & in_time, np.maximum(count, 0), 0)
        if demand.constraints:
            admitted = [all(rule.admits(agent.attributes) for rule in demand.constraints) for agent in self._agents]
            count = np.where(np.array(admitted, dtype=bool), count, 0)
        return count


def to_array(amounts: Sequence[Resources]) -> Ints:
    """One row an amount, one column a resource."""
    return np.array([amount.as_tuple() for amount in amounts], dtype=np.int64).reshape(len(amounts), 4)


def spread(capacity: Ints, wanted: int, cold: npt.NDArray[np.bool_]) -> Ints:
    """Divide `wanted` tasks evenly over agents with `capacity`; the odd ones go to warm agents with the most room.

    `cold` marks the agents where an executor has to start first.
    """
    if wanted <= 0 or not capacity.any():
        return np.zeros_like(capacity)
    if int(capacity.sum()) <= wanted:
        return capacity.copy()
    low, high = 0, int(capacity.max())  # the largest level with sum(min(capacity, level)) <= wanted
    while low < high:
        level = (low + high + 1) // 2
        if int(np.minimum(capacity, level).sum()) <= wanted:
            low = level
        else:
            high = level - 1
    taken = np.minimum(capacity, low)
    order = np.lexsort((-capacity, cold))
    spare = order[capacity[order] > low][: wanted - int(taken.sum())]
    taken[spare] += 1
    return taken

"""Say why a demand waits, from what the agents have and what is free on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from swath.matching.model import AgentView, Demand
from swath.matching.reasons import (
    AgentsShut,
    NoAgents,
    NoSuchAgent,
    Reason,
    Shut,
    TooLarge,
    WaitingForOffers,
    WaitingForResources,
    WindowNear,
)

Ints = npt.NDArray[np.int64]


class Cluster:
    """The agents as arrays, made once for many questions."""

    def __init__(self, agents: Sequence[tuple[AgentView, Ints | None]]) -> None:
        """`agents` come with what is free on them, or None for the view's own figure."""
        self._agents = [agent for agent, _ in agents]
        usable = [(agent.total - agent.reserved).as_tuple() for agent in self._agents]
        free = [
            np.array((agent.free - agent.overhead).as_tuple(), dtype=np.int64) if left is None else left
            for agent, left in agents
        ]
        self._total = np.array(usable, dtype=np.int64).reshape(len(agents), 4)
        self._free = np.maximum(np.array(free, dtype=np.int64).reshape(len(agents), 4), 0)

    def explain(self, demand: Demand) -> Reason:
        """The reason why (some of) the demand's tasks wait; max_running is the caller's to tell."""
        if not self._agents:
            return NoAgents()
        rows = np.ones(len(self._agents), dtype=bool)
        for rule in demand.constraints:
            rows &= np.array([rule.admits(agent.attributes) for agent in self._agents], dtype=bool)
            if not rows.any():
                return NoSuchAgent(constraint=rule, agents=len(self._agents))
        agents = [agent for agent, meets in zip(self._agents, rows, strict=True) if meets]
        return _compare(demand, agents, self._total[rows], self._free[rows])


def admits(shut: Shut | None, demand: Demand) -> bool:
    """True when an agent that is `shut` takes the demand's tasks all the same."""
    return shut is None or (shut is Shut.KEPT_FOR_GPUS and demand.resources.gpus > 0)


def explain(agents: Sequence[AgentView], demand: Demand) -> Reason:
    """Why `demand` waits on `agents`; for one question. Many are asked of one `Cluster`."""
    return Cluster([(agent, None) for agent in agents]).explain(demand)


def _compare(demand: Demand, agents: Sequence[AgentView], total: Ints, free: Ints) -> Reason:
    """The reason among agents that meet the constraints (at least one row)."""
    need = demand.resources.as_tuple()
    count = len(total)
    if not (total >= need).all(axis=1).any():
        largest = total.max(axis=0)
        lacking = [column for column in range(4) if need[column] > largest[column]]
        column = lacking[0] if lacking else None
        return TooLarge(column=column, need=need, largest=0 if column is None else int(largest[column]), agents=count)
    fitting = [agents[int(row)] for row in np.flatnonzero((free >= need).all(axis=1))]
    if fitting:
        return _explain_idle(demand, fitting)
    best = free.max(axis=0)
    short = tuple((column, int(best[column])) for column in range(4) if need[column] > best[column])
    return WaitingForResources(agents=count, short=short)


def _explain_idle(demand: Demand, fitting: Sequence[AgentView]) -> Reason:
    """Why nothing starts on agents that have room (at least one)."""
    shut = [agent.shut for agent in fitting if agent.shut is not None and not admits(agent.shut, demand)]
    closing = [
        agent.closes_in_s
        for agent in fitting
        if admits(agent.shut, demand) and agent.closes_in_s is not None and agent.closes_in_s <= demand.expected_s
    ]
    usable = len(fitting) - len(shut) - len(closing)
    if usable:
        return WaitingForOffers(agents=usable)
    if closing:
        return WindowNear(agents=len(closing), expected_s=demand.expected_s, closes_in_s=max(closing))
    return AgentsShut(agents=len(shut), why=max(sorted(set(shut)), key=shut.count))

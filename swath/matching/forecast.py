"""When waiting tasks may start: the matcher, run ahead of time over what is expected to end."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from swath.domain.resources import Resources
from swath.matching.model import AgentView, Assignment, Demand, Holding, Policy, Tenants, Work, nothing_runs
from swath.matching.plan import plan

STEPS = 60  # plans at most
_GROWTH = 1.1  # of the time looked ahead from one step to the next, at least: what lies far ahead is known less well
_FIRST_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """When tasks of a job are expected to start, in seconds from now."""

    first_s: float
    last_s: float | None  # None where some of its tasks start beyond what was looked at


@dataclass(frozen=True, kw_only=True, slots=True)
class _Held:
    """What somebody holds in the forecast."""

    resources: Resources
    tasks: int


class _End(NamedTuple):
    """Tasks that end together."""

    at_s: float
    number: int  # tells apart those that end at the same time
    agent: str
    job: str
    owner: tuple[str, str]  # project, user
    resources: Resources  # of all of them
    tasks: int


def forecast(
    agents: Sequence[AgentView],
    demands: Sequence[Demand],
    *,
    tenants: Tenants | None = None,
    work: Work = nothing_runs,
    policy: Policy | None = None,
    steps: int = STEPS,
) -> dict[str, Start]:
    """By job, when its first and its last waiting task start; jobs for which no start is in sight are left out.

    Every agent is taken to be offered as soon as something is free on it, an attempt to end when it is expected to, and
    nothing to be submitted, to fail or to be taken back meanwhile. At most `steps` plans are made: what ends close together
    is taken together, the closer the nearer it is.
    """
    return _Forecast(agents, demands, tenants or Tenants(), work, policy or Policy()).run(steps)


class _Forecast:
    """One look ahead."""

    def __init__(
        self, agents: Sequence[AgentView], demands: Sequence[Demand], tenants: Tenants, work: Work, policy: Policy
    ) -> None:
        self._views = {agent.id: replace(agent, offered=True, starting=0) for agent in agents}
        self._left = [demand for demand in demands if demand.count > 0]
        self._tenants = tenants
        self._held: dict[tuple[str, str], Holding] = dict(tenants.held)
        self._policy = replace(policy, preempt=False, preempt_for_share=False)
        self._ends = [
            _End(one.ends_in_s, 0, agent, one.job, (one.project, one.user), one.resources, 1)
            for agent, attempts in work(self._views.keys()).items()
            for one in attempts
        ]
        self._ends = [end._replace(number=number) for number, end in enumerate(self._ends)]
        heapq.heapify(self._ends)
        self._numbers = len(self._ends)
        self._room = {demand.job: demand.limit for demand in demands if demand.limit is not None}
        self._first: dict[str, float] = {}
        self._last: dict[str, float] = {}

    def run(self, steps: int) -> dict[str, Start]:
        now = 0.0
        for _ in range(steps):
            self._place(now)
            if not self._left or not self._ends:
                break
            now = max(self._ends[0].at_s, now * _GROWTH, now + _FIRST_S)
            self._free_until(now)
        waiting = {demand.job for demand in self._left}
        return {
            job: Start(first_s=first, last_s=None if job in waiting else self._last[job])
            for job, first in self._first.items()
        }

    def _place(self, now: float) -> None:
        demands = [replace(demand, limit=self._room.get(demand.job)) for demand in self._left]
        tenants = replace(self._tenants, held=self._held)
        found = plan(list(self._views.values()), demands, tenants=tenants, policy=self._policy)
        placed = dict.fromkeys(map(id, demands), 0)
        for assignment in found.assignments:
            placed[id(assignment.demand)] += assignment.count
            self._start(assignment, now)
        self._left = [
            replace(demand, count=left) for demand in demands if (left := demand.count - placed[id(demand)]) > 0
        ]

    def _start(self, assignment: Assignment, now: float) -> None:
        demand = assignment.demand
        self._first.setdefault(demand.job, now)
        self._last[demand.job] = now
        owner = (demand.project, demand.user)
        self._hold(owner, demand.job, demand.resources.scaled(assignment.count), assignment.count)
        for agent, count in assignment:
            resources = demand.resources.scaled(count)
            view = self._views[agent]
            self._views[agent] = replace(view, free=view.free - view.overhead - resources, overhead=Resources())
            self._numbers += 1
            heapq.heappush(
                self._ends, _End(now + demand.expected_s, self._numbers, agent, demand.job, owner, resources, count)
            )

    def _free_until(self, now: float) -> None:
        while self._ends and self._ends[0].at_s <= now:
            end = heapq.heappop(self._ends)
            view = self._views[end.agent]
            self._views[end.agent] = replace(view, free=view.free + end.resources)
            self._hold(end.owner, end.job, end.resources.scaled(-1), -end.tasks)

    def _hold(self, owner: tuple[str, str], job: str, resources: Resources, tasks: int) -> None:
        before = self._held.get(owner)
        held = Resources() if before is None else before.resources
        self._held[owner] = _Held(resources=held + resources, tasks=(before.tasks if before else 0) + tasks)
        if job in self._room:
            self._room[job] -= tasks

"""When waiting tasks may start: the matcher, run ahead of time over what is expected to end."""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from swath.domain.constraints import SPREADING
from swath.domain.resources import Resources
from swath.matching.model import (
    AgentView,
    Assignment,
    Claim,
    Demand,
    Holding,
    Policy,
    Running,
    Tenants,
    Work,
    nothing_runs,
)
from swath.matching.plan import plan

STEPS = 60  # plans at most
GRACE_S = 10.0  # that an attempt has whose resources are taken back
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
    unforeseen: Collection[str] = (),
    steps: int = STEPS,
) -> dict[str, Start]:
    """By job, when its first and its last waiting task start; jobs for which no start is in sight are left out.

    Every agent is taken to be offered as soon as something is free on it, an attempt to end when it is expected to, or within
    its grace where its resources are taken back now, and nothing to be submitted, to fail or to be taken back later. At most
    `steps` plans are made: what ends close together is taken together, the closer the nearer it is. Tasks of the jobs in
    `unforeseen` are not taken to end, and nothing to start where they do: how long they are let says nothing of that.
    """
    return _Forecast(agents, demands, tenants or Tenants(), work, policy or Policy(), unforeseen).run(steps)


class _Forecast:
    """One look ahead."""

    def __init__(
        self,
        agents: Sequence[AgentView],
        demands: Sequence[Demand],
        tenants: Tenants,
        work: Work,
        policy: Policy,
        unforeseen: Collection[str],
    ) -> None:
        self._unforeseen = unforeseen
        self._views = {agent.id: replace(agent, offered=True, starting=0) for agent in agents}
        self._left = [demand for demand in demands if demand.count > 0]
        self._tenants = tenants
        self._held: dict[tuple[str, str], Holding] = dict(tenants.held)
        self._policy = replace(policy, preempt=False, preempt_for_share=False)
        self._running_on = {
            demand.job: dict(demand.running_on)
            for demand in demands
            if any(rule.operator in SPREADING for rule in demand.constraints)
        }
        victims = self._find_victims(agents, work, policy)
        self._ends = [
            _End(
                min(GRACE_S, one.ends_in_s)
                if one.attempt in victims or one.ending
                else self._end(one.job, one.ends_in_s),
                0,
                agent,
                one.job,
                (one.project, one.user),
                one.resources,
                1,
            )
            for agent, attempts in work(self._views.keys()).items()
            for one in attempts
        ]
        self._ends = [end._replace(number=number) for number, end in enumerate(self._ends)]
        heapq.heapify(self._ends)
        self._numbers = len(self._ends)
        self._room = {demand.job: demand.limit for demand in demands if demand.limit is not None}
        self._claims: tuple[Claim, ...] = ()
        self._freed_s: dict[str, float] = {}  # agent -> since when what it has free in this step is so
        self._first: dict[str, float] = {}
        self._last: dict[str, float] = {}

    def _find_victims(self, agents: Sequence[AgentView], work: Work, policy: Policy) -> set[str]:
        """The attempts that are ended for interactive work that waits now."""
        if not any(demand.interactive for demand in self._left):
            return set()
        views = [replace(agent, offered=True) for agent in agents]
        urgent = [demand for demand in self._left if demand.interactive]
        now = plan(views, urgent, tenants=self._tenants, work=work, policy=replace(policy, preempt_for_share=False))
        return {preemption.attempt for preemption in now.preemptions}

    def run(self, steps: int) -> dict[str, Start]:
        now = 0.0
        for _ in range(steps):
            self._place(now)
            if not self._left or not self._ends or math.isinf(self._ends[0].at_s):
                break
            now = max(self._ends[0].at_s, now * _GROWTH, now + _FIRST_S)
            self._free_until(now)
        waiting = {demand.job for demand in self._left}
        return {
            job: Start(first_s=first, last_s=None if job in waiting else self._last[job])
            for job, first in self._first.items()
        }

    def _place(self, now: float) -> None:
        demands = [
            replace(
                demand,
                limit=self._room.get(demand.job),
                running_on=dict(self._running_on.get(demand.job, demand.running_on)),
            )
            for demand in self._left
        ]
        tenants = replace(self._tenants, held=self._held)
        found = plan(
            list(self._views.values()),
            demands,
            tenants=tenants,
            work=self._make_work(now),
            policy=self._policy,
            claims=self._claims,
        )
        self._claims = found.claims
        left = {id(demand): demand.count for demand in demands}
        for assignment in found.assignments:
            left[id(assignment.demand)] -= self._start(assignment, now, left[id(assignment.demand)])
        self._left = [replace(demand, count=left[id(demand)]) for demand in demands if left[id(demand)] > 0]

    def _make_work(self, now: float) -> Work:
        """What runs by then, so that agents are kept for large tasks in the future as well."""
        on: dict[str, list[Running]] = {}
        for end in self._ends:
            on.setdefault(end.agent, []).append(_to_running(end, now))
        return lambda agents: {agent: on[agent] for agent in agents if agent in on}

    def _start(self, assignment: Assignment, now: float, waiting: int) -> int:
        """Tasks start where there is room, and at most `waiting` of them; how many do.

        Where a step is longer than the tasks run, several have the same place one after the other.
        """
        demand, started = assignment.demand, 0
        rounds = max(1, int(now * (_GROWTH - 1) / demand.expected_s)) if demand.expected_s > 0 else 1
        for agent, count in assignment:
            times = min(rounds, -(-(waiting - started) // count))
            if times > 0:
                self._start_on(agent, demand, count, times, self._freed_s.get(agent, now))
                started += min(count * times, waiting - started)
        return started

    def _start_on(self, agent: str, demand: Demand, count: int, times: int, now: float) -> None:
        """`count` tasks side by side, `times` times one after the other."""
        last_s = now + (times - 1) * demand.expected_s
        self._first[demand.job] = min(now, self._first.get(demand.job, now))
        self._last[demand.job] = max(last_s, self._last.get(demand.job, last_s))
        resources, view = demand.resources.scaled(count), self._views[agent]
        self._views[agent] = replace(view, free=view.free - view.overhead - resources, overhead=Resources())
        owner = (demand.project, demand.user)
        self._hold(owner, demand.job, resources, count, agent)
        self._numbers += 1
        end = _End(
            self._end(demand.job, last_s + demand.expected_s), self._numbers, agent, demand.job, owner, resources, count
        )
        heapq.heappush(self._ends, end)

    def _end(self, job: str, at_s: float) -> float:
        """When an attempt ends, as far as that can be told."""
        return math.inf if job in self._unforeseen else at_s

    def _free_until(self, now: float) -> None:
        """Let everything end until then; what an agent has free is taken to be so since the mean of those ends."""
        ends: dict[str, list[float]] = {}
        while self._ends and self._ends[0].at_s <= now:
            end = heapq.heappop(self._ends)
            view = self._views[end.agent]
            self._views[end.agent] = replace(view, free=view.free + end.resources)
            self._hold(end.owner, end.job, end.resources.scaled(-1), -end.tasks, end.agent)
            ends.setdefault(end.agent, []).append(end.at_s)
        self._freed_s = {agent: sum(times) / len(times) for agent, times in ends.items()}

    def _hold(self, owner: tuple[str, str], job: str, resources: Resources, tasks: int, agent: str) -> None:
        before = self._held.get(owner)
        held = Resources() if before is None else before.resources
        self._held[owner] = _Held(resources=held + resources, tasks=(before.tasks if before else 0) + tasks)
        if job in self._room:
            self._room[job] -= tasks
        if job in self._running_on:
            here = self._running_on[job]
            here[agent] = here.get(agent, 0) + tasks


def _to_running(end: _End, now: float) -> Running:
    """Tasks that end together, as one attempt."""
    project, user = end.owner
    return Running(
        attempt=str(end.number),
        job=end.job,
        project=project,
        user=user,
        resources=end.resources,
        ends_in_s=max(0.0, end.at_s - now),
        preemptible=False,
    )

"""Discrete events: submissions, starts and ends on a virtual clock, and a plan whenever something has changed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from typing import Protocol

import numpy as np

from swath.domain.errors import InternalError, InvalidInputError
from swath.matching.model import Plan, Preemption
from swath.simulation.books import Books, JobBook, Live
from swath.simulation.history import Attempts, End, History
from swath.simulation.model import Cluster, Timing, Trace

MOST_LAUNCHES = 50  # a task, on average: a policy that ends what it has launched again and again comes to no end
ENDED, STARTED = 0, 1  # what happens at the same moment: ends first, so that a plan sees what they free


class Planner(Protocol):
    """Who decides: `planning.make_planner` makes one of the matcher."""

    def __call__(self, books: Books, now: float) -> Plan:
        """What to do with the cluster as it is, `now` seconds after the trace began."""
        ...


Progress = Callable[[int, float], None]  # (tasks done, simulated seconds)


def simulate(
    trace: Trace,
    cluster: Cluster,
    planner: Planner,
    *,
    policy: str = "",
    timing: Timing | None = None,
    on_progress: Progress | None = None,
) -> History:
    """Run the trace on the cluster until everything has ended, or nothing of what waits could ever start.

    The same arguments give the same history. Raises InvalidInputError for jobs of one id.
    """
    run = _Run(trace, cluster, planner, timing or Timing())
    while run.step():
        if on_progress is not None:
            on_progress(run.done, run.now)
    return run.make_history(policy)


class _Run:
    """One simulation."""

    def __init__(self, trace: Trace, cluster: Cluster, planner: Planner, timing: Timing) -> None:
        _check_ids(trace)
        self._trace, self._cluster, self._planner, self._timing = trace, cluster, planner, timing
        self._books = Books(cluster, timing)
        self._most_launches = 1000 + MOST_LAUNCHES * trace.tasks
        jobs = [JobBook(index, job) for index, job in enumerate(trace.jobs)]
        self._arrivals = sorted(jobs, key=lambda job: (-job.spec.submitted_s, -job.index))  # the next one is the last
        self._events: list[tuple[float, int, int]] = []  # (when, what, number of the attempt)
        self._launched: list[Live] = []
        self._ended: dict[int, float] = {}
        self._plan_at, self._planned_at = math.inf, -math.inf
        self._plan, self._plans = Plan(), 0
        self.now, self.done = 0.0, 0

    def step(self) -> bool:
        """Go on to the next moment at which something happens; False when there is none."""
        moment = self._find_next()
        if moment == math.inf or (self._timing.until_s is not None and moment > self._timing.until_s):
            return False
        self.now = moment
        self._take_arrivals()
        self._take_events()
        if self._plan_at <= self.now:
            self._act()
        return True

    def _find_next(self) -> float:
        event = self._events[0][0] if self._events else math.inf
        arrival = self._arrivals[-1].spec.submitted_s if self._arrivals else math.inf
        return min(event, arrival, self._plan_at)

    def _take_arrivals(self) -> None:
        while self._arrivals and self._arrivals[-1].spec.submitted_s <= self.now:
            self._books.submit(self._arrivals.pop())
            self._plan_soon()

    def _take_events(self) -> None:
        while self._events and self._events[0][0] <= self.now:
            _, what, number = heappop(self._events)
            live = self._books.live.get(number)
            if live is None:  # it ended before, by preemption
                continue
            if what == STARTED:
                self._books.start(live)
            else:
                self._end(live)
            self._plan_soon()

    def _end(self, live: Live) -> None:
        self._books.end(live, self.now)
        self._ended[live.number] = self.now
        self.done += not live.preempted

    def _plan_soon(self) -> None:
        if self._books.waiting:
            self._plan_at = min(self._plan_at, max(self.now, self._planned_at + self._timing.cycle_s))

    def _act(self) -> None:
        """Ask the matcher, and do as it says."""
        self._planned_at, self._plan_at = self.now, math.inf
        if not self._books.waiting:
            return
        self._plans += 1
        self._plan = plan = self._planner(self._books, self.now)
        for assignment in plan.assignments:
            for agent, count in assignment:
                for _ in range(count):
                    self._launch(assignment.demand.job, agent)
        self._preempt(plan.preemptions)
        if self._books.waiting:
            self._look_again(acted=bool(plan.assignments or plan.preemptions))

    def _look_again(self, *, acted: bool) -> None:
        """At what still waits: in the next cycle where this one has changed something, else now and then.

        Where nothing runs and nothing was done, nothing would ever come of it.
        """
        if acted:
            self._plan_at = self.now + self._timing.cycle_s
        elif self._books.live:
            self._plan_at = self.now + self._timing.idle_s

    def _launch(self, job: str, agent: str) -> None:
        live = self._books.launch(self._books.waiting[job], self._books.agents[agent], self.now)
        self._launched.append(live)
        if len(self._launched) > self._most_launches:
            raise InternalError(f"the policy ends what it has launched without end: {len(self._launched):,} launches")
        if live.started_s <= self.now:
            self._books.start(live)
        else:
            heappush(self._events, (live.started_s, STARTED, live.number))
        heappush(self._events, (live.stops_s, ENDED, live.number))

    def _preempt(self, preemptions: Iterable[Preemption]) -> None:
        """Those who have to go have their grace; who finishes within it was not preempted."""
        for preemption in preemptions:
            live = self._books.live[int(preemption.attempt)]
            if not live.asked and live.ask(self.now, self._timing.grace_s):
                heappush(self._events, (live.stops_s, ENDED, live.number))

    def make_history(self, policy: str) -> History:
        """What has become of everything."""
        cut_s = self.now if self._timing.until_s is None else self._timing.until_s
        return History(
            policy=policy,
            trace=self._trace,
            cluster=self._cluster,
            attempts=_to_attempts(self._launched, self._ended, cut_s),
            ended_s=cut_s if self._books.live else max(self._ended.values(), default=0.0),
            plans=self._plans,
            waiting=self._find_reasons(),
        )

    def _find_reasons(self) -> dict[str, str]:
        reasons = {leftover.demand.job: str(leftover.reason) for leftover in self._plan.leftovers}
        return {job: reasons.get(job, "the simulation ended first") for job in self._books.waiting}


def _to_attempts(launched: list[Live], ended: dict[int, float], cut_s: float) -> Attempts:
    ends = [End.CUT if live.number not in ended else End(int(live.preempted)) for live in launched]
    return Attempts(
        job=np.array([live.job.index for live in launched], dtype=np.int64),
        task=np.array([live.task for live in launched], dtype=np.int64),
        agent=np.array([live.agent.index for live in launched], dtype=np.int64),
        launched=np.array([live.launched_s for live in launched], dtype=np.float64),
        started=np.array([live.started_s for live in launched], dtype=np.float64),
        ended=np.array([ended.get(live.number, cut_s) for live in launched], dtype=np.float64),
        end=np.array(ends, dtype=np.int64),
    )


def _check_ids(trace: Trace) -> None:
    twice = [job for job, count in Counter(job.id for job in trace.jobs).items() if count > 1]
    if twice:
        raise InvalidInputError.at("/jobs", f"{len(twice)} ids name several jobs, the first is {twice[0]!r}")

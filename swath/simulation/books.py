"""The state of a simulated cluster: which tasks wait, what runs where, and what the matcher is shown of both."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from swath.domain.constraints import SPREADING, Constraint
from swath.domain.errors import InternalError
from swath.domain.resources import Resources
from swath.matching.model import AgentView, Demand
from swath.simulation.ledger import Ledger
from swath.simulation.model import Cluster, Timing, TraceAgent, TraceJob

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # the trace's second 0


def to_time(seconds: float) -> datetime:
    """When that is, for whoever wants a date."""
    return EPOCH + timedelta(seconds=seconds)


class JobBook:
    """One job: what of it waits and runs."""

    __slots__ = ("_again", "_demand", "_fresh", "_running", "_running_on", "_served_s", "believed_s", "index", "spec")

    def __init__(self, index: int, spec: TraceJob) -> None:
        self.index = index  # in the trace
        self.spec = spec
        self.believed_s = spec.believed_s
        self._again: deque[int] = deque()  # tasks whose attempts were preempted
        self._fresh = 0  # the first task that was never launched
        self._running = 0
        self._served_s = spec.submitted_s  # when a task of it was launched last
        # Where its tasks run: only some constraints ask for it.
        self._running_on: dict[str, int] | None = {} if _is_spread(spec.constraints) else None
        self._demand = Demand(
            job=spec.id,
            resources=spec.resources,
            count=len(spec.runs_s),
            project=spec.project,
            user=spec.user,
            priority=spec.priority,
            since=to_time(spec.submitted_s),
            interactive=spec.interactive,
            constraints=spec.constraints,
            prefer=spec.prefer,
            expected_s=self.believed_s,
            image=spec.image,
        )

    @property
    def waiting(self) -> int:
        """Tasks without an attempt."""
        return len(self._again) + len(self.spec.runs_s) - self._fresh

    def make_demand(self, now: float, image_at: Mapping[str, float]) -> Demand:
        """What the matcher is told; `image_at` are the agents that hold its image."""
        return replace(
            self._demand,
            count=self.waiting,
            limit=None if self.spec.max_running is None else max(0, self.spec.max_running - self._running),
            waited_s=now - self._served_s,
            image_at=image_at,
            running_on=dict(self._running_on or {}),
        )

    def take(self, agent: str, now: float) -> int:
        """The next task to launch, on this agent: those that were preempted come first."""
        self._count(agent, 1)
        self._served_s = now
        if self._again:
            return self._again.popleft()
        self._fresh += 1
        return self._fresh - 1

    def give_back(self, task: int, agent: str, *, again: bool) -> None:
        """The task's attempt is over; `again` where the task waits once more."""
        self._count(agent, -1)
        if again:
            self._again.append(task)

    def _count(self, agent: str, sign: int) -> None:
        self._running += sign
        if self._running_on is not None:
            self._running_on[agent] = self._running_on.get(agent, 0) + sign


def _is_spread(constraints: tuple[Constraint, ...]) -> bool:
    return any(rule.operator in SPREADING for rule in constraints)


class AgentBook:
    """One agent: what is free, and who is on it."""

    __slots__ = ("_stale", "_starting", "_view", "free", "index", "live", "spec")

    def __init__(self, index: int, spec: TraceAgent, reserved: Resources) -> None:
        self.index = index  # in the cluster
        self.spec = spec
        self.free = spec.total - reserved
        self.live: dict[int, Live] = {}
        self._starting = 0
        self._stale = False
        attributes = {"hostname": spec.id, **spec.attributes}
        self._view = AgentView(id=spec.id, free=self.free, total=spec.total, reserved=reserved, attributes=attributes)

    @property
    def view(self) -> AgentView:
        """What the matcher is told."""
        if self._stale:
            self._view = replace(self._view, free=self.free, starting=self._starting)
            self._stale = False
        return self._view

    def add(self, live: Live) -> None:
        """Launch; raises InternalError for what does not fit, for a plan may never overcommit."""
        need = live.job.spec.resources
        if not need.fits_in(self.free):
            raise InternalError(f"the plan puts more on agent {self.spec.id} than is free there")
        self.free -= need
        self.live[live.number] = live
        self._starting += 1
        self._stale = True

    def start(self) -> None:
        """One of its attempts has begun to run."""
        self._starting -= 1
        self._stale = True

    def remove(self, live: Live) -> None:
        """The attempt has ended."""
        self.free += live.job.spec.resources
        del self.live[live.number]
        self._starting -= not live.is_running
        self._stale = True


class Live:
    """An attempt that has not ended."""

    __slots__ = (
        *("agent", "asked", "is_running", "job", "launched_s", "number", "preempted", "started_s", "stops_s", "task"),
    )

    def __init__(
        self, number: int, job: JobBook, task: int, agent: AgentBook, launched_s: float, delay_s: float
    ) -> None:
        self.number = number  # of the simulation's attempts
        self.job = job
        self.task = task
        self.agent = agent
        self.launched_s = launched_s
        self.started_s = launched_s + delay_s
        self.stops_s = self.started_s + job.spec.runs_s[task]
        self.is_running = False
        self.asked = False  # to end
        self.preempted = False  # and that comes before it would have finished

    def ask(self, now: float, grace_s: float) -> bool:
        """Ask for its end; True where that brings the end forward."""
        self.asked = True
        self.preempted = now + grace_s < self.stops_s
        if self.preempted:
            self.stops_s = now + grace_s
        return self.preempted


class Books:
    """All of it."""

    def __init__(self, cluster: Cluster, timing: Timing) -> None:
        self._timing = timing
        self.agents = {
            agent.id: AgentBook(index, agent, cluster.reserved) for index, agent in enumerate(cluster.agents)
        }
        self.waiting: dict[str, JobBook] = {}  # jobs with tasks that could start
        self.live: dict[int, Live] = {}
        self.ledger = Ledger(Resources.from_amounts(cluster.capacity), timing.half_life_s)
        self._launched = 0
        self._image_at: dict[str, dict[str, float]] = {}  # image -> the agents that have run it

    def make_views(self) -> list[AgentView]:
        """The agents as the matcher sees them."""
        return [agent.view for agent in self.agents.values()]

    def make_demands(self, now: float) -> list[Demand]:
        """What could start now."""
        nowhere: dict[str, float] = {}
        return [job.make_demand(now, self._image_at.get(job.spec.image, nowhere)) for job in self.waiting.values()]

    def submit(self, job: JobBook) -> None:
        """The job's tasks wait from now on."""
        if job.waiting:
            self.waiting[job.spec.id] = job

    def launch(self, job: JobBook, agent: AgentBook, now: float) -> Live:
        """One more task of the job runs on the agent."""
        delay_s = self._timing.launch_s + self._pull(job.spec.image, agent.spec.id)
        live = Live(self._launched, job, job.take(agent.spec.id, now), agent, now, delay_s)
        self._launched += 1
        agent.add(live)
        self.live[live.number] = live
        self.ledger.add(job.spec, to_time(now))
        if not job.waiting:
            del self.waiting[job.spec.id]
        return live

    def _pull(self, image: str, agent: str) -> float:
        """Have the image there from now on; returns how long that takes."""
        if not self._timing.pull_s or agent in (holders := self._image_at.setdefault(image, {})):
            return 0.0
        holders[agent] = 1.0
        return self._timing.pull_s

    def past(self, now: float) -> dict[str, float]:
        """What each project held lately."""
        return self.ledger.past(to_time(now))

    def start(self, live: Live) -> None:
        """The attempt's own program runs."""
        live.is_running = True
        live.agent.start()

    def end(self, live: Live, now: float) -> None:
        """The attempt is over; where it was preempted its task waits again."""
        live.agent.remove(live)
        del self.live[live.number]
        self.ledger.remove(live.job.spec, to_time(now))
        live.job.give_back(live.task, live.agent.spec.id, again=live.preempted)
        self.submit(live.job)

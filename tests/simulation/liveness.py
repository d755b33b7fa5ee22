"""What has to go on by itself while nothing is wrong: waiting tasks start, and agents that are to be drained end theirs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from local.resources import EMPTY, Bundle, count_of, merge
from local.windows import find_unavailability
from swath.domain.changes import AddAttempt, Change, ChangeAttempt
from swath.domain.jobs import INTERACTIVE
from swath.domain.resources import Resources
from swath.domain.retries import SAYS_NOTHING_OF_AGENT, Cause
from swath.domain.states import ENDED_JOB, AttemptState, Desired, TaskState, is_terminal
from swath.domain.wishes import AgentMode, FrameworkDesire
from swath.matching.model import Policy
from swath.store.rows import JobRecord
from tests.simulation.order import divide

if TYPE_CHECKING:
    from tests.simulation.driver import Connection
    from tests.simulation.sharing import Sharing
    from tests.simulation.world import World

START_S = 120.0  # for a task to start that fits on an agent
DRAIN_S = 120.0  # for an agent to run nothing more: a kill is repeated at least that often
YIELD_S = 180.0  # for batch to make room: a kill is repeated, and some are deaf to the first signal
BAD_ENDS = 3  # without a success in between, and the scheduler may let an agent, or the image on it, rest

_ON_THE_WIRE = ("event", "call", "answer", "refused")  # mishaps after which it may take a while
_ON_THE_WAY_TO_AGENTS = ("kill", "status", "operator", "acknowledgement")
Key = TypeVar("Key")
Agents = Mapping[str, Bundle]  # what is free on each
Waiting = tuple[JobRecord, list[Resources]]  # a job, and what its tasks need, the executor's share included


class Liveness:
    """Looks every half minute; what holds at every look for too long is a violation."""

    def __init__(self, world: World, sharing: Sharing) -> None:
        self._world = world
        self._sharing = sharing
        self._connection: Connection | None = None
        self._fitting: dict[tuple[str, str], float] = {}  # (job, agent) -> since when a waiting task of it fits there
        self._yielding: dict[
            tuple[str, str], float
        ] = {}  # the same of somebody who waits at a screen, for batch that may go
        self._draining: dict[
            tuple[str, int], float
        ] = {}  # (agent, revision of the wish) -> since when it runs something
        self._launches: list[tuple[str, str]] = []  # (job, agent) since the last look
        self._bad_ends: dict[str, int] = {}  # by agent, since something succeeded there

    def on_commit(self, changes: Iterable[Change]) -> None:
        """Take down what was launched where, and how it went there."""
        attempts = self._world.database.attempts
        for change in changes:
            if isinstance(change, AddAttempt):
                self._launches.append((change.attempt.job_id, change.attempt.agent_id))
            elif isinstance(change, ChangeAttempt) and is_terminal(change.state):
                agent_id = attempts[change.attempt_id].agent_id
                if change.cause is None:
                    self._bad_ends.pop(agent_id, None)
                elif change.cause not in SAYS_NOTHING_OF_AGENT | {Cause.LOST}:
                    self._bad_ends[agent_id] = self._bad_ends.get(agent_id, 0) + 1

    def look(self) -> Iterator[str]:
        """What has waited for too long."""
        now, connection = self._world.timeline.now, self._find_connection()
        if connection is None or connection is not self._connection:
            self._fitting, self._yielding, self._draining = {}, {}, {}
        self._connection = connection
        if connection is None:
            return
        launches, self._launches = self._launches, []
        jobs, agents = ({launch[place] for launch in launches} for place in (0, 1))
        free, waiting = dict(self._find_free()), list(self._find_waiting())
        fitting, yielding = (
            [pair for pair in pairs if pair[0] not in jobs and pair[1] not in agents]
            for pairs in (self._find_fitting(free, waiting), self._find_yielding(free, waiting))
        )
        self._fitting, self._yielding = _go_on(self._fitting, fitting, now), _go_on(self._yielding, yielding, now)
        self._draining = _go_on(self._draining, self._find_draining(), now)
        jumped_s = self._world.judge.jumped_s  # the scheduler's timers go by a clock that was set
        for (job_id, agent_id), since in self._fitting.items():
            if now - since > START_S + jumped_s:
                yield f"a task of {job_id} waits since {since:.0f} s, and fits on {agent_id}, where nothing starts"
        for (job_id, agent_id), since in self._yielding.items():
            if now - since > YIELD_S + jumped_s:
                yield f"somebody waits for {job_id} since {since:.0f} s, and batch on {agent_id} does not yield to it"
        for (agent_id, rev), since in self._draining.items():
            if now - since > DRAIN_S + jumped_s:
                yield f"{agent_id} is to be drained since {since:.0f} s (wish {rev}), and attempts run there"

    def _find_connection(self) -> Connection | None:
        """The leader's, where nothing is wrong with it or under way between it, the master and the database."""
        world = self._world
        if world.mishaps.is_any_open(_ON_THE_WIRE) or world.master.machine is None:
            return None
        for process in world.schedulers.values():
            if process.is_well and process.epoch == world.database.epoch and process.driver is not None:
                connection = process.driver.connection
                if connection is not None and process.driver.connected and not connection.wire.silent:
                    return connection
        return None

    # Waiting tasks

    def _find_waiting(self) -> Iterator[tuple[JobRecord, list[Bundle]]]:
        """Jobs that may start tasks now, and what those need."""
        wish = self._world.database.framework_wish
        if wish is not None and wish.desire is FrameworkDesire.TEARDOWN:
            return
        for job in self._world.database.jobs.values():
            needs = [need for need in self._find_needs(job) if self._sharing.may_start(job, need)]
            if needs:
                executor = self._world.make_settings().executor_resources
                yield job, [need + executor for need in needs]

    def _find_fitting(self, free: Agents, waiting: Iterable[Waiting]) -> list[tuple[str, str]]:
        """Jobs, and agents on which a task of theirs fits; none while an agent may be kept for a task that fits nowhere."""
        found = [
            (job.id, agent_id)
            for job, needs in waiting
            for agent_id, rest in free.items()
            if any(_fits(need, rest) for need in needs)
        ]
        fit = {job_id for job_id, _ in found}
        kept = any(job.id not in fit and self._may_be_kept_for(job, needs) for job, needs in waiting)
        return [] if kept else found

    def _may_be_kept_for(self, job: JobRecord, needs: Iterable[Resources]) -> bool:
        """True for jobs that are interactive, and for those with large tasks."""
        totals = [host.total.scalars for host in self._world.agents.values()]
        largest = {name: max(total[name] for total in totals) for name in ("cpus", "mem", "disk", "licences")}
        part = max(
            value / most for need in needs for name, value in _scalars(need).items() if (most := largest.get(name))
        )
        return job.spec.job_class == INTERACTIVE or part >= Policy().large

    def _find_yielding(self, free: Agents, waiting: Iterable[Waiting]) -> list[tuple[str, str]]:
        """Interactive jobs, and agents on which one of their tasks would fit if all batch that may be preempted were gone."""
        if self._world.mishaps.is_any_open(_ON_THE_WAY_TO_AGENTS):
            return []
        return [
            (job.id, agent_id)
            for job, needs in waiting
            if job.spec.job_class == INTERACTIVE
            for agent_id, rest in free.items()
            if any(_fits(need, rest + self._sum_preemptible(agent_id)) for need in needs)
        ]

    def _sum_preemptible(self, agent_id: str) -> Bundle:
        database, total = self._world.database, EMPTY
        for job_id in database.live:
            for attempt in database.find_holders(job_id) if database.jobs[job_id].spec.preemptible else ():
                if attempt.agent_id == agent_id and attempt.state is not AttemptState.UNREACHABLE:
                    total = total + Bundle(
                        _scalars(attempt.resources), {"ports": merge((port, port) for port in attempt.ports)}
                    )
        return total

    def _find_needs(self, job: JobRecord) -> Iterator[Resources]:
        """What tasks need that may start now."""
        now = self._world.timeline.moment()
        if (
            job.state in ENDED_JOB
            or job.desired is not Desired.RUN
            or job.counts.active >= (job.spec.max_running or 2**62)
        ):
            return
        if (job.spec.not_before or now) > now or (job.spec.deadline is not None and job.spec.deadline <= now):
            return
        never_ran, started, learned = (
            job.pending.minus(job.dropped),
            job.started_at is not None,
            self._find_learned(job),
        )
        if divide(self._world.database, job, never_ran, started=started).ready:
            yield replace(job.resources, mem=learned)
        for task in self._world.database.rows[job.id].values():
            if task.state is TaskState.PENDING and (task.retry_at or now) <= now:
                yield replace(job.resources, mem=max(task.mem or 0, learned))

    def _find_learned(self, job: JobRecord) -> int:
        """The memory that tasks of the job ask for, perhaps, whatever they have asked for before."""
        known = (entry for entry in self._world.database.learned.values() if entry.image_version_id == job.image.id)
        return max(job.resources.mem, *(entry.mem or 0 for entry in known), 0)

    def _find_free(self) -> Iterator[tuple[str, Bundle]]:
        """What agents have left on which something may start."""
        machine, world = self._world.master.machine, self._world
        assert machine is not None
        state = machine.state
        for agent_id, agent in state.agents.items():
            known = world.database.agents.get(agent_id)
            shut = agent_id in state.deactivated or agent_id in state.drains or not world.agents[agent_id].is_connected
            leaving = (
                find_unavailability(state, agent) is not None or known is None or known.unavailable_from is not None
            )
            wish = world.database.agent_wishes.get(agent_id)
            unwanted = wish is not None and (wish.mode is not AgentMode.ACTIVE or wish.rev != wish.observed_rev)
            if not (shut or leaving or unwanted or self._bad_ends.get(agent_id, 0) >= BAD_ENDS):
                yield agent_id, agent.total - agent.used

    # Agents to be drained

    def _find_draining(self) -> Iterator[tuple[str, int]]:
        """Agents that are to run nothing, and do."""
        world = self._world
        if world.mishaps.is_any_open(_ON_THE_WAY_TO_AGENTS):
            return
        live = [world.database.attempts[name] for names in world.database.live.values() for name in names]
        busy = {attempt.agent_id for attempt in live}
        for wish in world.database.agent_wishes.values():
            if wish.mode is AgentMode.DRAINED and wish.agent_id in busy and world.agents[wish.agent_id].is_connected:
                yield wish.agent_id, wish.rev


def _go_on(before: dict[Key, float], found: Iterable[Key], now: float) -> dict[Key, float]:
    """Since when each has been there."""
    return {key: before.get(key, now) for key in found}


def _fits(need: Resources, rest: Bundle) -> bool:
    return rest.contains(Bundle(_scalars(need))) and need.ports <= count_of(rest.ranges.get("ports", ()))


def _scalars(need: Resources) -> dict[str, int]:
    return {"cpus": need.cpus_m, "mem": need.mem * 1000, "disk": need.disk * 1000, **dict(need.custom)}

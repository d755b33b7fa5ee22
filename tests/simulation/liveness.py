"""What has to go on by itself while nothing is wrong: waiting tasks start, and agents that are to be drained end theirs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from local.resources import Bundle, count_of
from local.windows import find_unavailability
from swath.domain.changes import AddAttempt, Change, ChangeAttempt
from swath.domain.resources import Resources
from swath.domain.retries import SAYS_NOTHING_OF_AGENT, Cause
from swath.domain.states import ENDED_JOB, Desired, TaskState, is_terminal
from swath.domain.wishes import AgentMode, FrameworkDesire
from swath.store.rows import JobRecord
from tests.simulation.order import divide

if TYPE_CHECKING:
    from tests.simulation.driver import Connection
    from tests.simulation.world import World

START_S = 120.0  # for a task to start that fits on an agent
DRAIN_S = 120.0  # for an agent to run nothing more: a kill is repeated at least that often
BAD_ENDS = 3  # without a success in between, and the scheduler may let an agent, or the image on it, rest

_ON_THE_WIRE = ("event", "call", "answer", "refused")  # mishaps after which it may take a while
_ON_THE_WAY_TO_AGENTS = ("kill", "status", "operator", "acknowledgement")
Key = TypeVar("Key")


class Liveness:
    """Looks every half minute; what holds at every look for too long is a violation."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._connection: Connection | None = None
        self._fitting: dict[tuple[str, str], float] = {}  # (job, agent) -> since when a waiting task of it fits there
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
            self._fitting, self._draining = {}, {}
        self._connection = connection
        if connection is None:
            return
        launches, self._launches = self._launches, []
        jobs, agents = ({launch[place] for launch in launches} for place in (0, 1))
        fitting = (pair for pair in self._find_fitting() if pair[0] not in jobs and pair[1] not in agents)
        self._fitting = _go_on(self._fitting, fitting, now)
        self._draining = _go_on(self._draining, self._find_draining(), now)
        jumped_s = self._world.judge.jumped_s  # the scheduler's timers go by a clock that was set
        for (job_id, agent_id), since in self._fitting.items():
            if now - since > START_S + jumped_s:
                yield f"a task of {job_id} waits since {since:.0f} s, and fits on {agent_id}, where nothing starts"
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

    def _find_fitting(self) -> Iterator[tuple[str, str]]:
        """Jobs, and agents on which one of their waiting tasks fits."""
        wish = self._world.database.framework_wish
        if wish is not None and wish.desire is FrameworkDesire.TEARDOWN:
            return
        free = dict(self._find_free())
        for job in self._world.database.jobs.values():
            needs = list(self._find_needs(job))
            for agent_id, rest in free.items():
                if any(_fits(need, rest) for need in needs):
                    yield job.id, agent_id

    def _find_needs(self, job: JobRecord) -> Iterator[Resources]:
        """What tasks need that may start now; the executor's share included."""
        now, executor = self._world.timeline.moment(), self._world.make_settings().executor_resources
        if (
            job.state in ENDED_JOB
            or job.desired is not Desired.RUN
            or job.counts.active >= (job.spec.max_running or 2**62)
        ):
            return
        if (job.spec.not_before or now) > now or (job.spec.deadline is not None and job.spec.deadline <= now):
            return
        never_ran, started = job.pending.minus(job.dropped), job.started_at is not None
        if divide(self._world.database, job, never_ran, started=started).ready:
            yield job.resources + executor
        for task in self._world.database.rows[job.id].values():
            if task.state is TaskState.PENDING and (task.retry_at or now) <= now:
                yield replace(job.resources, mem=task.mem or job.resources.mem) + executor

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
    scalars = {"cpus": need.cpus_m, "mem": need.mem * 1000, "disk": need.disk * 1000, **dict(need.custom)}
    return rest.contains(Bundle(scalars)) and need.ports <= count_of(rest.ranges.get("ports", ()))

"""The cluster and its work as the matcher sees them, from the database: to explain, to estimate, and to try a job out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, TypeVar

from swath.domain.attempts import Attempt
from swath.domain.changes import PutAgent, PutTask
from swath.domain.constraints import SPREADING, with_own
from swath.domain.dependencies import split
from swath.domain.duration import expected_s, is_foreseen, left_s
from swath.domain.errors import InvalidInputError
from swath.domain.jobs import INTERACTIVE, JobSpec
from swath.domain.resources import Resources
from swath.domain.states import AttemptState, Desired, TaskState
from swath.domain.wishes import AgentMode
from swath.matching.forecast import GRACE_S, STEPS, Start, forecast
from swath.matching.limits import Limits
from swath.matching.model import AgentView, Demand, Policy, Running, Tenants
from swath.matching.plan import keep_for_gpus
from swath.matching.policies import change
from swath.matching.reasons import Shut
from swath.store.rows import ImageRow, JobRecord, Snapshot
from swath.store.scheduling import SchedulerStore

Entry = TypeVar("Entry", PutTask, Attempt)

_LEAST_STEPS = 8
_WORK = 15_000_000  # agents x jobs x steps that one estimate may cost: some two seconds

FRESH_S = 2.0  # a picture serves all who ask within so long: taking one reads everything that is open


@dataclass(frozen=True, kw_only=True, slots=True)
class _Held:
    """What one user of a project holds."""

    resources: Resources
    tasks: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What the scheduler says of itself that stands in no row."""

    executor: Resources  # what an executor takes of every agent
    policy: Policy = field(default_factory=Policy)
    resting: frozenset[str] = frozenset()  # agents that get no tasks for a while
    sick: frozenset[str] = frozenset()  # those among them whose Docker engine is
    cooling: Mapping[int, frozenset[str]] = field(default_factory=dict)  # image -> agents where it keeps failing

    @classmethod
    def from_status(cls, executor: Resources, data: Mapping[str, Any]) -> Told:
        """As the scheduler wrote it; what another version of it wrote otherwise is left out."""
        try:
            return cls(
                executor=executor,
                policy=change(Policy(), data.get("policy") or {}),
                resting=frozenset(data.get("resting") or ()),
                sick=frozenset(data.get("sick") or ()),
                cooling={int(image): frozenset(agents) for image, agents in (data.get("cooling") or {}).items()},
            )
        except (InvalidInputError, ValueError, TypeError, AttributeError):
            return cls(executor=executor)


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """Everything that decides when a task starts, as of one moment."""

    at: datetime
    told: Told
    agents: tuple[AgentView, ...]
    demands: Mapping[str, tuple[Demand, ...]]  # job -> what of it could start now, resources and limits aside
    tenants: Tenants
    running: Mapping[str, tuple[Running, ...]] = field(default_factory=dict)  # agent -> what runs there
    unforeseen: frozenset[str] = frozenset()  # jobs of which nobody knows how long their attempts take

    def work(self, agents: Collection[str]) -> Mapping[str, tuple[Running, ...]]:
        """What runs on some agents, as the matcher asks for it."""
        return {agent: self.running[agent] for agent in agents if agent in self.running}

    def beside(self, demand: Demand, *, foreseen: bool) -> Picture:
        """The picture as it would be with `demand` waiting, too."""
        unforeseen = self.unforeseen if foreseen else self.unforeseen | {demand.job}
        return replace(self, demands={**self.demands, demand.job: (demand,)}, unforeseen=unforeseen)

    @property
    def waiting(self) -> list[Demand]:
        """All demands."""
        return [demand for demands in self.demands.values() for demand in demands]


class Pictures:
    """Takes pictures, one at a time."""

    def __init__(self, store: SchedulerStore) -> None:
        self._store = store
        self._lock = Lock()
        self._last: Picture | None = None
        self._looking = Lock()
        self._starts: tuple[Picture, Mapping[str, Start]] | None = None

    def take(self, now: datetime, told: Told, job_id: str | None = None) -> Picture:
        """A picture that is at most FRESH_S old and has the open job `job_id` on it."""
        with self._lock:
            last = self._last
            fresh = last is not None and timedelta() <= now - last.at < timedelta(seconds=FRESH_S)
            if last is None or not fresh or (job_id is not None and job_id not in last.demands):
                self._last = make_picture(self._store.load(), now, told)
            assert self._last is not None  # noqa: S101 (for the type checker)
            return self._last

    def look_ahead(self, picture: Picture) -> Mapping[str, Start]:
        """When the jobs of a picture may start; worked out once for all who ask about the same one, and one at a time: it
        takes seconds for hundreds of jobs on a thousand agents.
        """
        with self._looking:
            if self._starts is None or self._starts[0] is not picture:
                self._starts = picture, find_starts(picture)
            return self._starts[1]


def find_starts(picture: Picture) -> Mapping[str, Start]:
    """When the jobs of a picture may start; looked at less often where each look takes longer."""
    steps = max(_LEAST_STEPS, min(STEPS, _WORK // (1 + len(picture.agents) * len(picture.waiting))))
    return forecast(
        picture.agents,
        picture.waiting,
        tenants=picture.tenants,
        work=picture.work,
        policy=picture.told.policy,
        unforeseen=picture.unforeseen,
        steps=steps,
    )


def make_picture(snapshot: Snapshot, now: datetime, told: Told) -> Picture:
    """The picture of what is open."""
    jobs = {job.id: job for job in snapshot.jobs}
    tasks, attempts = _by_job(snapshot.tasks), _by_job(snapshot.attempts)
    demands = {
        job.id: tuple(
            replace(demand, avoid=told.cooling.get(job.image.id, demand.avoid))
            for demand in _find_demands(job, tasks.get(job.id, []), attempts.get(job.id, []), now)
        )
        for job in snapshot.jobs
    }
    running: dict[str, list[Running]] = {}
    for attempt in _find_holders(snapshot):
        running.setdefault(attempt.agent_id, []).append(_to_running(attempt, jobs, snapshot, now))
    past = {project: past.value_at(now) for project, past in snapshot.pasts.items()}
    tenants = Tenants(projects=snapshot.projects, held=_sum_held(running), past=past)
    waiting = [demand for found in demands.values() for demand in found]
    return Picture(
        at=now,
        told=told,
        agents=tuple(keep_for_gpus(list(_make_views(snapshot, now, told)), waiting, Limits(tenants))),
        demands=demands,
        tenants=tenants,
        running={agent: tuple(found) for agent, found in running.items()},
        unforeseen=frozenset(
            job.id for job in snapshot.jobs if not is_foreseen(job.spec, job.longest_run_s, job.alike_s)
        ),
    )


def make_demand(
    spec: JobSpec,
    image: ImageRow,
    resources: Resources,
    *,
    job: str,
    user: str,
    since: datetime,
    count: int,
    alike_s: float | None = None,
) -> Demand:
    """What `count` tasks of a job ask for, whether it has been submitted or not."""
    return Demand(
        job=job,
        resources=resources,
        count=count,
        limit=spec.max_running,
        project=spec.project,
        user=user,
        priority=spec.priority,
        since=since,
        interactive=spec.job_class == INTERACTIVE,
        constraints=spec.constraints,
        prefer=spec.prefer,
        expected_s=expected_s(spec, image.manifest, None, alike_s),
        image=image.digest,
    )


def _by_job(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.job_id, []).append(entry)
    return found


def _find_demands(
    job: JobRecord, tasks: Sequence[PutTask], attempts: Sequence[Attempt], now: datetime
) -> Iterator[Demand]:
    """The tasks that could start now; nothing of a job that is held back, or that waits for another one."""
    held = job.spec.not_before is not None and job.spec.not_before > now
    if job.desired is Desired.CANCELLED or held or not job.counts.pending:
        return
    rows = [task for task in tasks if task.state is TaskState.PENDING]
    due = [task for task in rows if task.retry_at is None or task.retry_at <= now]
    fresh = job.counts.pending - len(rows)
    if job.spec.after and fresh:
        upstream = {other.id: other for other in job.upstream}
        never_ran = job.pending.minus(job.dropped)
        fresh = split(job.spec.after, upstream, never_ran, started=job.started_at is not None).ready.count
    limit = None if job.spec.max_running is None else max(0, job.spec.max_running - job.counts.active)
    for resources, count in _count_sizes(job, due, fresh).items():
        demand = make_demand(
            job.spec, job.image, resources, job=job.id, user=job.user, since=job.submitted_at, count=count
        )
        yield replace(
            demand,
            limit=limit,
            expected_s=_expected_s(job),
            running_on=_count_running(job, attempts),
        )


def _expected_s(job: JobRecord) -> float:
    return expected_s(job.spec, job.image.manifest, job.longest_run_s, job.alike_s)


def _count_sizes(job: JobRecord, due: Iterable[PutTask], fresh: int) -> dict[Resources, int]:
    """How many tasks ask for how much: as was said or learned, or for what has grown for them where that is more."""
    mem, disk = job.asks_mem or job.resources.mem, job.asks_disk or job.resources.disk
    sizes = Counter({(mem, disk): fresh} if fresh > 0 else {})
    sizes.update((max(mem, task.mem or 0), max(disk, task.disk or 0)) for task in due)
    return {replace(job.resources, mem=size[0], disk=size[1]): count for size, count in sizes.items()}


def _count_running(job: JobRecord, attempts: Collection[Attempt]) -> dict[str, int]:
    """Where the job's tasks are, for constraints that look at that."""
    if not any(rule.operator in SPREADING for rule in job.spec.constraints):
        return {}
    count: dict[str, int] = {}
    for attempt in attempts:
        count[attempt.agent_id] = count.get(attempt.agent_id, 0) + 1
    return count


def _find_holders(snapshot: Snapshot) -> Collection[Attempt]:
    """One attempt of each Mesos task: several may share one, which holds what one of them asks for."""
    return {attempt.slot_id: attempt for attempt in reversed(snapshot.attempts)}.values()


def _make_views(snapshot: Snapshot, now: datetime, told: Told) -> Iterator[AgentView]:
    """The agents with what is free on them, as far as Swath alone uses them."""
    used: dict[str, Resources] = {}
    for attempt in _find_holders(snapshot):
        used[attempt.agent_id] = used.get(attempt.agent_id, Resources()) + attempt.resources
    shut = {wish.agent_id for wish in snapshot.agent_wishes if wish.mode is not AgentMode.ACTIVE}
    for agent in snapshot.agents:
        begins, ends = agent.unavailable_from, agent.unavailable_until
        closes = begins is not None and (ends is None or ends > now)
        yield AgentView(
            id=agent.agent_id,
            free=agent.total - used.get(agent.agent_id, Resources()) - told.executor,
            total=agent.total,
            reserved=told.executor,
            attributes=with_own(agent.attributes, hostname=agent.hostname, region=agent.region, zone=agent.zone),
            shut=_find_shut(agent, shut, told),
            closes_in_s=max(0.0, (begins - now).total_seconds()) if closes and begins is not None else None,
        )


def _find_shut(agent: PutAgent, cordoned: Collection[str], told: Told) -> Shut | None:
    if agent.deactivated or agent.agent_id in cordoned:
        return Shut.CORDONED
    if agent.agent_id in told.sick:
        return Shut.SICK
    return Shut.RESTING if agent.agent_id in told.resting else None


def _to_running(attempt: Attempt, jobs: Mapping[str, JobRecord], snapshot: Snapshot, now: datetime) -> Running:
    job, owner = jobs.get(attempt.job_id), snapshot.owners.get(attempt.job_id)
    age_s = (now - (attempt.started_at or attempt.launched_at)).total_seconds()
    ends_in_s = 0.0 if job is None else left_s(_expected_s(job), age_s)
    ending = attempt.kill_cause is not None or attempt.state is AttemptState.KILLING
    return Running(
        attempt=attempt.id,
        job=attempt.job_id,
        project=job.project if job else owner.project if owner else "",
        user=job.user if job else owner.user if owner else "",
        resources=attempt.resources,
        priority=job.priority if job else 0,
        age_s=age_s,
        ends_in_s=GRACE_S if ending else ends_in_s,
        preemptible=job is not None and job.spec.preemptible and job.spec.job_class != INTERACTIVE,
        ending=ending,
    )


def _sum_held(running: Mapping[str, list[Running]]) -> dict[tuple[str, str], _Held]:
    held: dict[tuple[str, str], _Held] = {}
    for one in (one for attempts in running.values() for one in attempts):
        before = held.get((one.project, one.user), _Held(resources=Resources(), tasks=0))
        held[(one.project, one.user)] = _Held(resources=before.resources + one.resources, tasks=before.tasks + 1)
    return held

"""A core between an in-memory database and a master that does what the test says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from scheduler.core import effects as fx
from scheduler.core import events as ev
from scheduler.core.reactor import Core
from scheduler.core.state import CoreSettings
from swath.domain.attempts import Attempt, AttemptReport
from swath.domain.catalogue import ImageState
from swath.domain.changes import Change, PutAgent, PutTask
from swath.domain.ids import make_ulid
from swath.domain.images import HeldImage, ImagesReport
from swath.domain.jobs import JobSpec
from swath.domain.ranges import Ranges
from swath.domain.resources import Custom, Resources
from swath.domain.states import Desired, JobCounts, JobState, Observation, TaskState
from swath.matching.model import Policy
from swath.store.rows import ImageRow, JobRecord
from tests.scheduler.memory_store import MemoryStore

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
EXECUTOR = Resources(cpus_m=100, mem=128)
POLICY = Policy(most_starting=None)  # an agent of these tests may take thousands at once
SETTINGS = CoreSettings(executor_id="swath-abc", executor_resources=EXECUTOR, policy=POLICY)
MANIFEST = {
    "seedVersion": "1.0.0",
    "job": {
        "name": "true",
        "jobVersion": "1.0.0",
        "packageVersion": "1.0.0",
        "title": "true",
        "description": "Succeeds",
        "maintainer": {"name": "nobody", "email": "nobody@example.org"},
        "timeout": 600,
        "interface": {"command": "true"},
    },
}
NO_PORTS = Ranges()
IMAGE = ImageRow(
    id=1,
    name="true",
    version="1.0.0",
    digest="sha256:0",
    reference=None,
    image_id=None,
    context="builtin:true",
    manifest=MANIFEST,
    swath_manifest=None,
    state=ImageState.ACTIVE,
    created_at=NOON,
    registered_at=NOON,
)


def a_job(
    name: str = "j1",
    size: int = 1,
    *,
    cpus: float = 1,
    mem: int = 100,
    ports: int = 0,
    custom: Custom = (),
    **spec: Any,
) -> JobRecord:
    """A job's row as the api has just inserted it."""
    array = {} if size == 1 else {"array": {"over": "INDEX", "range": [0, size]}}
    document = {"image": "true", "name": name, **array, **spec}
    return JobRecord(
        id=name,
        name=name,
        project="default",
        user="me",
        spec=JobSpec.from_document(document),
        size=size,
        resources=Resources(cpus_m=int(cpus * 1000), mem=mem, ports=ports, custom=custom),
        priority=spec.get("priority", 50),
        image=IMAGE,
        desired=Desired.RUN,
        desired_rev=1,
        observed_rev=0,
        retry_rev=0,
        retry_rev_done=0,
        state=JobState.PENDING,
        pending=Ranges.of(size),
        counts=JobCounts(total=size, pending=size),
        wait_reason=None,
        submitted_at=NOON,
        started_at=None,
        ended_at=None,
    )


class World:
    """The core, its database, its time, and all calls that it has made."""

    def __init__(self, settings: CoreSettings = SETTINGS, **more: Any) -> None:
        """`more` replaces some of the settings."""
        self.now = NOON
        self.store = MemoryStore()
        self.settings = replace(settings, **more)
        self.changes: tuple[Change, ...] = ()  # of the last turn
        self.calls: list[fx.Call] = []
        self.recent: tuple[fx.Call, ...] = ()
        self.wake_at: datetime | None = None
        self._ids = 0
        self._uuids = 0
        self._offers = 0
        self._open: dict[str, ev.Offer] = {}  # offers that the master has made and not got back
        self.core = self._load()

    def _load(self, *, removed: str | None = None) -> Core:
        return Core.load(self.store.load(), self.settings, make_id=self._make_id, now=self.now, removed=removed)

    def _make_id(self, at: datetime) -> str:
        self._ids += 1
        return make_ulid(at, self._ids.to_bytes(10, "big"))

    # What happens

    def happen(self, *events: ev.Event) -> World:
        """Handle a batch of events; commit, then record the calls."""
        self._open |= {offer.id: offer for event in events if isinstance(event, ev.Offered) for offer in event.offers}
        effects = self.core.handle(events, self.now)
        self.store.apply(effects.changes)
        self._check_offers(effects.calls)
        self.recent, self.changes = effects.calls, effects.changes
        self.calls += effects.calls
        self.wake_at = effects.wake_at
        return self

    def _check_offers(self, calls: tuple[fx.Call, ...]) -> None:
        """Every offer is used once, of one agent an ACCEPT, by attempts that are written and fit into it."""
        for call in calls:
            if isinstance(call, fx.Accept):
                offers = [self._open.pop(offer_id) for offer_id in call.offer_ids]
                assert {offer.agent_id for offer in offers} == {call.agent_id}
                there = any(self.settings.executor_id in offer.executor_ids for offer in offers)
                slots = {launch.attempt.slot_id: launch.attempt.resources for launch in call.launches}
                need = sum(slots.values(), Resources() if there else EXECUTOR)
                assert need.fits_in(sum((offer.resources for offer in offers), Resources()))
                assert all(launch.attempt.id in self.store.attempts for launch in call.launches)
                self._check_ports(call, offers)
            elif isinstance(call, fx.HandOver):
                assert all(launch.attempt.id in self.store.attempts for launch in call.launches)
            elif isinstance(call, fx.Decline):
                for offer_id in call.offer_ids:
                    del self._open[offer_id]

    def _check_ports(self, call: fx.Accept, offers: list[ev.Offer]) -> None:
        """As many as were asked for, of those that were offered, and of no two live attempts the same."""
        attempts = [launch.attempt for launch in call.launches]
        assert all(len(attempt.ports) == attempt.resources.ports for attempt in attempts)
        assert all(any(port in offer.ports for offer in offers) for attempt in attempts for port in attempt.ports)
        live = [row for row in self.store.load().attempts if row.agent_id == call.agent_id]
        taken = [port for attempt in live for port in attempt.ports]
        assert len(taken) == len(set(taken)), f"a port is given out twice: {taken}"

    def restart(self, **more: Any) -> World:
        """Kill the scheduler, and start it again on what it had committed."""
        self.core = self._load(**more)
        return self

    def subscribe(self) -> World:
        """The master takes the subscription."""
        return self.happen(ev.Subscribed(framework_id="f1", master="127.0.0.1:5050"))

    def submit(self, record: JobRecord) -> World:
        """The api inserts a job."""
        self.store.jobs[record.id] = record
        return self.happen(ev.JobSeen(record=self.store.complete(record)))

    def desire(self, job_id: str, **wishes: Any) -> World:
        """The api changes what is desired of a job."""
        return self.desire_together({job_id: wishes})

    def desire_together(self, wishes: Mapping[str, Mapping[str, Any]]) -> World:
        """The same for several jobs, which the core hears of in one turn."""
        for job_id, wish in wishes.items():
            known = self.store.jobs[job_id]
            self.store.jobs[job_id] = replace(known, desired_rev=known.desired_rev + 1, **wish)
        return self.happen(*map(self._to_seen, wishes))

    def _to_seen(self, job_id: str) -> ev.JobSeen:
        failed = tuple(
            task for (owner, _), task in self.store.tasks.items() if owner == job_id and task.state is TaskState.FAILED
        )
        return ev.JobSeen(record=self.store.complete(self.store.jobs[job_id]), failed=failed)

    def offer(self, agent: str = "a1", cpus: float = 4, mem: int = 8192, **more: Any) -> World:
        """The master offers what an agent has."""
        return self.happen(ev.Offered(offers=(self.an_offer(agent, cpus, mem, **more),)))

    def list_agents(self, *agents: str) -> World:
        """The master lists its agents, all of the size that `offer` offers."""
        total = Resources(cpus_m=4000, mem=8192, disk=10_000)
        listed = [
            PutAgent(agent_id=name, hostname=name, url=f"http://{name}:5051", total=total) for name in agents or ("a1",)
        ]
        return self.happen(ev.AgentsListed(agents=tuple(listed)))

    def hold(self, *images: HeldImage, agent: str = "a1", engine: bool = True, processes: bool = False) -> World:
        """An agent's executor says what its engine holds."""
        report = ImagesReport(engine=engine, processes=processes, images=images)
        return self.happen(ev.ImagesHeld(agent_id=agent, executor_id=self.settings.executor_id, report=report))

    def list_agents_as(self, info: PutAgent, **more: Any) -> World:
        """The master lists one agent, with something else about it."""
        return self.happen(ev.AgentsListed(agents=(replace(info, **more),)))

    def an_offer(
        self,
        agent: str = "a1",
        cpus: float = 4,
        mem: int = 8192,
        custom: Custom = (),
        ports: Ranges = NO_PORTS,
        **more: Any,
    ) -> ev.Offer:
        """An offer with an id of its own."""
        self._offers += 1
        return ev.Offer(
            id=f"o{self._offers}",
            agent_id=agent,
            hostname=agent,
            url=f"http://{agent}:5051",
            resources=Resources(cpus_m=int(cpus * 1000), mem=mem, disk=10_000, ports=ports.count, custom=custom),
            ports=ports,
            **more,
        )

    def say(self, attempt_id: str, observation: str, report: AttemptReport | None = None, **more: Any) -> World:
        """Its agent says something of an attempt."""
        return self.happen(self.an_update(attempt_id, observation, report, **more))

    def an_update(
        self, attempt_id: str, observation: str, report: AttemptReport | None = None, **more: Any
    ) -> ev.Update:
        """An update with a uuid of its own, unless the test gives another."""
        self._uuids += 1
        told: dict[str, Any] = {"uuid": f"u{self._uuids}", "source": "SOURCE_EXECUTOR", "agent_id": "a1"} | more
        data = report.to_json().encode() if report else None
        return ev.Update(task_id=attempt_id, observation=Observation(observation), data=data, **told)

    def advance(self, seconds: float) -> World:
        """Let time pass: the core is woken whenever it asked for it."""
        until = self.now + timedelta(seconds=seconds)
        while self.wake_at is not None and self.wake_at <= until:
            self.now = max(self.now, self.wake_at)
            self.happen()
        self.now = until
        return self.happen()

    # What can be seen

    def called(self, kind: type[Any]) -> list[Any]:
        """All calls of a kind so far."""
        return [call for call in self.calls if isinstance(call, kind)]

    def lately(self, kind: type[Any]) -> list[Any]:
        """The calls of a kind in the last turn."""
        return [call for call in self.recent if isinstance(call, kind)]

    def written(self, kind: type[Any]) -> list[Any]:
        """The changes of a kind in the last turn."""
        return [change for change in self.changes if isinstance(change, kind)]

    def launched(self) -> list[Attempt]:
        """Every attempt that an ACCEPT carried, or a first message to a slot, in order."""
        calls = [call for call in self.calls if isinstance(call, fx.Accept | fx.HandOver)]
        return [launch.attempt for call in calls if not getattr(call, "again", False) for launch in call.launches]

    def job(self, job_id: str = "j1") -> JobRecord:
        """The job's row."""
        return self.store.jobs[job_id]

    def task(self, index: int = 0, job_id: str = "j1") -> PutTask:
        """The task's row."""
        return self.store.tasks[(job_id, index)]

    def attempt(self, attempt_id: str) -> Attempt:
        """The attempt's row."""
        return self.store.attempts[attempt_id]

    def details(self, attempt_id: str) -> Mapping[str, Any]:
        """Everything that was ever reported of an attempt."""
        return self.store.details[attempt_id]

    def running(self, record: JobRecord | None = None) -> str:
        """Subscribe, submit, offer, and bring the first attempt to RUNNING; returns its id."""
        self.subscribe().submit(record or a_job()).offer()
        attempt_id = self.launched()[0].id
        self.say(attempt_id, "RUNNING", AttemptReport(sandbox="/s", runtime="process"))
        return attempt_id

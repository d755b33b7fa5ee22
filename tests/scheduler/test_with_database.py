"""The loop, the core and the shell on a real database, with a master that takes every call."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from scheduler.core import events as ev
from scheduler.core.reactor import Core
from scheduler.core.state import CoreSettings
from scheduler.inbox import Inbox, Item, Signal
from scheduler.lease import Lease
from scheduler.loop import Loop
from scheduler.metrics import Metrics
from scheduler.shell import Shell
from scheduler.to_mesos import Writer
from scheduler.wishes import WishReader
from swath.domain.attempts import AttemptReport
from swath.domain.changes import Change, ChangeAttempt
from swath.domain.ids import make_ulid
from swath.domain.projects import Project
from swath.domain.resources import Resources
from swath.domain.retries import Cause
from swath.domain.states import AttemptState, JobState, Observation, TaskState
from swath.store.api_store import ApiStore
from swath.store.database import Database
from swath.store.leadership import Leadership
from swath.store.rows import UsageFilters
from swath.store.scheduling import SchedulerStore
from tests.scheduler.stand_ins import Diary
from tests.scheduler.world import MANIFEST
from tests.store.build import Scene, a_range

FAILED = AttemptReport(cause=Cause.APP, exit_code=1)
LARGE = Resources(cpus_m=64_000, mem=256_000, disk=900_000)


class Careless(SchedulerStore):
    """Whatever slips through every check: an exit code of 7 has more bits than any column."""

    def apply(self, changes: Sequence[Change], *, epoch: int, now: datetime) -> None:
        super().apply([_swollen(change) for change in changes], epoch=epoch, now=now)


def _swollen(change: Change) -> Change:
    return replace(change, exit_code=2**70) if isinstance(change, ChangeAttempt) and change.exit_code == 7 else change


class Running:
    """A scheduler without threads: `go` puts a batch into its inbox and has it handled."""

    def __init__(self, database: Database) -> None:
        self.store = Careless(database)
        self.api = ApiStore(database)
        self.diary = Diary()
        self.inbox = Inbox()
        lease = Lease(Leadership(database), lease_s=3600, clock=_now, holder="test")
        assert lease.acquire()
        self.scene = Scene(api=self.api, scheduler=self.store, epoch=lease.epoch or 0)
        self.scene.image = self.scene.register(digest="sha256:2", manifest=MANIFEST)
        writer = Writer(role="eo", framework={}, executor={}, outputs_root="/out", read_items=self.store.read_items)
        metrics = Metrics()
        shell = Shell(
            store=self.store,
            driver=self.diary,
            fence=lease,
            writer=writer,
            list_agents=lambda: None,
            operate=lambda wish: None,
            metrics=metrics,
        )
        self.core = self._load()
        self.loop = Loop(
            core=self.core,
            load=self._load,
            shell=shell,
            jobs=WishReader(self.store, self.api),
            inbox=self.inbox,
            lease=lease,
            metrics=metrics,
            prune=self.store.prune,
        )

    def _load(self) -> Core:
        settings = CoreSettings(executor_id="e", executor_resources=Resources())
        self.core = Core.load(
            self.store.load(), settings, make_id=lambda at: make_ulid(at, secrets.token_bytes(10)), now=_now()
        )
        return self.core

    def begin_anew(self) -> None:
        """Another scheduler in place of this one, which was killed."""
        self.loop._core = self._load()

    def go(self, *items: Item) -> None:
        for item in items:
            self.inbox.put(item)
        self.loop.run_once()

    def offer(self) -> list[str]:
        """Offer a large agent; the attempts that are open then."""
        offer = ev.Offer(id=secrets.token_hex(4), agent_id="a", hostname="h", url="http://h:1", resources=LARGE)
        self.go(ev.Offered(offers=(offer,)))
        return list(self.core.state.attempts)


def an_update(attempt_id: str, observation: Observation, report: AttemptReport) -> ev.Update:
    return ev.Update(
        task_id=attempt_id,
        observation=observation,
        agent_id="a",
        uuid=attempt_id,
        source="SOURCE_EXECUTOR",
        data=report.to_json().encode(),
    )


def _now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def running(database: Database) -> Running:
    return Running(database)


def test_a_retry_asked_for_while_another_task_fails_ends_with_the_counts_of_its_rows(running: Running):
    """One batch holds the failure and the wish: the second task stays FAILED, the first runs again, the job ends."""
    job = running.scene.submit(array=a_range(2), retry={"max_attempts": 1})
    running.go(Signal.DESIRED, ev.Subscribed(framework_id="f"))
    first, second = running.offer()
    running.go(an_update(first, Observation.FAILED, FAILED))
    running.api.request_retry(job.id)
    running.go(an_update(second, Observation.FAILED, FAILED), Signal.DESIRED)
    (again,) = running.offer()
    running.go(an_update(again, Observation.FINISHED, AttemptReport()))
    row = running.api.get_job(job.id)
    assert (row.state, row.counts.pending, row.counts.failed) == (JobState.FAILED, 0, 1)
    assert len(running.api.list_tasks(job.id, state=TaskState.FAILED).items) == 1


def test_a_value_that_no_database_holds_fails_its_attempt_alone(running: Running):
    """The rest of the batch is committed, everything is acknowledged, and the scheduler goes on."""
    job = running.scene.submit(array=a_range(2), retry={"max_attempts": 1})
    running.go(Signal.DESIRED, ev.Subscribed(framework_id="f"))
    first, second = running.offer()
    poison = an_update(first, Observation.FINISHED, AttemptReport(exit_code=7))
    running.go(poison, an_update(second, Observation.FINISHED, AttemptReport()))
    states = [running.api.list_attempts(job.id, index)[0].state for index in (0, 1)]
    assert states == [AttemptState.FAILED, AttemptState.SUCCEEDED]
    assert running.diary.lines.count("ACKNOWLEDGE") == 2


def test_m40_every_ended_task_stays_in_the_history_however_many_there_are(running: Running):
    """Mesos keeps its last 1,000 completed tasks of a framework; of 1,200 of ours, each can be asked for afterwards."""
    job = running.scene.submit(array=a_range(1200))
    running.go(Signal.DESIRED, ev.Subscribed(framework_id="f"))
    while launched := running.offer():
        running.go(*(an_update(attempt_id, Observation.FINISHED, AttemptReport()) for attempt_id in launched))
    assert running.api.get_job(job.id).counts.succeeded == 1200
    ended = [running.api.list_attempts(job.id, index)[0] for index in (0, 600, 1199)]
    assert {attempt.state for attempt in ended} == {AttemptState.SUCCEEDED}
    lines, after = [], 0
    while page := running.api.read_events(after, job_id=job.id):
        lines += [event for event in page if event.kind == "task.state" and event.data["state"] == "SUCCEEDED"]
        after = page[-1].id
    assert len(lines) == 1200


def outcomes(running: Running) -> dict[str, int]:
    """How many attempts were accounted for, by outcome."""
    filters = UsageFilters(by=(), first=_now().date() - timedelta(days=1), last=_now().date())
    rows = running.api.read_usage(filters, now=_now()).items
    return {name: count for row in rows for name, count in row.outcomes.items()}


def test_a_batch_that_is_refused_accounts_for_each_of_its_ends_once(running: Running):
    """The transaction of the batch is undone with what it would have added; one by one, each end adds its own."""
    running.scene.submit(array=a_range(3), retry={"max_attempts": 1})
    running.go(Signal.DESIRED, ev.Subscribed(framework_id="f"))
    first, second, _ = running.offer()
    assert outcomes(running) == {"RUNNING": 3}
    poison = an_update(first, Observation.FINISHED, AttemptReport(exit_code=7))
    running.go(an_update(second, Observation.FINISHED, AttemptReport()), poison)
    assert outcomes(running) == {"OUTPUT": 1, "RUNNING": 1, "SUCCEEDED": 1}


def test_a_commit_whose_answer_is_lost_accounts_once(running: Running):
    """What was written is there though nobody knows; the next core begins from it, and is told of the end again."""
    running.scene.submit(array=a_range(2))
    running.go(Signal.DESIRED, ev.Subscribed(framework_id="f"))
    first, _ = running.offer()
    effects = running.core.handle([an_update(first, Observation.FINISHED, AttemptReport())], _now())
    running.store.apply(effects.changes, epoch=running.scene.epoch, now=_now())
    running.begin_anew()
    running.go(Signal.DESIRED, ev.Subscribed(framework_id="f"), an_update(first, Observation.FINISHED, AttemptReport()))
    assert outcomes(running) == {"RUNNING": 1, "SUCCEEDED": 1}


def test_projects_come_from_the_api_to_the_core_and_are_no_news_twice(running: Running):
    """A declaration is taken in with the next notification, and a core that is loaded later has it from the start."""
    running.api.put_project(Project(name="land", weight=2.0), user="ada", now=_now())
    running.go(Signal.DESIRED)
    assert running.core.state.projects == {"land": Project(name="land", weight=2.0)}
    tree = running.api.read_projects()
    assert (tree.rev, tree.observed_rev) == (1, 1)
    running.begin_anew()
    assert running.core.state.projects == tree.projects
    running.api.remove_project("land")
    running.go(Signal.DESIRED)
    assert running.core.state.projects == {}


def test_a_quota_of_nothing_holds_a_project_back_until_it_is_lifted(running: Running):
    """From the api's table by the core's matcher to what is launched: another project is not held back."""
    running.api.put_project(Project(name="land", quota={"cpus": 0}), user="ada", now=_now())
    running.scene.submit(project="land")
    other = running.scene.submit(project="sea")
    running.go(Signal.DESIRED, ev.Subscribed(framework_id="f"))
    running.offer()
    assert [live.attempt.job_id for live in running.core.state.attempts.values()] == [other.id]
    running.api.put_project(Project(name="land"), user="ada", now=_now())
    running.go(Signal.DESIRED)
    assert len(running.offer()) == 2


def test_what_a_project_holds_is_the_same_by_the_core_and_by_the_api(running: Running):
    """The core counts attempts as they come and go, the api adds up what is open: by user, and after a failover, too."""
    running.scene.submit(project="land", user="ada", array=a_range(3))
    running.scene.submit(project="land", user="eve")
    running.go(Signal.DESIRED, ev.Subscribed(framework_id="f"))
    first, *_ = running.offer()
    running.go(an_update(first, Observation.FINISHED, AttemptReport()))
    for _ in range(2):
        shown = running.api.read_tenants()
        held = {key: (row.resources, row.tasks) for key, row in shown.held.items()}
        assert held == {key: (entry.resources, entry.tasks) for key, entry in running.core.state.held.items()}
        assert shown.pasts.keys() == running.core.state.pasts.keys() == {"land"}
        assert shown.pasts["land"].share == pytest.approx(running.core.state.pasts["land"].share, abs=0.01)
        running.begin_anew()

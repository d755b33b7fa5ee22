"""The service that fires: exactly once, whatever dies when, and what it does about runs that overlap or were missed."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from api.image_gate import ImageGate
from api.recurring import FAILED_S, Recurring
from swath.domain.catalogue import ImageState, Mover
from swath.domain.errors import StoreUnavailableError
from swath.domain.image_policy import ImagePolicy
from swath.domain.ranges import Ranges
from swath.domain.schedules import CatchUp, Outcome, Overlap
from swath.domain.states import Desired, JobState
from swath.store.api_store import ApiStore
from swath.store.database import Database
from swath.store.recurring_rows import ScheduleRow
from tests.store.build import Scene, an_id, figures

NINE = datetime(2026, 6, 1, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
JOB = {"image": "ndvi", "name": "hourly-{date}", "inputs": {"SCENE": {"href": "file:///{date}.tif"}}}


def an_open_gate(store: ApiStore) -> ImageGate:
    """Lets every active image pass."""
    return ImageGate(store=store, policy=ImagePolicy())


class Clock:
    """The service's clock, set by the test."""

    def __init__(self) -> None:
        self.now = NINE

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that shows 9."""
    return Clock()


@pytest.fixture
def recurring(both_scene: Scene, clock: Clock) -> Recurring:
    """What fires, without its thread; files are not looked for."""
    return Recurring(both_scene.api, lambda: None, clock, an_open_gate(both_scene.api))


def add(scene: Scene, **changed: Any) -> ScheduleRow:
    """An hourly schedule whose next fire time is 10."""
    said: dict[str, Any] = {
        "id": an_id(),
        "name": "hourly",
        "user": "ada",
        "cron": "0 * * * *",
        "timezone": "UTC",
        "overlap": Overlap.SKIP,
        "catch_up": CatchUp.LAST,
        "paused": False,
        "document": JOB,
        "created_at": NINE,
        "next_at": NINE + HOUR,
    }
    return scene.api.add_schedule(ScheduleRow(**(said | changed)))


def runs(scene: Scene, schedule: ScheduleRow) -> list[tuple[datetime, Outcome]]:
    """(fire time, outcome), the oldest first."""
    return [(run.at, run.outcome) for run in reversed(scene.api.list_runs(schedule.id))]


def jobs(scene: Scene) -> list[Any]:
    """All jobs, the oldest first."""
    return list(reversed(scene.api.list_jobs().items))


def end(scene: Scene, job_id: str) -> None:
    """The scheduler sees a job succeed."""
    scene.apply(figures(scene.api.get_job(job_id), JobState.SUCCEEDED, Ranges(), succeeded=1))


def test_a_job_is_submitted_at_its_time(both_scene: Scene, recurring: Recurring, clock: Clock) -> None:
    """Not before, once, for the user of the schedule, with the date filled in and the schedule's name as a label."""
    schedule = add(both_scene)
    assert recurring.fire_due() == 5
    assert jobs(both_scene) == []
    clock.now = NINE + HOUR - timedelta(seconds=2)
    assert recurring.fire_due() == 2
    clock.now = NINE + HOUR
    for _ in range(3):
        recurring.fire_due()
    (job,) = jobs(both_scene)
    assert (job.name, job.user, job.labels) == ("hourly-2026-06-01", "ada", {"schedule": "hourly"})
    assert job.spec["inputs"]["SCENE"]["href"] == "file:///2026-06-01.tif"
    assert runs(both_scene, schedule) == [(NINE + HOUR, Outcome.SUBMITTED)]
    assert both_scene.api.list_runs(schedule.id)[0].job_id == job.id
    assert both_scene.api.get_schedule("hourly").next_at == NINE + 2 * HOUR
    assert [record.id for record in both_scene.scheduler.read_changed_jobs()] == [job.id]


def test_a_run_of_a_deprecated_image_says_so(both_scene: Scene, recurring: Recurring, clock: Clock) -> None:
    """Nobody sees what its submission answers: the warning stands with the run."""
    for row in both_scene.api.list_images().items:
        said = {"mover": Mover.OWNER, "user": "ada", "why": "old", "now": NINE}
        both_scene.api.move_image(row.image.id, ImageState.DEPRECATED, **said)
    schedule = add(both_scene)
    clock.now = NINE + HOUR
    recurring.fire_due()

    (run,) = both_scene.api.list_runs(schedule.id)
    assert run.outcome is Outcome.SUBMITTED
    assert "is DEPRECATED" in str(run.message)


def test_services_that_fire_together_fire_once(database: Database, both_scene: Scene, clock: Clock) -> None:
    """Four of them, over and over."""
    schedule = add(both_scene, overlap=Overlap.QUEUE)
    barrier = threading.Barrier(4)

    def serve() -> None:
        own = Recurring(store := ApiStore(database), lambda: None, clock, an_open_gate(store))
        for _ in range(5):
            barrier.wait()
            own.fire_due()
            if barrier.wait() == 0:
                clock.now += HOUR

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recurring_at = [at for at, _ in runs(both_scene, schedule)]
    assert len(jobs(both_scene)) == len(recurring_at) == len(set(recurring_at))
    assert recurring_at == [NINE + count * HOUR for count in range(1, len(recurring_at) + 1)]
    assert len(recurring_at) >= 4


class Killed(BaseException):
    """The process is gone."""


def test_a_kill_at_any_statement_neither_loses_nor_doubles_a_run(
    database: Database, both_scene: Scene, recurring: Recurring, clock: Clock
) -> None:
    """At each of them in turn, the commit included; the service that comes after does the rest."""
    schedule = add(both_scene, overlap=Overlap.CANCEL)
    left = 0

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    for engine in (database._writer, database._reader):
        event.listen(engine, "before_cursor_execute", count)
    event.listen(database._writer, "commit", count)
    kills, at = 0, 1
    while True:
        clock.now += HOUR
        left = at
        try:
            recurring.fire_due()
        except Killed:
            kills += 1
        else:
            break
        at += 1
        left = 0
        recurring.fire_due()
    left = 0
    assert kills > 10
    assert [found for found, _ in runs(both_scene, schedule)] == [NINE + HOUR * n for n in range(1, kills + 2)][-20:]
    assert len(jobs(both_scene)) == kills + 1


def test_a_commit_whose_answer_is_lost_is_not_repeated(both_scene: Scene, clock: Clock) -> None:
    """The next look finds the fire time dealt with."""

    class Deaf(ApiStore):
        def fire(self, *arguments: Any, **named: Any) -> bool:
            super().fire(*arguments, **named)
            raise StoreUnavailableError("the connection broke")

    add(both_scene)
    clock.now = NINE + HOUR
    deaf = Recurring(Deaf(both_scene.api._database), lambda: None, clock, an_open_gate(both_scene.api))
    with pytest.raises(StoreUnavailableError):
        deaf.fire_due()
    Recurring(both_scene.api, lambda: None, clock, an_open_gate(both_scene.api)).fire_due()
    assert len(jobs(both_scene)) == 1


def test_a_run_is_skipped_while_the_one_before_has_not_ended(
    both_scene: Scene, recurring: Recurring, clock: Clock
) -> None:
    """And said so; after its end the next one runs."""
    schedule = add(both_scene)
    for _ in range(2):
        clock.now += HOUR
        recurring.fire_due()
    (first,) = jobs(both_scene)
    assert both_scene.api.list_runs(schedule.id)[0].message == f"job {first.id} of 2026-06-01T10:00:00Z has not ended"
    end(both_scene, first.id)
    clock.now += HOUR
    recurring.fire_due()
    outcomes = [outcome for _, outcome in runs(both_scene, schedule)]
    assert outcomes == [Outcome.SUBMITTED, Outcome.SKIPPED, Outcome.SUBMITTED]
    assert "after" not in jobs(both_scene)[1].spec


@pytest.mark.parametrize("overlap", [Overlap.QUEUE, Overlap.CANCEL])
def test_a_run_waits_for_the_end_of_the_one_before(
    both_scene: Scene, recurring: Recurring, clock: Clock, overlap: Overlap
) -> None:
    """As any job after another; `cancel` asks for that end."""
    add(both_scene, overlap=overlap)
    for _ in range(2):
        clock.now += HOUR
        recurring.fire_due()
    first, second = jobs(both_scene)
    assert second.spec["after"] == [{"job": first.id, "condition": "ended"}]
    assert [link.job_id for link in both_scene.api.list_links(first.id).before] == [second.id]
    assert first.desired is (Desired.CANCELLED if overlap is Overlap.CANCEL else Desired.RUN)


def test_a_job_that_cannot_run_is_told_and_the_next_one_tried(
    both_scene: Scene, recurring: Recurring, clock: Clock
) -> None:
    """An image that is gone, a document that means nothing once the date is in it: other schedules go on."""
    bad = add(both_scene, name="bad", document={"image": "gone", "parameters": {"STEP": "x"}})
    long = add(both_scene, name="long", document={**JOB, "name": "{date}" * 50})
    good = add(both_scene, name="good")
    for _ in range(2):
        clock.now += HOUR
        recurring.fire_due()
    assert [outcome for _, outcome in runs(both_scene, bad)] == [Outcome.REFUSED] * 2
    assert "there is no image 'gone'" in both_scene.api.list_runs(bad.id)[0].message
    assert [outcome for _, outcome in runs(both_scene, long)] == [Outcome.REFUSED] * 2
    assert runs(both_scene, good)[0] == (NINE + HOUR, Outcome.SUBMITTED)


def test_a_schedule_that_nobody_can_read_keeps_no_other_from_firing(
    both_scene: Scene, recurring: Recurring, clock: Clock
) -> None:
    """Its time zone is one that this machine does not know: the one behind it fires, and it is looked at again later."""
    odd = add(both_scene, name="a", timezone="Mars/Olympus")
    good = add(both_scene, name="b")
    clock.now += HOUR
    assert recurring.fire_due() == FAILED_S
    assert runs(both_scene, good) == [(NINE + HOUR, Outcome.SUBMITTED)]
    assert runs(both_scene, odd) == []


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        (CatchUp.LAST, [(14, Outcome.SUBMITTED)]),
        (CatchUp.NONE, [(14, Outcome.MISSED)]),
        (CatchUp.ALL, [(hour, Outcome.SUBMITTED) for hour in range(10, 15)]),
    ],
)
def test_after_an_absence(
    both_scene: Scene, recurring: Recurring, clock: Clock, catch_up: CatchUp, expected: list[tuple[int, Outcome]]
) -> None:
    """From before 10 to half past 14: the last one, none, or all; then as ever."""
    schedule = add(both_scene, catch_up=catch_up, overlap=Overlap.QUEUE)
    clock.now = NINE + timedelta(hours=5, minutes=30)
    for _ in range(6):
        recurring.fire_due()
    assert [(at.hour, outcome) for at, outcome in runs(both_scene, schedule)] == expected
    clock.now = NINE + timedelta(hours=6)
    recurring.fire_due()
    assert runs(both_scene, schedule)[-1] == (NINE + timedelta(hours=6), Outcome.SUBMITTED)


def test_a_clock_that_is_set_back_fires_nothing_twice(both_scene: Scene, recurring: Recurring, clock: Clock) -> None:
    """A fire time that has been dealt with never comes again."""
    schedule = add(both_scene, overlap=Overlap.QUEUE)
    clock.now = NINE + HOUR
    recurring.fire_due()
    clock.now = NINE
    recurring.fire_due()
    clock.now = NINE + HOUR
    recurring.fire_due()
    assert len(runs(both_scene, schedule)) == 1


def test_a_schedule_that_changes_while_it_is_fired_is_left_alone(both_scene: Scene, clock: Clock) -> None:
    """Paused or removed between the look and the transaction: nothing is submitted."""

    class Slow(ApiStore):
        def fire(self, schedule: ScheduleRow, *arguments: Any, **named: Any) -> bool:
            if schedule.name == "paused":
                self.change_schedule(schedule.id, {"paused": True, "next_at": None})
            else:
                self.remove_schedule("removed")
            return super().fire(schedule, *arguments, **named)

    for name in ("paused", "removed"):
        add(both_scene, name=name)
    clock.now = NINE + HOUR
    Recurring(Slow(both_scene.api._database), lambda: None, clock, an_open_gate(both_scene.api)).fire_due()
    assert jobs(both_scene) == []

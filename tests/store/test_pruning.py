"""What is kept for a time only, and what is kept for good."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import event

from swath.domain.changes import AddEvent
from swath.store import pruning
from swath.store.database import Database
from swath.store.scheduling import SchedulerStore
from tests.store.build import NOW


def add_event(scene, job, days):
    """An event so many days after NOW."""
    scene.apply(AddEvent(job_id=job.id, kind="job.state", data={"day": days}), at=NOW + timedelta(days=days))


def test_old_events_go_and_newer_ones_stay(scene):
    """After thirty days an event is gone; ids go on where they were, and the job stays."""
    job = scene.submit()
    for days in (0, 1, 20):
        add_event(scene, job, days)
    last = scene.api.last_event_id()

    assert scene.scheduler.prune(NOW + timedelta(days=30)) == 0
    assert scene.scheduler.prune(NOW + timedelta(days=31.5)) == 2

    assert [found.data["day"] for found in scene.api.read_events(0)] == [20]
    assert scene.scheduler.prune(NOW + timedelta(days=60)) == 1
    add_event(scene, job, 60)
    assert [found.id for found in scene.api.read_events(last)] == [last + 1]
    assert scene.api.get_job(job.id) == job


def test_a_key_is_free_again_after_a_week(scene):
    """Until then it stands for its job, afterwards for whatever comes."""
    job = scene.submit(idempotency=("key", "hash"))

    assert scene.scheduler.prune(NOW + timedelta(days=7)) == 0
    assert scene.api.find_submitted("key", "hash") == job
    assert scene.scheduler.prune(NOW + timedelta(days=7, seconds=1)) == 1
    assert scene.api.find_submitted("key", "hash") is None


def test_a_call_prunes_a_slice(scene, monkeypatch):
    """However much is old, one transaction stays short; the next call goes on."""
    monkeypatch.setattr(pruning, "SLICE", 2)
    job = scene.submit()
    for _ in range(5):
        add_event(scene, job, 0)

    assert [scene.scheduler.prune(NOW + timedelta(days=31)) for _ in range(4)] == [2, 2, 1, 0]


def test_a_clock_that_was_set_back_costs_no_young_event(scene):
    """A young event between old ones stays: the time counts, not the place."""
    job = scene.submit()
    for days in (0, 20, 1):
        add_event(scene, job, days)

    scene.scheduler.prune(NOW + timedelta(days=40))

    assert [found.data["day"] for found in scene.api.read_events(0)] == [20]


def test_the_old_is_found_without_sorting(sqlite_database):
    """Keys are found by an index on their time, and events from the lowest id on."""
    asked: list[tuple] = []
    database = Database(sqlite_database)
    event.listen(database._writer, "before_cursor_execute", lambda *call: asked.append(call[2:4]))
    SchedulerStore(database).prune(NOW)

    with database.read() as session:
        connection = session.connection()
        plans = [str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {said}", values).all()) for said, values in asked]

    of_events, of_keys, of_runs = plans[-3:]
    assert "TEMP B-TREE" not in of_events
    assert "ix_idempotency_keys_at" in of_keys
    assert "ix_schedule_runs_at" in of_runs
    database.close()

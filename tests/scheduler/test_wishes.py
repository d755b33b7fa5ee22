"""Wishes are read from a real database, page by page."""

from __future__ import annotations

from pathlib import Path

from scheduler.wishes import WishReader
from swath.domain.states import TaskState
from swath.store.api_store import ApiStore
from swath.store.database import Database
from swath.store.leadership import Leadership
from swath.store.migrate import upgrade
from swath.store.scheduling import SchedulerStore
from tests.store.build import NOW, Scene, a_range, a_task


def test_failed_tasks_are_read_a_page_at_a_time(tmp_path: Path):
    """Every one once, as the row that it is, and no task of another state."""
    url = f"sqlite:///{tmp_path}/swath.db"
    upgrade(url)
    database = Database(url)
    try:
        epoch = Leadership(database).acquire("test", NOW, 3600)
        assert epoch is not None
        scene = Scene(api=ApiStore(database), scheduler=SchedulerStore(database), epoch=epoch)
        job = scene.submit(array=a_range(8))
        rows = [a_task(job, index, TaskState.FAILED, attempts=2, failures=2) for index in range(5)]
        scene.apply(*rows, a_task(job, 5, TaskState.SUCCEEDED, attempts=1))
        wishes = WishReader(scene.scheduler, scene.api)
        first, after = wishes.read_failed(job.id, None, 3)
        rest, end = wishes.read_failed(job.id, after, 3)
        assert first + rest == rows
        assert end is None
    finally:
        database.close()

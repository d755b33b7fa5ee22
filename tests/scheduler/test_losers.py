"""What attempts have left in the site's object store in vain: a real database, and moto's server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from obstore.store import S3Store

from scheduler.losers import MARK, LoserSweeper
from swath.domain.changes import ChangeAttempt
from swath.domain.states import AttemptState
from swath.store.api_store import ApiStore
from swath.store.database import Database
from swath.store.leadership import Leadership
from swath.store.scheduling import SchedulerStore
from tests.fixtures.s3 import S3
from tests.store.build import NOW, Scene

KEEP = timedelta(days=7)


@pytest.fixture
def scene(sqlite_database: str) -> Iterator[Scene]:
    """A database with an image and a leading scheduler."""
    database = Database(sqlite_database)
    epoch = Leadership(database).acquire("first", NOW, lease_s=60)
    assert epoch is not None
    yield Scene(api=ApiStore(database), scheduler=SchedulerStore(database), epoch=epoch)
    database.close()


def leave(scene: Scene, bucket: S3Store, state: AttemptState) -> str:
    """An attempt that has stored a file and has ended so; the file's key."""
    job = scene.submit()
    attempt_id = scene.launch(job)
    scene.apply(ChangeAttempt(attempt_id=attempt_id, state=state, ended_at=NOW))
    key = f"my site/{job.id}/0/{attempt_id}/result.txt"
    bucket.put(key, b"result")
    return key


def keys_of(bucket: S3Store) -> set[str]:
    """All that is there, the mark aside."""
    return {entry["path"] for batch in bucket.list() for entry in batch} - {f"my site/{MARK}"}


def a_sweeper(scene: Scene, stores: Path, now: datetime) -> LoserSweeper:
    return LoserSweeper(
        store=scene.scheduler, root="s3://scenes-out/my site", stores=stores, keep=KEEP, clock=lambda: now
    )


def test_what_losers_have_left_goes_in_time_and_what_won_stays(scene: Scene, s3: S3, tmp_path: Path) -> None:
    """A week after their launch; each is looked for once, whoever leads by then."""
    bucket, stores = s3.make_bucket("scenes-out"), s3.write_stores(tmp_path / "s3.toml")
    won, lost = leave(scene, bucket, AttemptState.SUCCEEDED), leave(scene, bucket, AttemptState.LOST)
    assert a_sweeper(scene, stores, NOW + KEEP - timedelta(hours=1)).sweep() == 0
    assert keys_of(bucket) == {won, lost}
    assert a_sweeper(scene, stores, NOW + KEEP + timedelta(hours=1)).sweep() == 1
    assert keys_of(bucket) == {won}
    bucket.put(lost, b"again")
    assert a_sweeper(scene, stores, NOW + KEEP + timedelta(hours=2)).sweep() == 0

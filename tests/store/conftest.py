"""What the tests of the store share: the databases, and words to describe jobs and attempts with."""

from __future__ import annotations

import pytest

from swath.store.api_store import ApiStore
from swath.store.database import Database
from swath.store.leadership import Leadership
from swath.store.scheduling import SchedulerStore
from tests.store.build import NOW, Scene


@pytest.fixture
def scene(database: Database) -> Scene:
    """A database with an image and a leading scheduler."""
    epoch = Leadership(database).acquire("first", NOW, lease_s=60)
    assert epoch is not None
    return Scene(api=ApiStore(database), scheduler=SchedulerStore(database), epoch=epoch)

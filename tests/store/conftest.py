"""What the tests of the store share: the databases, and words to describe jobs and attempts with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from swath.store.api_store import ApiStore
from swath.store.database import Database
from swath.store.leadership import Leadership
from swath.store.scheduling import SchedulerStore

PLUGIN = "tests.fixtures.postgres"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def pytest_configure(config: pytest.Config) -> None:
    """Take the shared fixtures in, unless the run has them already."""
    if not config.pluginmanager.has_plugin(PLUGIN):
        config.pluginmanager.import_plugin(PLUGIN)


@pytest.fixture
def now() -> datetime:
    """A moment."""
    return NOW


@pytest.fixture
def api(database: Database) -> ApiStore:
    """The api's side of the test's database."""
    return ApiStore(database)


@pytest.fixture
def scheduler(database: Database) -> SchedulerStore:
    """The scheduler's side of the test's database."""
    return SchedulerStore(database)


@pytest.fixture
def epoch(database: Database) -> int:
    """The epoch of a scheduler that leads."""
    acquired = Leadership(database).acquire("first", NOW, timedelta(hours=1).total_seconds())
    assert acquired is not None
    return acquired

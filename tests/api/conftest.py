"""What the tests of the api share: the service over a database, beside a scheduler that writes what it observes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from swath.store.api_store import ApiStore
from swath.store.database import Database
from swath.store.leadership import Leadership
from swath.store.scheduling import SchedulerStore
from tests.api.agent import an_agent_serving_files
from tests.api.serving import Api, make_settings, register_ndvi, serving
from tests.store.build import NOW, Scene

LONG_S = 10 * 365 * 24 * 3600  # from NOW on: the service has a clock of its own


def _make_scene(database: Database) -> Scene:
    epoch = Leadership(database).acquire("first", NOW, lease_s=LONG_S)
    assert epoch is not None
    scene = Scene(api=ApiStore(database), scheduler=SchedulerStore(database), epoch=epoch)
    scene.image = register_ndvi(scene)
    return scene


@pytest.fixture
def scene(sqlite_database: str) -> Iterator[Scene]:
    """The scheduler's side of a SQLite database, with the image ndvi in it."""
    database = Database(sqlite_database)
    yield _make_scene(database)
    database.close()


@pytest.fixture
def api(scene: Scene, sqlite_database: str, tmp_path: Path) -> Iterator[Api]:
    """The service over `scene`'s database."""
    with serving(make_settings(tmp_path, sqlite_database)) as running:
        yield running


@pytest.fixture(scope="session")
def shared_api(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A service for tests that store nothing; it has the image ndvi."""
    directory = tmp_path_factory.mktemp("shared-api")
    shutil.copy(sqlite_template, directory / "swath.db")
    url = f"sqlite:///{directory / 'swath.db'}"
    database = Database(url)
    _make_scene(database)
    database.close()
    with serving(make_settings(directory, url)) as running:
        yield running


@pytest.fixture
def both_scene(database: Database) -> Scene:
    """The scheduler's side of a database, once on each engine."""
    return _make_scene(database)


@pytest.fixture
def both_api(both_scene: Scene, database_url: str, tmp_path: Path) -> Iterator[Api]:
    """The service over `both_scene`'s database."""
    with serving(make_settings(tmp_path, database_url)) as running:
        yield running


@pytest.fixture
def agent_url() -> Iterator[str]:
    """An agent that serves the files of this machine."""
    with an_agent_serving_files() as url:
        yield url

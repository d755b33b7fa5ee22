"""A saved database can be restored: onto a new machine, or over one that has gone on since."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from swath.domain.changes import SetFrameworkId
from swath.domain.errors import InternalError, LeadershipLostError, NotFoundError
from swath.domain.states import TaskState
from swath.store import backup, migrate
from swath.store.api_store import ApiStore
from swath.store.database import Database
from swath.store.leadership import Leadership
from swath.store.scheduling import SchedulerStore
from tests.fixtures.machine import skip_or_fail
from tests.store.build import NOW, Scene, scenes


@pytest.fixture(autouse=True)
def _client_programs(database_url):
    """Skip on PostgreSQL where its client programs are missing."""
    if database_url.startswith("postgresql") and shutil.which("pg_dump") is None:
        skip_or_fail(
            "pg_dump is absent (Debian: apt-get install postgresql-client); backups of PostgreSQL are not tested"
        )


def test_a_backup_is_restored_into_a_new_database(scene, database_url, empty_copy, tmp_path):
    """Job, items, task, winner and framework id are there again, and the schema is at the head."""
    job = scene.submit(array=scenes(3))
    winner = scene.succeed(job, 0, [{"name": "x", "path": "x.tif", "size": 1}])
    scene.apply(SetFrameworkId(framework_id="f"))

    backup.save(database_url, tmp_path / "backup")
    backup.restore(empty_copy, tmp_path / "backup")

    restored = Database(empty_copy)
    api = ApiStore(restored)
    assert api.get_job(job.id) == scene.api.get_job(job.id)
    assert [task.item for task in api.list_tasks(job.id).items] == [scene.api.get_item(job.id, i) for i in range(3)]
    assert [output.attempt_id for output in api.list_outputs(job.id).items] == [winner]
    assert SchedulerStore(restored).load().framework_id == "f"
    assert migrate.find_revision(empty_copy) == migrate.get_head()
    restored.close()


def test_what_came_after_the_backup_is_gone_after_the_restore(scene, database, database_url, tmp_path):
    """A restore over a living database brings the moment of the backup back, not a mixture."""
    before = scene.submit()
    backup.save(database_url, tmp_path / "backup")
    scene.succeed(before, 0, [])
    scene.submit()

    backup.restore(database_url, tmp_path / "backup")

    assert [job.id for job in scene.api.list_jobs().items] == [before.id]
    assert scene.api.get_task(before.id, 0).state is TaskState.PENDING


def test_a_scheduler_that_was_left_running_is_fenced_off(scene, database, database_url, tmp_path):
    """After a restore no epoch that was ever given out can write, not even one that the backup does not know."""
    backup.save(database_url, tmp_path / "backup")
    newest = Leadership(database).acquire("first", NOW, 60)
    assert newest is not None

    backup.restore(database_url, tmp_path / "backup")

    for epoch in (scene.epoch, newest):
        with pytest.raises(LeadershipLostError):
            scene.scheduler.apply([SetFrameworkId(framework_id="zombie")], epoch=epoch, now=NOW)
    successor = Leadership(database).acquire("second", NOW, 60)
    assert successor is not None
    assert successor > newest


def test_a_restored_database_goes_on(scene, database_url, empty_copy, tmp_path):
    """Ids of events and images continue after those that were restored."""
    scene.succeed(scene.submit(), 0, [])
    backup.save(database_url, tmp_path / "backup")
    backup.restore(empty_copy, tmp_path / "backup")
    restored = Database(empty_copy)
    epoch = Leadership(restored).acquire("second", NOW, 60)
    assert epoch is not None

    again = Scene(api=ApiStore(restored), scheduler=SchedulerStore(restored), epoch=epoch)
    again.register(name="evi")
    again.succeed(again.submit(), 0, [])

    assert len(again.api.list_jobs().items) == 2
    restored.close()


def test_a_backup_is_taken_while_the_database_is_in_use(scene, database, database_url, tmp_path):
    """A transaction that is open does not stop the backup, and is not in it."""
    with database.write() as session:
        session.connection().exec_driver_sql("UPDATE leadership SET holder = 'half done'")
        backup.save(database_url, tmp_path / "backup")

    backup.restore(database_url, tmp_path / "backup")
    assert scene.api.cluster_status().leader is None


def test_a_broken_file_changes_nothing(scene, database_url, tmp_path):
    """A file that is no backup is refused, and the database is as it was."""
    job = scene.submit()
    (tmp_path / "broken").write_bytes(b"no backup" * 1000)

    with pytest.raises(InternalError):
        backup.restore(database_url, tmp_path / "broken")

    assert scene.api.get_job(job.id) == job


def test_a_file_that_is_not_there_is_not_found(database_url, tmp_path):
    """Restoring from nowhere says so."""
    with pytest.raises(NotFoundError, match="no file"):
        backup.restore(database_url, tmp_path / "nowhere")


def test_a_backup_that_fails_keeps_the_one_before(database_url, tmp_path):
    """The new file takes the old one's place only when it is complete."""
    (tmp_path / "backup").write_text("yesterday's")
    absent = "sqlite:////nowhere/at/all.db" if database_url.startswith("sqlite") else "postgresql://u@127.0.0.1:1/none"

    with pytest.raises((InternalError, NotFoundError)):
        backup.save(absent, tmp_path / "backup")

    assert (tmp_path / "backup").read_text() == "yesterday's"
    assert not (tmp_path / "backup.partial").exists()


def test_the_command_saves_and_restores(scene, database_url, tmp_path):
    """As docs/backup.md says it: save, restore, and a status of 1 with one line when something is wrong."""
    job = scene.submit()
    file = str(tmp_path / "backup")

    assert run("save", file, "--url", database_url).returncode == 0
    scene.submit()
    assert run("restore", file, "--url", database_url).returncode == 0
    assert [found.id for found in scene.api.list_jobs().items] == [job.id]

    failed = run("restore", str(tmp_path / "nowhere"), "--url", database_url)
    assert (failed.returncode, failed.stderr.count("\n")) == (1, 1)


def test_a_sqlite_backup_is_one_whole_file(sqlite_database, tmp_path):
    """The copy needs no log beside it, and passes SQLite's own check."""
    backup.save(sqlite_database, tmp_path / "copy.db")

    with sqlite3.connect(tmp_path / "copy.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()
    assert sorted(path.name for path in tmp_path.glob("copy*")) == ["copy.db"]


@pytest.fixture
def empty_copy(database_url, request, tmp_path) -> str:
    """The URL of a second, empty database on the same engine."""
    if database_url.startswith("sqlite"):
        return f"sqlite:///{tmp_path / 'second.db'}"
    url: str = request.getfixturevalue("empty_postgres_database")
    return url


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the module as a command."""
    command = [sys.executable, "-m", "swath.store.backup", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])

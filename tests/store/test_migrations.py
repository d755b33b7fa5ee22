"""The history of migrations and the models say the same, on both databases."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, NullPool, create_engine, inspect, text

from swath.domain.changes import SetFrameworkId
from swath.domain.errors import (
    InternalError,
    InvalidInputError,
    LeadershipLostError,
    SchemaError,
    StoreUnavailableError,
)
from swath.store import migrate
from swath.store.api_store import ApiStore
from swath.store.database import Database, normalise
from swath.store.leadership import Leadership
from swath.store.models import Base
from swath.store.rows import ImageFilters
from swath.store.scheduling import SchedulerStore
from swath.store.schema import SCRIPTS, Schema, read_history
from tests.store.build import NOW


def differences(connection: Connection) -> list[object]:
    """What Alembic would change to make the database look like the models."""
    return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Base.metadata))


def flat(found: list) -> list[str]:
    """Descriptions as sorted text; a condition is an object that equals only itself, so its words are taken."""
    return sorted(
        str(
            sorted(
                (name, str(options) if name != "dialect_options" else str({k: str(v) for k, v in options.items()}))
                for name, options in entry.items()
            )
        )
        for entry in found
    )


def describe(connection: Connection) -> dict[str, object]:
    """Everything that a database tells of its tables, in an order of our own."""
    inspector = inspect(connection)
    tables = sorted(set(inspector.get_table_names()) - {"alembic_version"})
    return {
        table: {
            "columns": [
                (column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns(table)
            ],
            "key": inspector.get_pk_constraint(table)["constrained_columns"],
            "indexes": flat(inspector.get_indexes(table)),
            "unique": sorted(
                str(sorted(unique.items(), key=str)) for unique in inspector.get_unique_constraints(table)
            ),
            "references": flat(inspector.get_foreign_keys(table)),
        }
        for table in tables
    }


def test_the_migrations_make_what_the_models_say(empty_database_url):
    """After all migrations Alembic finds nothing to change."""
    migrate.upgrade(empty_database_url)

    with create_engine(normalise(empty_database_url), poolclass=NullPool).connect() as connection:
        assert differences(connection) == []


def test_the_models_make_what_the_migrations_say(empty_database_url):
    """Tables made from the models alone look exactly like migrated ones: columns, keys, partial indexes, references."""
    engine = create_engine(normalise(empty_database_url), poolclass=NullPool)
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        from_models = describe(connection)
        Base.metadata.drop_all(connection)
    migrate.upgrade(empty_database_url)

    with engine.connect() as connection:
        assert describe(connection) == from_models


def test_the_newest_migration_can_be_undone_and_done_again(empty_database_url):
    """Down by one and up again ends at the head with the models' tables."""
    migrate.upgrade(empty_database_url)

    migrate.downgrade(empty_database_url)
    assert migrate.find_revision(empty_database_url) != migrate.get_head()
    migrate.upgrade(empty_database_url)

    assert migrate.find_revision(empty_database_url) == migrate.get_head()
    with create_engine(normalise(empty_database_url), poolclass=NullPool).connect() as connection:
        assert differences(connection) == []


def test_all_migrations_undone_leave_an_empty_database(empty_database_url):
    """Down to the base no table of ours is left."""
    migrate.upgrade(empty_database_url)

    migrate.downgrade(empty_database_url, "base")

    with create_engine(normalise(empty_database_url), poolclass=NullPool).connect() as connection:
        assert set(inspect(connection).get_table_names()) <= {"alembic_version"}


def test_upgrading_twice_changes_nothing(database_url):
    """A second upgrade finds the head and keeps the rows."""
    database = Database(database_url)
    with database.write() as session:
        session.execute(text("INSERT INTO framework (id, framework_id) VALUES (1, 'kept')"))

    migrate.upgrade(database_url)

    with database.read() as session:
        assert session.scalar(text("SELECT framework_id FROM framework")) == "kept"
    database.close()


def test_a_database_that_does_not_answer_is_unavailable():
    """Migrating a server that nobody runs raises StoreUnavailableError."""
    with pytest.raises(StoreUnavailableError):
        migrate.upgrade("postgresql+psycopg://nobody@127.0.0.1:1/none")


def test_what_is_read_without_alembic_is_what_alembic_says():
    """The newest revision, and every one before it."""
    known, head = read_history(SCRIPTS)

    assert head == migrate.get_head()
    assert known == {path.name[:4] for path in SCRIPTS.glob("versions/0*.py")}


def test_m06_a_migration_deposes_the_leader(database_url):
    """A scheduler that was left running writes nothing after it; migrating again, with nothing to do, deposes nobody."""
    database = Database(database_url)
    leadership = Leadership(database)
    epoch = leadership.acquire("left running", NOW, 3600)

    migrate.upgrade(database_url)
    assert leadership.renew(epoch, NOW)
    migrate.downgrade(database_url)
    migrate.upgrade(database_url)

    assert not leadership.renew(epoch, NOW)
    with pytest.raises(LeadershipLostError):
        SchedulerStore(database).apply([SetFrameworkId(framework_id="late")], epoch=epoch, now=NOW)
    database.close()


def test_images_of_before_the_catalogue_have_details_after_it(empty_database_url):
    """They are found by their titles, and what becomes known of them is kept; details that were there stay as they are."""
    migrate.upgrade(empty_database_url, "0018")
    database = Database(empty_database_url)
    insert = (
        "INSERT INTO image_versions (id, name, version, digest, reference, manifest, state, created_at, registered_at)"
        " VALUES (:id, 'ndvi', :version, 'sha256:1', :reference, :manifest, 'ACTIVE', :at, :at)"
    )
    manifest = json.dumps({"job": {"title": "Bands of the Alps", "tags": ["Snow"]}})
    with database.write() as session:
        for number in (1, 2):
            said = {"id": number, "version": f"{number}.0.0", "reference": None, "manifest": manifest, "at": NOW}
            session.execute(text(insert), said)
        session.execute(text("INSERT INTO image_details (image_version_id, words, size) VALUES (2, 'kept', 7)"))

    migrate.upgrade(empty_database_url)

    store = ApiStore(database)
    for word in ("bands of", "snow", "ndvi"):
        assert store.list_images(ImageFilters(text=word)).items[0].image.id == 1
    store.set_image_details(1, missing_since=NOW)
    assert store.get_catalogued(1).details.missing_since == NOW
    assert (store.list_images(ImageFilters(text="kept")).items[0].image.id, store.get_catalogued(2).details.size) == (
        2,
        7,
    )
    database.close()


def a_later_version(directory: Path) -> Path:
    """A copy of the migrations with one more."""
    scripts = directory / "migrations"
    shutil.copytree(SCRIPTS, scripts)
    script = f'revision = "later"\ndown_revision = "{migrate.get_head()}"\n' + LATER
    (scripts / "versions" / "later.py").write_text(script)
    return scripts


LATER = """
from alembic import op
import sqlalchemy as sa

def upgrade() -> None:
    op.create_table("later", sa.Column("id", sa.Integer(), primary_key=True))

def downgrade() -> None:
    op.drop_table("later")
"""


def test_a_database_of_another_version_is_named_with_what_to_do(database_url, tmp_path, monkeypatch):
    """Current: nothing. Newer: start the newer version. Older: migrate with this one. Never a traceback of Alembic."""
    database = Database(database_url)
    here, later = Schema(database), Schema(database, a_later_version(tmp_path))

    here.check()
    with pytest.raises(SchemaError, match=r"older than later.*stop all schedulers.*python -m swath.store.migrate"):
        later.check()
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "SCRIPTS", tmp_path / "migrations")
        migrate.upgrade(database_url)
    later.check()
    with pytest.raises(SchemaError, match=f"ends at schema {here.head} and does not know the database's, later"):
        here.check()
    with pytest.raises(SchemaError, match="a newer version has migrated it"):
        migrate.upgrade(database_url)
    database.close()


def test_an_empty_database_is_no_schema_that_is_known(empty_database_url):
    """The message says what to run."""
    database = Database(empty_database_url)
    with pytest.raises(SchemaError, match=r"no schema yet.*python -m swath.store.migrate"):
        Schema(database).check()
    database.close()


def test_migrations_that_end_in_two_ways_are_refused(tmp_path):
    """Two branches that were merged without a look: nobody could say what is newest."""
    scripts = a_later_version(tmp_path)
    (scripts / "versions" / "other.py").write_text(f'revision = "other"\ndown_revision = "{migrate.get_head()}"\n')
    with pytest.raises(InternalError, match=r"\['later', 'other'\]"):
        read_history(scripts)


@pytest.mark.parametrize(
    "url", ["mysql://host/name", "sqlite://", "sqlite:///:memory:", "postgresql+asyncpg://h/n", "x"]
)
def test_another_database_is_refused(url):
    """A URL that Swath cannot use is refused with what can be used."""
    with pytest.raises(InvalidInputError, match=r"sqlite|needs a file"):
        normalise(url)

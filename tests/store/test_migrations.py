"""The history of migrations and the models say the same, on both databases."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, NullPool, create_engine, inspect, text

from swath.domain.errors import InvalidInputError, StoreUnavailableError
from swath.store import migrate
from swath.store.database import Database, normalise
from swath.store.models import Base


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


@pytest.mark.parametrize(
    "url", ["mysql://host/name", "sqlite://", "sqlite:///:memory:", "postgresql+asyncpg://h/n", "x"]
)
def test_another_database_is_refused(url):
    """A URL that Swath cannot use is refused with what can be used."""
    with pytest.raises(InvalidInputError, match=r"sqlite|needs a file"):
        normalise(url)

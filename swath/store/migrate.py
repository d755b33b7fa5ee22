"""Bring a database to the newest schema: one history (`migrations/`) for PostgreSQL and SQLite.

Whoever leads is deposed in the same transaction: a scheduler that was not stopped writes nothing more, and one that does not
know the new schema does not lead again (`swath.store.schema`).

`python -m swath.store.migrate` does it for the database that $SWATH_DATABASE_URL names.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, event, inspect, text

from swath.domain.errors import InternalError, SchemaError, SwathError
from swath.store.database import BUSY_TIMEOUT_MS, CONNECT_TIMEOUT_S, errors_of_swath, normalise
from swath.store.schema import SCRIPTS, read_history

LOCK = 0x53574154  # "SWAT": two programs that start at once migrate one after the other


def upgrade(url: str, revision: str = "head") -> None:
    """Run the migrations that `url` lacks, all in one transaction.

    Raises StoreUnavailableError, and SchemaError for a database that a newer version of Swath has migrated.
    """
    with _connected(url) as connection:
        config = _make_config(connection)
        found, known = _read_revision(connection), read_history(SCRIPTS)[0]
        if found is not None and found not in known:
            raise SchemaError(
                f"the database is at {found}, which {SCRIPTS} does not have: a newer version has migrated it"
            )
        if found != ScriptDirectory.from_config(config).as_revision_number(revision):
            _depose(connection)
        command.upgrade(config, revision)


def downgrade(url: str, revision: str = "-1") -> None:
    """Undo migrations down to `revision`, all in one transaction. Raises StoreUnavailableError."""
    with _connected(url) as connection:
        _depose(connection)
        command.downgrade(_make_config(connection), revision)


def find_revision(url: str) -> str | None:
    """The revision that the database is at; None for an empty one."""
    with _connected(url) as connection:
        return _read_revision(connection)


def get_head() -> str:
    """The newest revision of this version of Swath."""
    head = ScriptDirectory.from_config(_make_config(None)).get_current_head()
    if head is None:
        raise InternalError(f"there are no migrations in {SCRIPTS}")
    return head


def _read_revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _depose(connection: Connection) -> None:
    """End the present leader's epoch, before any table changes: every transaction of the scheduler locks this row first."""
    if inspect(connection).has_table("leadership"):
        connection.execute(text("UPDATE leadership SET holder = NULL, epoch = epoch + 1"))


def _make_config(connection: Connection | None) -> Config:
    if not SCRIPTS.is_dir():
        raise InternalError(f"{SCRIPTS} is missing: migrations run from the checkout or the application image")
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    """A connection in a transaction that no other migration enters meanwhile.

    Foreign keys are off in SQLite, where altering a table means making it anew (the pragma does nothing inside a transaction).
    """
    parsed = normalise(url)
    postgres = parsed.get_backend_name() == "postgresql"
    options = {"connect_timeout": CONNECT_TIMEOUT_S} if postgres else {"isolation_level": None}
    engine = create_engine(parsed, poolclass=NullPool, hide_parameters=True, connect_args=options)
    if not postgres:
        event.listen(engine, "connect", lambda connection, _: _prepare_sqlite(connection))
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    with errors_of_swath(), engine.begin() as connection:
        if postgres:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        yield connection
        if not postgres and connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
            raise InternalError("the migration left rows that refer to nothing")


def _prepare_sqlite(connection: object) -> None:
    execute = connection.execute  # type: ignore[attr-defined]
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "foreign_keys = OFF",
        "journal_mode = WAL",
        "synchronous = FULL",
    ):
        execute(f"PRAGMA {pragma}").close()


if __name__ == "__main__":
    try:
        upgrade(os.environ["SWATH_DATABASE_URL"])
    except SwathError as error:
        sys.exit(f"swath.store.migrate: {error}")

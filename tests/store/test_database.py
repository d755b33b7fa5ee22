"""Transactions, and what happens at the edge to the database."""

from __future__ import annotations

import secrets
import threading
import traceback

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from swath.domain.errors import InternalError, RefusedByDatabaseError, StoreLockedError, StoreUnavailableError
from swath.store.database import Database, Limits
from swath.store.models import Framework, Leadership
from tests.store.build import NOW

LIMITED = {
    "idle_in_transaction_session_timeout": "10s",
    "lock_timeout": "5s",
    "statement_timeout": "1min",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20000",
    "TimeZone": "UTC",
}


def test_a_block_that_raises_leaves_nothing(database):
    """What was written before the error is undone."""

    def fail_half_way() -> None:
        with database.write() as session:
            session.add(Framework(id=1, framework_id="half"))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()

    with database.read() as session:
        assert session.scalars(select(Framework)).all() == []


def test_writers_do_not_lose_increments(database):
    """Four threads that read, add one and write count every increment: none reads what another is about to change."""
    with database.write() as session:
        session.add(Leadership(name="counter", holder=None, epoch=0, expires_at=NOW))

    def increment_often() -> None:
        for _ in range(25):
            with database.write() as session:
                found = session.get(Leadership, "counter", with_for_update=True)
                assert found is not None
                found.epoch += 1

    threads = [threading.Thread(target=increment_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with database.read() as session:
        assert session.scalar(select(Leadership.epoch)) == 100


def test_a_reader_sees_one_moment(database):
    """What is committed meanwhile does not appear in a session that has begun to read."""
    with database.read() as reading:
        before = count_frameworks(reading)
        with database.write() as session:
            session.add(Framework(id=1, framework_id="new"))
        assert count_frameworks(reading) == before == 0


def test_a_reader_cannot_write(database):
    """A reading session refuses to change anything."""
    with pytest.raises((InternalError, StoreUnavailableError), match=r"read.?only"), database.read() as session:
        session.execute(text("INSERT INTO framework (id, framework_id) VALUES (1, 'x')"))


def test_a_refused_row_is_an_internal_error(database):
    """A duplicate raises an error of Swath's own, with the driver's words and without the values."""
    twice = "INSERT INTO framework (id, framework_id) VALUES (1, 'secret'), (1, 'secret')"

    with pytest.raises(InternalError, match=r"(?i)unique") as raised, database.write() as session:
        session.execute(text(twice))

    assert "secret" not in str(raised.value)


def test_no_error_quotes_what_was_to_be_written(database):
    """The whole chain of errors, as a log prints it, is free of values: they may be somebody's secrets."""
    secret = secrets.token_hex(8)

    def write_twice() -> None:
        with database.write() as session:
            session.execute(insert(Framework), [{"id": 1, "framework_id": secret}] * 2)

    with pytest.raises(InternalError) as raised:
        write_twice()

    assert secret not in "".join(traceback.format_exception(raised.value))


@pytest.mark.postgres
def test_both_ends_of_a_connection_notice_that_the_other_is_gone(postgres_database):
    """The server's session has every limit that ends what a stopped or vanished process would hold for ever."""
    database = Database(postgres_database)
    with database.write() as session:
        found = {name: session.scalar(text(f"SHOW {name}")) for name in LIMITED}
    database.close()

    assert found == LIMITED


def test_a_database_that_another_writer_holds_is_locked(sqlite_database):
    """Waiting for SQLite's one writer ends with StoreLockedError, which is one way of being unavailable."""
    holder, waiting = Database(sqlite_database), Database(sqlite_database, limits=Limits(busy_s=0.01))

    with holder.write() as session:
        session.execute(text("SELECT 1"))
        with pytest.raises(StoreLockedError), waiting.write() as impatient:
            impatient.execute(text("SELECT 1"))
    holder.close()
    waiting.close()


@pytest.mark.parametrize(
    "row",
    [{"id": 1, "framework_id": object()}, {"id": 2**70, "framework_id": "x"}],
    ids=["no text", "beyond 64 bits"],
)
def test_values_that_no_column_can_hold_are_told_from_a_database_that_is_away(database, row):
    """RefusedByDatabaseError: whoever writes the same again meets the same, so it must not be tried for ever."""
    with pytest.raises(RefusedByDatabaseError), database.write() as session:
        session.execute(insert(Framework), [row])

    with database.read() as session:
        assert count_frameworks(session) == 0


@pytest.mark.postgres
def test_a_key_beyond_postgresqls_limits_is_refused_for_good(postgres_database):
    """The driver calls it operational, as if the server were ill; nothing will make it fit."""
    database = Database(postgres_database)

    with pytest.raises(RefusedByDatabaseError, match="index row"), database.write() as session:
        session.add(Leadership(name=secrets.token_hex(50_000), holder=None, epoch=0, expires_at=NOW))
    database.close()


@pytest.mark.parametrize("url", ["postgresql+psycopg://u:secret@127.0.0.1:1/none", "sqlite:////nowhere/at/all.db"])
def test_a_database_that_does_not_answer_is_unavailable(url):
    """Reading raises StoreUnavailableError, which does not show the password."""
    database = Database(url)

    with pytest.raises(StoreUnavailableError) as raised:
        database.check()

    assert "secret" not in str(raised.value)
    database.close()


@pytest.mark.postgres
def test_connections_that_the_server_ended_are_made_anew(postgres_database):
    """After the server has dropped every connection, the next session works."""
    database = Database(postgres_database)
    database.check()

    with database.write() as session:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        session.execute(text(f"{others} AND pid <> pg_backend_pid()"))

    database.check()
    database.close()


def test_sqlite_loses_nothing_at_a_power_cut(sqlite_database):
    """A writer logs ahead (WAL) and waits for the disk at every commit (synchronous=FULL)."""
    database = Database(sqlite_database)

    with database.write() as session:
        assert session.scalar(text("PRAGMA journal_mode")) == "wal"
        assert session.scalar(text("PRAGMA synchronous")) == 2
        assert session.scalar(text("PRAGMA foreign_keys")) == 1
    database.close()


def count_frameworks(session: Session) -> int:
    """How many rows the session sees."""
    return len(session.scalars(select(Framework.id)).all())

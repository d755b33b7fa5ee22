"""A database by its URL: sessions that write, sessions that read, and the errors at its edge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, exc, make_url, text
from sqlalchemy.orm import Session

from swath.domain.errors import InternalError, InvalidInputError, RefusedByDatabaseError, StoreUnavailableError
from swath.store.types import to_json

BUSY_TIMEOUT_MS = 10_000  # how long a writer of SQLite waits for another process's
CONNECT_TIMEOUT_S = 5
POOL_TIMEOUT_S = 30.0
UNAVAILABLE = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError)
# Raised by SQLite's driver as they are: a number beyond 64 bits, text that is no UTF-8.
UNFIT = (OverflowError, UnicodeError)
LIMIT_EXCEEDED = (
    "54"  # PostgreSQL's class of errors for values beyond its own limits: for its driver they are operational
)


class Channel(StrEnum):
    """What a notification is about."""

    DESIRED = "desired"  # written by the api: jobs to take in
    OBSERVED = "observed"  # written by the scheduler: states and events

    @property
    def pg_name(self) -> str:
        """The channel of PostgreSQL's LISTEN and NOTIFY."""
        return f"swath_{self.value}"


class Database:
    """Two engines on one database. Safe to use from many threads; each session belongs to one.

    url: `sqlite:///path` or `postgresql+psycopg://user@host/name`. SQLite has one writing connection a process, for which
    threads queue up in order, and readers that never wait for it (WAL).
    """

    def __init__(self, url: str, *, readers: int = 8, writers: int = 4) -> None:
        self.url = normalise(url)
        self.is_postgres = self.url.get_backend_name() == "postgresql"
        self._writer: Engine
        self._reader: Engine
        if self.is_postgres:
            self._writer = _make_postgres_engine(self.url, writers)
            self._reader = _make_postgres_engine(self.url, readers).execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        else:
            self._writer = _make_sqlite_engine(self.url, "IMMEDIATE", size=1, overflow=0)
            self._reader = _make_sqlite_engine(self.url, "DEFERRED", size=readers, overflow=readers)

    @contextmanager
    def write(self, notify: Channel | None = None) -> Iterator[Session]:
        """A transaction that is committed at the end of the block, and undone when the block raises.

        `notify` wakes the channel's listeners after the commit, once. Raises StoreUnavailableError when the database does not
        answer; if that happens at the commit itself, whether it took place is known only by reading again. Raises
        RefusedByDatabaseError for values that it cannot hold, InternalError for rows that contradict others (a duplicate, a
        reference to nothing).
        """
        with errors_of_swath(), Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session
            session.flush()
            if notify is not None and self.is_postgres:
                session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": notify.pg_name})

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One consistent view of the database; nothing can be written. Raises StoreUnavailableError."""
        with errors_of_swath(), Session(self._reader, autoflush=False) as session:
            yield session

    def check(self) -> None:
        """Return when the database answers; raises StoreUnavailableError when it does not."""
        with self.read() as session:
            session.execute(text("SELECT 1"))

    def close(self) -> None:
        """Close every connection that no session uses."""
        self._writer.dispose()
        self._reader.dispose()


def normalise(url: str) -> URL:
    """The URL with the driver that Swath uses; raises InvalidInputError for another database."""
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        raise InvalidInputError.at("", "is no database URL: use sqlite:///path or postgresql+psycopg://...") from None
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise InvalidInputError.at("", "needs a file: several processes share the database, which one in memory cannot")
    if parsed.drivername not in ("sqlite", "postgresql+psycopg"):
        raise InvalidInputError.at("", f"{parsed.drivername} is not supported: use sqlite or postgresql+psycopg")
    return parsed


@contextmanager
def errors_of_swath() -> Iterator[None]:
    """Turn what SQLAlchemy raises into errors that the rest of Swath knows: nobody else imports SQLAlchemy."""
    try:
        yield
    except (exc.SQLAlchemyError, *UNFIT) as error:
        reason = _reason(error)
        if _is_unfit(error):
            raise RefusedByDatabaseError(f"the database cannot hold this: {reason}") from error
        if isinstance(error, UNAVAILABLE):
            raise StoreUnavailableError(f"the database cannot serve: {reason}") from error
        raise InternalError(f"the database refuses: {reason}") from error


def _is_unfit(error: Exception) -> bool:
    """True when it is the values that are at fault: out of range, unspeakable in the column's type, or too large."""
    if isinstance(error, exc.DBAPIError):
        sqlstate = getattr(error.orig, "sqlstate", None) or ""
        return isinstance(error, exc.DataError) or sqlstate.startswith(LIMIT_EXCEEDED)
    return isinstance(error, (exc.StatementError, *UNFIT))  # a value that did not get as far as the driver


def _reason(error: Exception) -> str:
    """The driver's own first line: what follows quotes statements and values."""
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]


def _make_postgres_engine(url: URL, size: int) -> Engine:
    return create_engine(
        url,
        pool_size=size,
        max_overflow=size,
        pool_timeout=POOL_TIMEOUT_S,
        pool_pre_ping=True,
        json_serializer=to_json,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "swath", "options": "-c timezone=UTC"},
    )


def _make_sqlite_engine(url: URL, begin: str, *, size: int, overflow: int) -> Engine:
    """An engine whose transactions begin as `begin`.

    With the driver's own transactions, which begin as readers, three writers committed 3,000 increments and counted 1,813.
    """
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=overflow,
        pool_timeout=POOL_TIMEOUT_S,
        json_serializer=to_json,
        connect_args={"isolation_level": None, "timeout": BUSY_TIMEOUT_MS / 1000},
    )
    pragmas = [f"busy_timeout = {BUSY_TIMEOUT_MS}", "foreign_keys = ON", "temp_store = MEMORY"]
    if begin == "IMMEDIATE":
        pragmas += ["journal_mode = WAL", "synchronous = FULL", "journal_size_limit = 67108864"]
    else:
        pragmas += ["query_only = ON"]

    def on_connect(connection: Any, _record: Any) -> None:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").close()

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {begin}")

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
    return engine

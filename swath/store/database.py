"""A database by its URL: sessions that write, sessions that read, and the errors at its edge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, exc, make_url, text
from sqlalchemy.orm import Session

from swath.domain.errors import (
    InternalError,
    InvalidInputError,
    RefusedByDatabaseError,
    StoreLockedError,
    StoreUnavailableError,
)
from swath.store.types import to_json

BUSY_TIMEOUT_MS = 10_000  # how long a writer of SQLite waits for another process's
CONNECT_TIMEOUT_S = 5
# A host that vanished, or a network that was cut, is noticed after some 25 s by both sides: the server's end of the
# connection matters most, for it is what holds the locks of a leader that is gone.
KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_PROBES = 10, 5, 3
UNACKNOWLEDGED_MS = 20_000  # for how long sent bytes may stay without an answer of the other side's TCP
POOL_TIMEOUT_S = 30.0
UNAVAILABLE = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError)
# Raised by SQLite's driver as they are: a number beyond 64 bits, text that is no UTF-8.
UNFIT = (OverflowError, UnicodeError)
# PostgreSQL's codes; LIMIT_EXCEEDED begins those of values beyond its own limits, which its driver calls operational.
LOCK_NOT_AVAILABLE, IDLE_IN_TRANSACTION, LIMIT_EXCEEDED = "55P03", "25P03", "54"


class Channel(StrEnum):
    """What a notification is about."""

    DESIRED = "desired"  # written by the api: jobs to take in
    OBSERVED = "observed"  # written by the scheduler: states and events

    @property
    def pg_name(self) -> str:
        """The channel of PostgreSQL's LISTEN and NOTIFY."""
        return f"swath_{self.value}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How long a transaction may hold up others, in seconds.

    A stopped process (SIGSTOP, a debugger, a frozen machine) keeps its connection, and with it every lock of a transaction
    that is open. PostgreSQL ends such a transaction; whoever was stopped finds the connection gone.
    """

    idle_s: float = 10.0  # between two statements of a transaction that writes
    lock_s: float = 5.0  # of waiting for a row that another transaction holds
    statement_s: float = 60.0
    busy_s: float = BUSY_TIMEOUT_MS / 1000  # of waiting for SQLite's one writer


LIMITS = Limits()


class Database:
    """Two engines on one database. Safe to use from many threads; each session belongs to one.

    url: `sqlite:///path` or `postgresql+psycopg://user@host/name`. SQLite has one writing connection a process, for which
    threads queue up in order, and readers that never wait for it (WAL).
    """

    def __init__(self, url: str, *, readers: int = 8, writers: int = 4, limits: Limits = LIMITS) -> None:
        self.url = normalise(url)
        self.is_postgres = self.url.get_backend_name() == "postgresql"
        self._writer: Engine
        self._reader: Engine
        if self.is_postgres:
            self._writer = _make_postgres_engine(self.url, writers, limits, limits.idle_s)
            # Readers lock nothing, and loading a million rows takes its time between two statements.
            self._reader = _make_postgres_engine(self.url, readers, limits, limits.statement_s).execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        else:
            self._writer = _make_sqlite_engine(self.url, "IMMEDIATE", limits, size=1, overflow=0)
            self._reader = _make_sqlite_engine(self.url, "DEFERRED", limits, size=readers, overflow=readers)

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
        if _is_locked(error):
            raise StoreLockedError(f"the database is held by another transaction: {reason}") from error
        if isinstance(error, UNAVAILABLE) or _sqlstate(error) == IDLE_IN_TRANSACTION:
            raise StoreUnavailableError(f"the database cannot serve: {reason}") from error
        raise InternalError(f"the database refuses: {reason}") from error


def _is_unfit(error: Exception) -> bool:
    """True when it is the values that are at fault: out of range, unspeakable in the column's type, or too large."""
    if isinstance(error, exc.DBAPIError):
        return isinstance(error, exc.DataError) or _sqlstate(error).startswith(LIMIT_EXCEEDED)
    return isinstance(error, (exc.StatementError, *UNFIT))  # a value that did not get as far as the driver


def _is_locked(error: Exception) -> bool:
    name = getattr(getattr(error, "orig", None), "sqlite_errorname", None) or ""
    return name.startswith("SQLITE_BUSY") or _sqlstate(error) == LOCK_NOT_AVAILABLE


def _sqlstate(error: Exception) -> str:
    """PostgreSQL's code of the error; "" where it gave none."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def _reason(error: Exception) -> str:
    """The driver's own first line: what follows quotes statements and values."""
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]


def _make_postgres_engine(url: URL, size: int, limits: Limits, idle_s: float) -> Engine:
    return create_engine(
        url,
        pool_size=size,
        max_overflow=size,
        pool_timeout=POOL_TIMEOUT_S,
        pool_pre_ping=True,
        hide_parameters=True,
        json_serializer=to_json,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "swath",
            "options": _make_options(limits, idle_s),
            **KEEPALIVES,
        },
    )


# Of our end of the connection, in libpq's words.
KEEPALIVES: dict[str, int] = {
    "keepalives_idle": KEEPALIVE_IDLE_S,
    "keepalives_interval": KEEPALIVE_INTERVAL_S,
    "keepalives_count": KEEPALIVE_PROBES,
    "tcp_user_timeout": UNACKNOWLEDGED_MS,
}


def _make_options(limits: Limits, idle_s: float) -> str:
    """The settings of a session, the server's end of the connection included."""
    settings = {
        "timezone": "UTC",
        "idle_in_transaction_session_timeout": round(idle_s * 1000),
        "lock_timeout": round(limits.lock_s * 1000),
        "statement_timeout": round(limits.statement_s * 1000),
        "tcp_keepalives_idle": KEEPALIVE_IDLE_S,
        "tcp_keepalives_interval": KEEPALIVE_INTERVAL_S,
        "tcp_keepalives_count": KEEPALIVE_PROBES,
        "tcp_user_timeout": UNACKNOWLEDGED_MS,
    }
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def _make_sqlite_engine(url: URL, begin: str, limits: Limits, *, size: int, overflow: int) -> Engine:
    """An engine whose transactions begin as `begin`.

    With the driver's own transactions, which begin as readers, three writers committed 3,000 increments and counted 1,813.
    """
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=overflow,
        pool_timeout=POOL_TIMEOUT_S,
        hide_parameters=True,
        json_serializer=to_json,
        connect_args={"isolation_level": None, "timeout": limits.busy_s},
    )
    pragmas = [f"busy_timeout = {round(limits.busy_s * 1000)}", "foreign_keys = ON", "temp_store = MEMORY"]
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

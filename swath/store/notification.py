"""Wait until the database has news. A notification is a hint: after it, after a time-out or after a stop, read again."""

from __future__ import annotations

import selectors
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import psycopg

from swath.store.database import Channel, Database
from swath.store.models import JOB_IS_CHANGED

POLL_S = 0.015  # of SQLite's data_version: 12 microseconds each
RECONNECT_S = 1.0
IS_DESIRED = f"SELECT EXISTS (SELECT 1 FROM jobs WHERE {JOB_IS_CHANGED})"  # noqa: S608 (two constants)


class Listener:
    """Wakes up when another process (or this one) has committed something on a channel. One thread waits; any may wake it."""

    def __init__(self, database: Database, channel: Channel | str) -> None:
        make: Callable[[Database, Channel], _Source] = _Postgres if database.is_postgres else _Sqlite
        self._source = make(database, Channel(channel))

    def wait(self, timeout_s: float) -> bool:
        """True when there is news or `wake` was called, False after `timeout_s` seconds.

        While the database does not answer it times out like a quiet one; the first wait after it is back returns True, for
        nobody knows what was missed.
        """
        return self._source.wait(timeout_s)

    def wake(self) -> None:
        """End the wait of the other thread, or the next one. Safe from any thread and from a signal's handler."""
        self._source.wake()

    def close(self) -> None:
        """Close the connection. Call it from the thread that waits, or once that has ended."""
        self._source.close()


class _Source(Protocol):
    def wait(self, timeout_s: float) -> bool: ...

    def wake(self) -> None: ...

    def close(self) -> None: ...


class _Sqlite:
    """`PRAGMA data_version` of a connection changes when another connection has committed."""

    def __init__(self, database: Database, channel: Channel) -> None:
        self._path = database.url.database or ""
        self._channel = channel
        self._woken = threading.Event()
        self._connection: sqlite3.Connection | None = None
        self._version = self._read_version()

    def wait(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while not self._has_news():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            if self._woken.wait(min(POLL_S, remaining)):
                break
        self._woken.clear()
        return True

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _has_news(self) -> bool:
        version = self._read_version()
        if version == self._version or version is None:
            return False
        known, self._version = self._version, version
        # What the scheduler itself commits is no news to it: only a job that somebody has changed is.
        return known is None or self._channel is Channel.OBSERVED or self._is_desired()

    def _read_version(self) -> int | None:
        """The connection's data_version; None while the database cannot be read."""
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
                self._version = None
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            self.close()
            return None
        return int(version)

    def _is_desired(self) -> bool:
        assert self._connection is not None  # noqa: S101 (the version has just been read from it)
        try:
            (changed,) = self._connection.execute(IS_DESIRED).fetchone()
        except sqlite3.Error:
            return True  # locked, or not migrated yet: whoever reads next will see
        return bool(changed)


class _Postgres:
    """LISTEN on a connection of its own; a socket pair ends a wait from another thread."""

    def __init__(self, database: Database, channel: Channel) -> None:
        url = database.url.set(drivername="postgresql")
        self._conninfo = url.render_as_string(hide_password=False)
        self._channel = channel
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_receiver, selectors.EVENT_READ)
        self._descriptor = -1
        self._retry_at = 0.0  # monotonic
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        self._connect()

    def wait(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while True:
            if self._connection is None and self._connect():
                return True
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            nap = remaining if self._connection else min(remaining, max(0.0, self._retry_at - time.monotonic()))
            ready = {key.fileobj for key, _ in self._selector.select(nap)}
            # Both are emptied, so that one piece of news is not told twice.
            woken = self._wake_receiver in ready and self._drain_wakes()
            told = bool(ready - {self._wake_receiver}) and self._drain_notifications()
            if woken or told:
                return True

    def wake(self) -> None:
        with suppress(BlockingIOError):  # thousands of wakes are waiting already
            self._wake_sender.send(b"w")

    def close(self) -> None:
        self._disconnect()
        self._selector.close()
        self._wake_receiver.close()
        self._wake_sender.close()

    def _connect(self) -> bool:
        """Listen anew; False when the database does not answer, or was asked less than a second ago."""
        if time.monotonic() < self._retry_at:
            return False
        self._retry_at = time.monotonic() + RECONNECT_S
        try:
            connection = psycopg.connect(
                self._conninfo,
                autocommit=True,
                connect_timeout=2,
                application_name="swath-listener",
                keepalives_idle=10,
            )
        except psycopg.OperationalError:
            return False
        connection.execute(f"LISTEN {self._channel.pg_name}")
        self._connection = connection
        self._descriptor = connection.fileno()  # kept: a broken connection does not tell it any more
        self._selector.register(self._descriptor, selectors.EVENT_READ)
        return True

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._selector.unregister(self._descriptor)
            self._connection.close()
            self._connection = None

    def _drain_wakes(self) -> bool:
        try:
            return bool(self._wake_receiver.recv(65536))
        except BlockingIOError:
            return False

    def _drain_notifications(self) -> bool:
        if self._connection is None:
            return False
        libpq = self._connection.pgconn
        try:
            libpq.consume_input()
        except psycopg.OperationalError:
            self._disconnect()
            return False
        found = False
        while libpq.notifies() is not None:
            found = True
        return found

"""Wait until the database has news. A notification is a hint: after it, after a time-out or after a stop, read again."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Protocol

from swath.store.alarm import Alarm
from swath.store.database import Channel, Database
from swath.store.inotify import Inotify
from swath.store.models import AGENT_WISH_IS_CHANGED, FRAMEWORK_WISH_IS_CHANGED, JOB_IS_CHANGED, PROJECTS_ARE_CHANGED

POLL_S = 0.015  # of SQLite's data_version, where the system cannot tell of writes
WATCHED_POLL_S = 0.5  # where it can: only in case that it did not
COMMIT_POLL_S = 0.002  # between the first write to the log and the end of the commit, which waits for the disk
COMMIT_S = 0.2
IS_DESIRED = (
    f"SELECT EXISTS (SELECT 1 FROM jobs WHERE {JOB_IS_CHANGED})"  # noqa: S608 (of constants, all of it)
    f" OR EXISTS (SELECT 1 FROM agent_wishes WHERE {AGENT_WISH_IS_CHANGED})"
    f" OR EXISTS (SELECT 1 FROM framework_wishes WHERE {FRAMEWORK_WISH_IS_CHANGED})"
    f" OR EXISTS (SELECT 1 FROM project_tree WHERE {PROJECTS_ARE_CHANGED})"
)


class Listener:
    """Wakes up when another process (or this one) has committed something on a channel. One thread waits; any may wake it."""

    def __init__(self, database: Database, channel: Channel | str) -> None:
        self._source = _make_source(database, Channel(channel))

    def wait(self, timeout_s: float) -> bool:
        """True when there is news or `wake` was called, False after `timeout_s` seconds.

        While the database does not answer it times out like a quiet one; the first wait after it is back returns True, for
        nobody knows what was missed.
        """
        return self._source.wait(timeout_s)

    def wake(self) -> None:
        """End the wait of the other thread, or the next one. Safe from any thread and from a signal's handler."""
        self._source.alarm.wake()

    def close(self) -> None:
        """Close the connection. Call it from the thread that waits, or once that has ended."""
        self._source.close()


class _Source(Protocol):
    alarm: Alarm

    def wait(self, timeout_s: float) -> bool: ...

    def close(self) -> None: ...


def _make_source(database: Database, channel: Channel) -> _Source:
    if database.is_postgres:
        # Imported here: psycopg costs a laptop's processes 9 MB each and a tenth of a second, for nothing.
        from swath.store.postgres_notification import PostgresSource

        return PostgresSource(database, channel)
    return _Sqlite(database, channel)


class _Sqlite:
    """`PRAGMA data_version` of a connection changes when another connection has committed.

    When to ask for it the system tells, by the first write to SQLite's log; asking every 15 ms instead takes half a per cent
    of a core in every process that waits.
    """

    def __init__(self, database: Database, channel: Channel) -> None:
        self.alarm = Alarm()
        self._path = Path(database.url.database or "").absolute()
        self._channel = channel
        self._commit_by = 0.0  # monotonic: until then a commit may be under way
        self._inotify = self._watch_log()
        self._connection: sqlite3.Connection | None = None
        self._version = self._read_version()

    def wait(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while not self._has_news():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            was_woken, was_written = self.alarm.sleep(min(remaining, self._nap()))
            if was_woken:
                return True
            if was_written and self._inotify is not None and self._inotify.was_written():
                self._commit_by = time.monotonic() + COMMIT_S
        return True

    def close(self) -> None:
        self._disconnect()
        if self._inotify is not None:
            self._inotify.close()
        self.alarm.close()

    def _watch_log(self) -> Inotify | None:
        try:
            inotify = Inotify(self._path.with_name(self._path.name + "-wal"))
        except OSError:
            return None
        self.alarm.watch(inotify.descriptor)
        return inotify

    def _nap(self) -> float:
        if self._inotify is None:
            return POLL_S
        return COMMIT_POLL_S if time.monotonic() < self._commit_by else WATCHED_POLL_S

    def _has_news(self) -> bool:
        version = self._read_version()
        if version == self._version or version is None:
            return False
        known, self._version = self._version, version
        self._commit_by = 0.0
        # What the scheduler itself commits is no news to it: only what somebody else desires is.
        return known is None or self._channel is Channel.OBSERVED or self._is_desired()

    def _read_version(self) -> int | None:
        """The connection's data_version; None while the database cannot be read."""
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
                self._version = None
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            self._disconnect()
            return None
        return int(version)

    def _is_desired(self) -> bool:
        assert self._connection is not None  # noqa: S101 (the version has just been read from it)
        try:
            (changed,) = self._connection.execute(IS_DESIRED).fetchone()
        except sqlite3.Error:
            return True  # locked, or not migrated yet: whoever reads next will see
        return bool(changed)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

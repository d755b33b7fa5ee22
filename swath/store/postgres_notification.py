"""PostgreSQL's LISTEN, as a source of news for `swath.store.notification.Listener`."""

from __future__ import annotations

import time

import psycopg

from swath.store.alarm import Alarm
from swath.store.database import KEEPALIVES, Channel, Database

RECONNECT_S = 1.0


class PostgresSource:
    """LISTEN on a connection of its own."""

    def __init__(self, database: Database, channel: Channel) -> None:
        self.alarm = Alarm()
        self._conninfo = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._channel = channel
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
            was_woken, was_told = self.alarm.sleep(nap)
            # Both are looked at, so that one piece of news is not told twice.
            has_news = was_told and self._drain_notifications()
            if was_woken or has_news:
                return True

    def close(self) -> None:
        self._disconnect()
        self.alarm.close()

    def _connect(self) -> bool:
        """Listen anew; False when the database does not answer, or was asked less than a second ago."""
        if time.monotonic() < self._retry_at:
            return False
        self._retry_at = time.monotonic() + RECONNECT_S
        try:
            connection = self._listen()
        except psycopg.OperationalError:
            return False
        self._connection = connection
        self._descriptor = connection.fileno()  # kept: a broken connection does not tell it any more
        self.alarm.watch(self._descriptor)
        return True

    def _listen(self) -> psycopg.Connection[tuple[object, ...]]:
        connection = psycopg.connect(
            self._conninfo,
            autocommit=True,
            connect_timeout=2,
            application_name="swath-listener",
            **KEEPALIVES,  # type: ignore[arg-type]  # psycopg passes integers on to libpq, and declares text
        )
        try:
            connection.execute(f"LISTEN {self._channel.pg_name}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self.alarm.forget(self._descriptor)
            self._connection.close()
            self._connection = None

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

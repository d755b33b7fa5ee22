"""Whether this instance does its part: it leads and is subscribed, or it stands by and could take over."""

from __future__ import annotations

from typing import Protocol

LATE_HEARTBEATS = 2  # announced intervals of silence after which the master's heartbeat is late


class Line(Protocol):
    """What the driver tells of its connection."""

    @property
    def connected(self) -> bool: ...

    @property
    def last_heard_s(self) -> float | None: ...

    heartbeat_interval_s: float


class Readiness:
    """Written by the program's thread, read by the server's: each change is one assignment."""

    def __init__(self) -> None:
        self._stand: tuple[bool, str] = (False, "starting")
        self._line: Line | None = None  # of the core that leads
        self._lost = ""  # why there is no subscription

    def on_standby(self) -> None:
        """Another instance leads: this one is ready to."""
        self._stand, self._line = (True, "standing by"), None

    def on_failed(self, reason: str) -> None:
        """Neither leading nor able to."""
        self._stand, self._line = (False, reason), None

    def on_leading(self, line: Line) -> None:
        """This instance leads; from here on its connection decides."""
        self._lost = ""
        self._line = line

    def on_lost(self, reason: str) -> None:
        """A subscription has ended, or an attempt at one has failed."""
        self._lost = reason

    def check(self) -> tuple[bool, str]:
        """(ready, in a sentence why)."""
        line = self._line
        if line is None:
            return self._stand
        silence_s = line.last_heard_s
        if not line.connected or silence_s is None:
            return False, "leading, not subscribed" + (f": {self._lost}" if self._lost else "")
        if silence_s > LATE_HEARTBEATS * line.heartbeat_interval_s:
            return False, (
                f"leading, and the master has not been heard of for {silence_s:.0f} s: "
                f"its heartbeats come every {line.heartbeat_interval_s:g} s"
            )
        return True, "leading and subscribed"

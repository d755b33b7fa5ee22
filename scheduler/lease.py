"""Leadership: one scheduler acts, the others wait (DESIGN.md 1; MESOS.md, M6)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

import psutil

from swath.domain.errors import LeadershipLostError

RENEWALS = 3  # in the time of a lease


class LeaderRow(Protocol):
    """The row in the database that says who leads."""

    def acquire(self, holder: str, now: datetime, lease_s: float) -> int | None: ...

    def renew(self, epoch: int, now: datetime) -> bool: ...

    def release(self, epoch: int, now: datetime) -> bool: ...


class Lease:
    """This process's claim on the leadership."""

    def __init__(
        self,
        leadership: LeaderRow,
        *,
        lease_s: float,
        find_leader: Callable[[], str | None],
        clock: Callable[[], datetime],
        holder: str | None = None,
    ) -> None:
        """`find_leader` gives the name of whoever leads or led last."""
        self._leadership = leadership
        self._lease_s = lease_s
        self._find_leader = find_leader
        self._clock = clock
        self.holder = holder or make_holder()
        self.epoch: int | None = None
        self._until: datetime | None = None
        self._renew_at: datetime | None = None

    def acquire(self) -> bool:
        """True when this process leads from now on. A leader that was a process of this host and is dead is replaced."""
        now = self._clock()
        epoch = self._leadership.acquire(self.holder, now, self._lease_s)
        if epoch is None and (leader := self._find_leader()) is not None and is_dead(leader):
            # By the dead one's name, then in our own: its lease would stand in everybody's way until it expires.
            taken = self._leadership.acquire(leader, now, self._lease_s)
            if taken is not None and self._leadership.release(taken, now):
                epoch = self._leadership.acquire(self.holder, now, self._lease_s)
        self.epoch = epoch
        self._granted(now)
        return epoch is not None

    @property
    def renew_at(self) -> datetime:
        """When to call `renew` again."""
        return self._renew_at or self._clock()

    def renew(self) -> None:
        """Lengthen the lease; raises LeadershipLostError when somebody else leads."""
        now = self._clock()
        if self.epoch is None or not self._leadership.renew(self.epoch, now):
            raise LeadershipLostError(f"another scheduler has taken over from {self.holder}")
        self._granted(now)

    def check(self) -> None:
        """Raise LeadershipLostError once the lease has run out: "stop issuing calls when the lease is lost" (M6)."""
        if self.epoch is None or self._until is None or self._clock() >= self._until:
            raise LeadershipLostError(f"the lease of {self.holder} has run out")

    def release(self) -> None:
        """Let the next one begin at once."""
        if self.epoch is not None:
            self._leadership.release(self.epoch, self._clock())
            self.epoch = None

    def _granted(self, now: datetime) -> None:
        self._until = now + timedelta(seconds=self._lease_s)
        self._renew_at = now + timedelta(seconds=self._lease_s / RENEWALS)


def make_holder() -> str:
    """This process's name: host, pid and the time at which it was started, for pids are used again."""
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}:{psutil.Process(pid).create_time():.2f}"


def is_dead(holder: str) -> bool:
    """True when `holder` names a process of this host that does not exist any more."""
    try:
        host, pid, started = holder.rsplit(":", 2)
        if host != socket.gethostname():
            return False
        return abs(psutil.Process(int(pid)).create_time() - float(started)) > 1.0
    except psutil.NoSuchProcess:
        return True
    except (ValueError, psutil.Error):
        return False

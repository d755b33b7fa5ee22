"""Leadership: one scheduler acts, the others wait (DESIGN.md 1; MESOS.md, M6)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol
from uuid import uuid4

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
        """True when this process leads from now on. A leader that is known to be dead is replaced at once."""
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
    """This process's name: its host, for people; the kernel's boot and the namespace that its pid belongs to; the pid; the
    ticks after boot at which it was started, for pids are used again.
    """
    pid = os.getpid()
    try:
        return ":".join((socket.gethostname(), *_find_place(), str(pid), _read_start(pid)))
    except OSError:
        return f"{socket.gethostname()}:{pid}:{uuid4()}"  # no /proc here: nobody can judge this process


def is_dead(holder: str) -> bool:
    """True when `holder` names a process that could be seen from here, were it there.

    Containers of one host have pids of their own: a pid says nothing outside of its namespace.
    """
    try:
        _, *place, pid, start = holder.rsplit(":", 4)
        if tuple(place) != _find_place():
            return False
        os.kill(int(pid), 0)
        return _read_start(int(pid)) != start
    except ProcessLookupError:
        return True
    except (ValueError, OSError):
        return False


def _find_place() -> tuple[str, str]:
    """The kernel's boot and the inode of the pid namespace: together they say what a pid means. May raise OSError."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return boot, str(Path("/proc/self/ns/pid").stat().st_ino)


def _read_start(pid: int) -> str:
    """Ticks between the boot and the start of a process (field 22 of its stat): no step of the clock moves them."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]

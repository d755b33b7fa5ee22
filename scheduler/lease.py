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
from swath.store.leadership import Term

RENEWALS = 3  # in the time of a lease
_ENDED = frozenset("ZX")  # states of a process that runs no more and has not been waited for


class LeaderRow(Protocol):
    """The row in the database that says who leads."""

    def find(self) -> Term | None: ...

    def acquire(self, holder: str, now: datetime, lease_s: float, *, instead_of: int | None = None) -> int | None: ...

    def renew(self, epoch: int, now: datetime) -> bool: ...

    def release(self, epoch: int, now: datetime) -> bool: ...


class Lease:
    """This process's claim on the leadership.

    What keeps a stopped leader from doing harm is the epoch, in the database; the lease says when somebody else may try, and
    until when this process need not ask (docs/adr/0010).
    """

    def __init__(
        self,
        leadership: LeaderRow,
        *,
        lease_s: float,
        clock: Callable[[], datetime],
        uptime: Callable[[], float] | None = None,
        holder: str | None = None,
    ) -> None:
        """`uptime` gives seconds that no step of the clock moves and that go on while the machine sleeps."""
        self._leadership = leadership
        self._lease_s = lease_s
        self._clock = clock
        self._uptime = uptime or (lambda: clock().timestamp())
        self.holder = holder or make_holder()
        self.epoch: int | None = None
        self._until = self._renew_due = self._uptime()
        self._seen: Term | None = None  # another's term, unchanged since
        self._seen_at = self._until

    def acquire(self) -> bool:
        """True when this process leads from now on.

        A leader that is known to be dead is replaced at once, and one that has said nothing for a lease's time, as this
        process has watched, when that is over: whatever its clock wrote down.
        """
        begun, now, term = self._uptime(), self._clock(), self._leadership.find()
        self.epoch = None
        if term is None or term.is_free(now) or term.holder == self.holder:
            self.epoch = self._leadership.acquire(self.holder, now, self._lease_s)
        elif is_dead(term.holder or "") or self._is_silent(term):
            self.epoch = self._leadership.acquire(self.holder, now, self._lease_s, instead_of=term.epoch)
        self._granted(begun)
        return self.epoch is not None

    def _is_silent(self, term: Term) -> bool:
        if term != self._seen:
            self._seen, self._seen_at = term, self._uptime()
        return self._uptime() - self._seen_at > self._lease_s

    @property
    def renew_at(self) -> datetime:
        """When to call `renew` again."""
        return self._clock() + timedelta(seconds=self._renew_due - self._uptime())

    @property
    def is_current(self) -> bool:
        """True while nobody else can have taken over, as far as this process knows; safe from any thread."""
        return self.epoch is not None and self._uptime() < self._until

    def renew(self) -> None:
        """Lengthen the lease; raises LeadershipLostError when somebody else leads."""
        begun = self._uptime()
        if self.epoch is None or not self._leadership.renew(self.epoch, self._clock()):
            raise LeadershipLostError(f"another scheduler has taken over from {self.holder}")
        self._granted(begun)

    def check(self) -> None:
        """Raise LeadershipLostError if somebody else leads: "stop issuing calls when the lease is lost" (M6).

        Once the lease has run out, in a stop or a turn that took too long, only the database knows: it is asked.
        """
        if not self.is_current:
            self.renew()

    def release(self) -> None:
        """Let the next one begin at once."""
        if self.epoch is not None:
            self._leadership.release(self.epoch, self._clock())
            self.epoch = None

    def _granted(self, begun: float) -> None:
        self._until = begun + self._lease_s
        self._renew_due = begun + self._lease_s / RENEWALS


def make_holder() -> str:
    """This process's name: its host, for people; the kernel's boot and the namespace that its pid belongs to; the pid; the
    ticks after boot at which it was started, for pids are used again.
    """
    pid = os.getpid()
    try:
        _, start = _read_stat(pid)
        return ":".join((socket.gethostname(), *_find_place(), str(pid), start))
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
        state, found = _read_stat(int(pid))
        return found != start or state in _ENDED
    except ProcessLookupError:
        return True
    except (ValueError, OSError):
        return False


def _find_place() -> tuple[str, str]:
    """The kernel's boot and the inode of the pid namespace: together they say what a pid means. May raise OSError."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return boot, str(Path("/proc/self/ns/pid").stat().st_ino)


def _read_stat(pid: int) -> tuple[str, str]:
    """State and start of a process, in ticks after the boot (fields 3 and 22 of its stat): no step of the clock moves them."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], fields[19]

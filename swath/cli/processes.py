"""Processes known by pid and start time, so that a pid which the system has given to somebody else is never signalled.

Only the standard library is imported: the supervisor of the laptop cluster lives on this file and has to stay small.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessRef:
    """One process, for ever: the pair is unique for as long as the machine is up."""

    pid: int
    started: str  # start time as the system counts it: clock ticks since boot (Linux), a date (elsewhere)

    def to_document(self) -> dict[str, Any]:
        """The reference as cluster.json keeps it."""
        return {"pid": self.pid, "started": self.started}

    @classmethod
    def from_document(cls, document: Any) -> ProcessRef | None:
        """The reference out of cluster.json; None where it holds none."""
        try:
            return cls(pid=int(document["pid"]), started=str(document["started"]))
        except (KeyError, TypeError, ValueError):
            return None

    @classmethod
    def of(cls, pid: int) -> ProcessRef | None:
        """The process that has `pid` now; None where there is none."""
        started = find_start_time(pid)
        return None if started is None else cls(pid=pid, started=started)


def find_start_time(pid: int) -> str | None:
    """When the process `pid` started, None when no such process runs; a zombie has ended already."""
    if not Path("/proc/self/stat").exists():
        return _find_start_time_by_ps(pid)
    try:
        # The second field is the command in parentheses and may hold anything: count the fields after the last ')'.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _find_start_time_by_ps(pid: int) -> str | None:
    """The same on systems without /proc."""
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() or None


def is_alive(process: ProcessRef | None) -> bool:
    """True while exactly this process runs."""
    return process is not None and find_start_time(process.pid) == process.started


def send(process: ProcessRef, signal_number: int) -> bool:
    """Signal the process if it still runs; says whether it did."""
    if not is_alive(process):
        return False
    try:
        os.kill(process.pid, signal_number)
    except ProcessLookupError:
        return False
    return True


def wait_ended(process: ProcessRef, timeout_s: float) -> bool:
    """Wait for a process that need not be our child; True once it has ended."""
    deadline = time.monotonic() + timeout_s
    while is_alive(process):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True


def end(processes: Iterable[ProcessRef], grace_s: float) -> list[ProcessRef]:
    """SIGTERM to all, SIGKILL to those that are still there after `grace_s`; returns those that were running."""
    running = [process for process in processes if send(process, signal.SIGTERM)]
    deadline = time.monotonic() + grace_s
    for process in running:
        if not wait_ended(process, max(0.0, deadline - time.monotonic())):
            send(process, signal.SIGKILL)
            wait_ended(process, grace_s)
    return running


def make_follow_parent() -> Callable[[], None] | None:
    """What a forked child calls before exec so that it gets SIGTERM when its parent dies; None where the system cannot.

    The setting is not inherited by what the child itself starts, so executors live on.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def follow_parent() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:  # it died between fork and here
            os._exit(1)

    return follow_parent

"""The processes of this machine, read from /proc. A process is known by its pid and its start time: pids come again."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from swath.domain.ids import ALPHABET, ULID_LENGTH

ATTEMPT = "SWATH_ATTEMPT"  # in the environment of everything that an attempt starts
EXECUTOR = "SWATH_EXECUTOR"  # the label of the executor that started it
RUN = "SWATH_RUN"  # and which of its runs: an executor that was started anew has another

_PR_SET_CHILD_SUBREAPER = 36
_TICKS_S = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PROC = Path("/proc")
_PSS = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)
_ATTEMPT_DIR = re.compile(rf"/attempts/(?P<attempt>[{ALPHABET}]{{{ULID_LENGTH}}})/")


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """One line of /proc/<pid>/stat."""

    pid: int
    parent: int
    session: int
    started: int  # clock ticks after boot
    zombie: bool
    cpu_s: float
    memory: int  # resident bytes


def _read(path: str) -> bytes:
    """All of a file of /proc; raises OSError. Without the layers above a descriptor: each attempt reads several."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = b""
        while chunk := os.read(descriptor, 2**16):
            data += chunk
        return data
    finally:
        os.close(descriptor)


def read_stat(pid: int) -> list[bytes]:
    """The fields of /proc/<pid>/stat from the state on; raises OSError."""
    text = _read(f"/proc/{pid}/stat")
    # The name in brackets may hold blanks and brackets itself.
    return text[text.rindex(b")") + 2 :].split()


def read_process(pid: int) -> Process | None:
    """The process as it is now; None when there is none."""
    try:
        rest = read_stat(pid)
    except OSError:
        return None
    return Process(
        pid=pid,
        parent=int(rest[1]),
        session=int(rest[3]),
        started=int(rest[19]),
        zombie=rest[0] in (b"Z", b"X"),
        cpu_s=(int(rest[11]) + int(rest[12])) / _TICKS_S,
        memory=int(rest[21]) * _PAGE,
    )


def read_processes() -> dict[int, Process]:
    """All processes that have not ended, by pid."""
    names = os.listdir(_PROC)  # noqa: PTH208 - hundreds of Path objects, each time
    found = (read_process(int(name)) for name in names if name.isdigit())
    return {process.pid: process for process in found if process and not process.zombie}


def read_share(pid: int) -> int:
    """Bytes that a process holds of the memory, of pages that it shares its part; 0 where that cannot be told."""
    try:
        text = _read(f"/proc/{pid}/smaps_rollup")
    except OSError:  # it has ended, or it is somebody else's by now
        return 0
    found = _PSS.search(text)
    return int(found[1]) * 1024 if found else 0


def read_mark(pid: int, name: str) -> str | None:
    """The value of a variable in the environment that a process was started with; None when it has none, or is not ours."""
    try:
        entries = _read(f"/proc/{pid}/environ").split(b"\0")
    except OSError:
        return None
    prefix = name.encode() + b"="
    return next((entry[len(prefix) :].decode(errors="replace") for entry in entries if entry.startswith(prefix)), None)


def read_attempt(pid: int) -> str | None:
    """The attempt that a process says it belongs to: by its environment, else by the files that it was started with.

    The latter is for our own descendants only: anybody may stand in a sandbox, or write there, and has not to be killed for it.
    """
    marked = read_mark(pid, ATTEMPT)
    if marked is not None:
        return marked
    for link in ("fd/1", "fd/2", "cwd"):
        try:
            match = _ATTEMPT_DIR.search(str((_PROC / str(pid) / link).readlink()))
        except OSError:
            continue
        if match:
            return match["attempt"]
    return None


class Tree:
    """Who is whose parent among the processes of one reading, and who shares a session."""

    def __init__(self, processes: dict[int, Process]) -> None:
        self.processes = processes
        self.children: dict[int, list[int]] = {}
        self.sessions: dict[int, list[int]] = {}
        for process in processes.values():
            self.children.setdefault(process.parent, []).append(process.pid)
            self.sessions.setdefault(process.session, []).append(process.pid)

    def descendants(self, roots: Iterable[int]) -> set[int]:
        """The pids below `roots`, themselves included as far as they are there."""
        found: set[int] = set()
        pending = [pid for pid in roots if pid in self.processes]
        while pending:
            pid = pending.pop()
            if pid not in found:
                found.add(pid)
                pending += self.children.get(pid, ())
        return found

    def is_still(self, pid: int, started: int | None) -> bool:
        """True when the pid is still of the process that started then."""
        process = self.processes.get(pid)
        return process is not None and process.started == started


def adopt_orphans() -> None:
    """Become the parent of whatever loses its own: a command that forks twice does not get away."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def read_children() -> list[int]:
    """The pids of the calling thread's children, adopted ones included (adopted by the main thread, while it lives)."""
    try:
        return [int(pid) for pid in _read(f"/proc/self/task/{threading.get_native_id()}/children").split()]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        own = os.getpid()
        return [process.pid for process in read_processes().values() if process.parent == own]


def send_signal(pid: int, number: signal.Signals, *, group: bool = False) -> None:
    """Send a signal to a process or to its group; one that has ended is no error."""
    with suppress(ProcessLookupError, PermissionError):
        if group:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)

"""What an executor left behind after a kill -9: its processes and its unpublished outputs.

A process is taken for ours by what only we have written: the marks in its environment, its pid with its start time in our
journal, their sessions, and whatever descends from these. Where a process stands and what it has open proves nothing.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from executor.journal import NAME, Entry, find_former, read_journal
from executor.processes import ATTEMPT, EXECUTOR, RUN, Tree, read_mark, read_processes, send_signal
from executor.trees import remove_scratch

log = logging.getLogger(__name__)

_PATIENCE_S = 3.0

IsMarked = Callable[[int], bool]


def remove_former(label: str, run: str, sandbox: Path) -> int:
    """Remove what former runs of this executor left; how many processes there were."""

    def is_former(pid: int) -> bool:
        return read_mark(pid, EXECUTOR) == label and read_mark(pid, RUN) != run

    return _remove(is_former, find_former(sandbox))


def remove_own(run: str, sandbox: Path) -> int:
    """Remove what this run left, once its executor is dead; another run's is not touched."""
    path = sandbox / NAME
    return _remove(lambda pid: read_mark(pid, RUN) == run, [path] if path.exists() else [])


def _remove(is_marked: IsMarked, journals: Sequence[Path]) -> int:
    entries = {path: read_journal(path) for path in journals}
    known = [entry for found in entries.values() for entry in found]
    killed = _kill(is_marked, known)
    for path, found in entries.items():
        # One that names what cannot be removed now is kept for the next who tries.
        gone = [remove_scratch(entry.scratch, entry.attempt) for entry in found]
        if all(gone):
            path.unlink(missing_ok=True)
    if killed or known:
        log.warning("removed what an executor left: %d attempts, %d processes", len(known), killed)
    return killed


def _kill(is_marked: IsMarked, entries: Sequence[Entry]) -> int:
    """Kill until none is found: a process may fork while it is looked for."""
    killed: set[int] = set()
    deadline = time.monotonic() + _PATIENCE_S
    while orphans := _find(is_marked, entries):
        killed |= orphans
        for pid in orphans:
            send_signal(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            log.error("these processes of an executor that has ended do not end: %s", sorted(orphans))
            break
        time.sleep(0.01)
    return len(killed)


def _find(is_marked: IsMarked, entries: Sequence[Entry]) -> set[int]:
    tree = Tree(read_processes())
    attempts = {entry.attempt for entry in entries}
    known = {pid for entry in entries for pid, started in _written(entry) if tree.is_still(pid, started)}
    marked = {pid for pid in tree.processes if is_marked(pid) or (attempts and read_mark(pid, ATTEMPT) in attempts)}
    # A session has its leader's number, which cannot come again as a pid while the session lives.
    sessions = {pid for leader in known for pid in tree.sessions.get(leader, ())}
    return tree.descendants(marked | known | sessions) - {os.getpid()}


def _written(entry: Entry) -> list[tuple[int, int | None]]:
    """The processes that a journal names, each by its pid and its start."""
    seen: list[tuple[int, int | None]] = [(int(pid), started) for pid, started in entry.seen.items()]
    return seen if entry.pid is None else [*seen, (entry.pid, entry.started)]

"""What a former run of this executor left behind, after a kill -9: its processes and its unpublished outputs.

Only what carries our own label is touched: another version of the executor, or another agent of this machine, has its own.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path

from executor.journal import Entry, find_former, read_journal
from executor.places import is_scratch, remove_tree
from executor.processes import EXECUTOR, Tree, read_attempt, read_mark, read_processes, send_signal

log = logging.getLogger(__name__)

_PATIENCE_S = 3.0


def remove_orphans(label: str, sandbox: Path) -> int:
    """Kill the processes and remove the scratch directories of former runs; how many processes there were."""
    journals = find_former(sandbox)
    entries = [entry for path in journals for entry in read_journal(path)]
    killed = _kill(label, entries)
    for entry in entries:
        _remove_scratch(entry)
    for path in journals:
        path.unlink(missing_ok=True)
    if killed or entries:
        log.warning("removed what a former run left: %d attempts, %d processes", len(entries), killed)
    return killed


def _kill(label: str, entries: list[Entry]) -> int:
    """Kill until none is found: a process may fork while it is looked for."""
    killed: set[int] = set()
    deadline = time.monotonic() + _PATIENCE_S
    while orphans := _find(label, entries):
        killed |= orphans
        for pid in orphans:
            send_signal(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            log.error("these processes of a former run do not end: %s", sorted(orphans))
            break
        time.sleep(0.01)
    return len(killed)


def _find(label: str, entries: list[Entry]) -> set[int]:
    tree = Tree(read_processes())
    own = os.getpid()
    known = {pid for entry in entries for pid, started in _written(entry) if tree.is_still(pid, started)}
    attempts = {entry.attempt for entry in entries}
    marked = {pid for pid in tree.processes if pid != own and _is_marked(pid, label, attempts)}
    # A session has its leader's number, which cannot come again as a pid while the session lives.
    sessions = {pid for leader in known for pid in tree.sessions.get(leader, ())}
    return tree.descendants(marked | known | sessions)


def _is_marked(pid: int, label: str, attempts: set[str]) -> bool:
    return read_mark(pid, EXECUTOR) == label or read_attempt(pid) in attempts


def _written(entry: Entry) -> list[tuple[int, int | None]]:
    """The processes that a journal names, each by its pid and its start."""
    seen: list[tuple[int, int | None]] = [(int(pid), started) for pid, started in entry.seen.items()]
    return seen if entry.pid is None else [*seen, (entry.pid, entry.started)]


def _remove_scratch(entry: Entry) -> None:
    if entry.scratch is None:
        return
    scratch = Path(entry.scratch)
    if is_scratch(scratch, entry.attempt) and scratch.is_dir() and not scratch.is_symlink():
        remove_tree(scratch)

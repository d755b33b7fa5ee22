"""Removes archived logs that are too old, or too many. Every executor of a site looks now and then; one at a time, and at most
one an hour, for all of them: who holds the lock on a file in the root, and finds its time old enough, sweeps."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from executor.trees import remove_tree

log = logging.getLogger(__name__)

LOCK = ".swept"
EVERY_S = 3600.0
_HOUR_S = 3600
_DAY_S = 24 * 3600
_YOUNG_H = 1  # hours: what is that young may still be written, and stays whatever its size


@dataclass(frozen=True, kw_only=True, slots=True)
class Keeping:
    """How long logs stay."""

    days: float = 90.0
    size: int = 100 * 2**30  # bytes of all of them


def start_sweeper(root: Path, keeping: Keeping) -> None:
    """Sweep from time to time, on a thread that a hanging storage may hold up."""

    def run() -> None:
        while True:
            try:
                sweep(root, keeping, time.time())
            except OSError as error:
                log.warning("old logs in %s cannot be removed: %s", root, error)
            time.sleep(EVERY_S)

    threading.Thread(target=run, name="sweep", daemon=True).start()


def sweep(root: Path, keeping: Keeping, now: float) -> int:
    """Remove what is too old, then the oldest of what is too much; how many directories. 0 where it is somebody else's turn."""
    root.mkdir(parents=True, exist_ok=True)
    lock = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(lock)
        if status.st_size and now - status.st_mtime < EVERY_S:
            return 0
        os.pwrite(lock, b"swept\n", 0)
        os.utime(lock, (now, now))
        return _sweep(root, keeping, now)
    except BlockingIOError:
        return 0
    finally:
        os.close(lock)


def _sweep(root: Path, keeping: Keeping, now: float) -> int:
    """In two walks, between which only sizes by age in hours are remembered: there may be millions of logs."""
    sizes: Counter[int] = Counter()
    for _, age_h, size in _walk(root, now):
        sizes[age_h] += size
    oldest_h = int(keeping.days * _DAY_S / _HOUR_S)
    kept = 0
    for age_h in sorted(sizes):
        kept += sizes[age_h]
        if kept > keeping.size:
            oldest_h = min(oldest_h, max(age_h, _YOUNG_H))
            break
    gone = 0
    for path, age_h, _ in _walk(root, now):
        if age_h >= oldest_h and remove_tree(path):
            gone += 1
            for parent in (path.parent, path.parent.parent):  # of the job's last
                with suppress(OSError):
                    parent.rmdir()
    if gone:
        log.info("removed the logs of %d attempts from %s", gone, root)
    return gone


def _walk(root: Path, now: float) -> Iterator[tuple[Path, int, int]]:
    """(directory of an attempt, hours since it was last written, bytes)."""
    for job in _list(root):
        for thousand in _list(job):
            for attempt in _list(thousand):
                with suppress(OSError), os.scandir(attempt) as files:
                    found = [file.stat(follow_symlinks=False) for file in files]
                    written = max((status.st_mtime for status in found), default=attempt.stat().st_mtime)
                    yield attempt, int(max(0.0, now - written) // _HOUR_S), sum(status.st_size for status in found)


def _list(directory: Path) -> list[Path]:
    try:
        with os.scandir(directory) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []

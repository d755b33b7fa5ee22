"""What logs are shipped to: a directory that the whole site sees, or an object store."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from executor.logs import STREAMS, notice
from executor.sweeping import EVERY_S, LOCK, Kept, Shelf
from executor.trees import DIRECTORY, remove_tree
from swath.domain.log_archive import PARTIAL
from swath.s3 import Stores

_CHUNK = 2**20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(kw_only=True, slots=True)
class Shipment:
    """One attempt's logs."""

    source: Path  # the attempt's directory
    place: str  # below the archive's root
    limit: int  # bytes of each that are kept
    begun_at_s: float = field(default_factory=time.monotonic)
    shipped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STREAMS, 0))  # bytes
    ended_at_s: float | None = None

    @contextmanager
    def opened(self, stream: str, *, ended: bool) -> Iterator[tuple[int, int] | None]:
        """(descriptor, bytes that are worth shipping) of a log; None for one that is not there, or no file any more.

        What lies beyond the limit is cut off at any time; only the end shows what stands there.
        """
        try:
            source = _open(self.source, stream)
        except FileNotFoundError:
            yield None
            return
        try:
            status = os.fstat(source)
            size = min(status.st_size, self.limit + (len(notice(self.limit)) if ended else 0))
            yield (source, size) if stat.S_ISREG(status.st_mode) else None  # a command may put anything into its place
        finally:
            os.close(source)


class Archive(Shelf, Protocol):
    """Where logs go. Raises what it likes where it does not take them: whoever ships tries again."""

    at_once: int  # shipments that are worth having under way together

    def add(self, shipment: Shipment, stream: str, source: int, start: int, end: int) -> int:
        """Take [start, end) of a log, behind what was shipped, or in its place from `start` on; how far it came."""

    def finish(self, shipment: Shipment) -> None:
        """Nothing more will come: the logs are complete."""


def find_archive(root: str, stores: Path | None) -> Archive:
    """The one that a root names: a path, or "s3://bucket/prefix" in one of the site's `stores`."""
    if not root.startswith("s3://"):
        return Directory(Path(root))
    from executor.log_objects import Bucket  # what it imports costs memory

    return Bucket(root, Stores(stores))


class Directory:
    """A file system's. The kernel copies the bytes (sendfile)."""

    at_once = 1

    def __init__(self, root: Path) -> None:
        self._root = root

    def add(self, shipment: Shipment, stream: str, source: int, start: int, end: int) -> int:
        """Into a directory that is named as incomplete."""
        return _copy(source, self._find_partial(shipment), stream, start, end)

    def finish(self, shipment: Shipment) -> None:
        """By one rename."""
        with suppress(FileNotFoundError):  # it has written nothing
            self._find_partial(shipment).rename(self._root / shipment.place)

    @contextmanager
    def claimed(self, now: float) -> Iterator[bool]:
        """Who holds the lock on a file in the root, and finds its time old enough, sweeps."""
        self._root.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            yield _is_due(lock, now)
        finally:
            os.close(lock)

    def walk(self, now: float) -> Iterator[Kept]:
        """By attempt."""
        for job in _list(self._root):
            for thousand in _list(job):
                for attempt in _list(thousand):
                    with suppress(OSError), os.scandir(attempt) as files:
                        found = [file.stat(follow_symlinks=False) for file in files]
                        written = max((status.st_mtime for status in found), default=attempt.stat().st_mtime)
                        size = sum(status.st_size for status in found)
                        yield Kept(names=(str(attempt),), age_s=now - written, size=size)

    def remove(self, names: Sequence[str]) -> bool:
        """With the directories above, of the job's last."""
        gone = all(remove_tree(Path(name)) for name in names)
        for name in names if gone else ():
            for above in (Path(name).parent, Path(name).parent.parent):
                with suppress(OSError):
                    above.rmdir()
        return gone

    def _find_partial(self, shipment: Shipment) -> Path:
        return self._root / (shipment.place + PARTIAL)


def _is_due(lock: int, now: float) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    status = os.fstat(lock)
    if status.st_size and now - status.st_mtime < EVERY_S:
        return False
    os.pwrite(lock, b"swept\n", 0)
    os.utime(lock, (now, now))
    return True


def _list(directory: Path) -> list[Path]:
    try:
        with os.scandir(directory) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _open(directory: Path, stream: str) -> int:
    """Raises OSError, also where a command has put a link in the place of its directory or its log."""
    above = os.open(directory, DIRECTORY)
    try:
        return os.open(stream, _READ, dir_fd=above)
    finally:
        os.close(above)


def _copy(source: int, directory: Path, stream: str, start: int, end: int) -> int:
    """Copy [start, end) of a log; how far it came."""
    try:
        target = os.open(directory / stream, _WRITE, 0o644)
    except FileNotFoundError:
        directory.mkdir(parents=True, exist_ok=True)
        target = os.open(directory / stream, _WRITE, 0o644)
    try:
        os.ftruncate(target, start)
        os.lseek(target, start, os.SEEK_SET)
        while start < end:
            sent = os.sendfile(target, source, start, min(_CHUNK, end - start))
            if sent == 0:  # it was cut meanwhile
                break
            start += sent
        return start
    finally:
        os.close(target)

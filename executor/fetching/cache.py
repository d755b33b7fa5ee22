"""Inputs of other machines as this one keeps them: one copy for all attempts, and for all executors that share the directory.

    <root>/<key>/lock       held (flock) shared by whoever uses the entry, alone by whoever makes or removes it
    <root>/<key>/partial/   on its way: what a kill -9 leaves is gone on with
    <root>/<key>/made/      complete, by one rename: `files` and entry.json

A lock ends with its holder, however that dies. Its time of change is when the entry was last wanted.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from executor.fetching.transfer import Watch, rest
from executor.trees import remove_tree

log = logging.getLogger(__name__)

_POLL_S = 0.1  # for whoever else makes the entry
_GONE = ".gone-"  # begins the name of what is being removed

Fill = Callable[[Path], None]


class Lease:
    """An entry in use: nobody removes it until `close`."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path  # the directory that holds its files
        self._lock = lock

    def close(self) -> None:
        """Let go of it."""
        os.close(self._lock)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    path: Path
    used_at_ns: int
    size: int


class Cache:
    """At most `limit` bytes beside what is in use, and `spare` bytes of its disk left alone.

    The least recently used goes first.
    """

    def __init__(self, root: Path, limit: int, spare: int = 0) -> None:
        self._root = root
        self._limit = limit
        self._spare = spare
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def take(self, key: str, fill: Fill, size: int | None, watch: Watch) -> Lease:
        """The entry of a key. Where there is none `fill` makes it, once however many want it.

        The directory that it is given may hold a part of it already. `size` is what it will take, as far as that is known.
        Raises what `fill` and `watch` raise, and OSError.
        """
        path = self._to_path(key)
        while True:
            watch.check()
            if (lease := self.find(key)) is not None:
                return lease
            with _locked(path, fcntl.LOCK_EX) as lock:
                if lock is not None:
                    self._make(path, fill, size)
                    continue
            rest(_POLL_S, watch)

    def _to_path(self, key: str) -> Path:
        return self._root / hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()

    def find(self, key: str) -> Lease | None:
        """A hold on the entry of a key; None where it is not there, or is being made or removed."""
        path = self._to_path(key)
        with _locked(path, fcntl.LOCK_SH) as lock:
            if lock is None or not _is_whole(path / "made"):
                return None
            now_ns = time.time_ns()  # the file system's own clock is coarser than two tasks that follow each other
            os.utime(lock, ns=(now_ns, now_ns))
            return Lease(path / "made" / "files", os.dup(lock))  # a copy holds the same lock

    def _make(self, path: Path, fill: Fill, size: int | None) -> None:
        """With the entry's lock held alone."""
        made, partial = path / "made", path / "partial"
        if made.exists():
            if _is_whole(made):  # somebody else was faster
                return
            log.warning("%s was changed and is fetched anew", made)
            self._remove(made)
        self.make_room(size or 0)
        self._check_disk(size or 0)
        files = partial / "files"
        files.mkdir(parents=True, exist_ok=True)
        fill(files)
        _close_up(files)
        _write(partial / "entry.json", json.dumps(_describe(files)))
        partial.rename(made)
        _sync(path)
        self.make_room(0)

    def make_room(self, wanted: int) -> None:
        """Remove what was not used for longest until `wanted` more bytes fit; nothing that is in use."""
        for gone in self._root.glob(f"{_GONE}*"):  # a kill -9 came between
            remove_tree(gone)
        entries = sorted(self._list(), key=lambda entry: entry.used_at_ns)
        excess = max(
            sum(entry.size for entry in entries) + wanted - self._limit,
            wanted + self._spare - shutil.disk_usage(self._root).free,
        )
        for entry in entries:
            if excess <= 0:
                return
            with _locked(entry.path, fcntl.LOCK_EX) as lock:
                if lock is not None:
                    self._remove(entry.path)
                    excess -= entry.size

    def look_again(self) -> None:
        """While an entry grows: nobody may have known its size, and others write to the disk as well. Raises OSError."""
        if shutil.disk_usage(self._root).free < self._spare:
            self.make_room(0)
            self._check_disk(0)

    def _check_disk(self, wanted: int) -> None:
        if shutil.disk_usage(self._root).free < wanted + self._spare:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _list(self) -> Iterator[_Entry]:
        for path in self._root.glob("[0-9a-f]*"):
            with suppress(OSError, ValueError, KeyError):
                used_at_ns = (path / "lock").stat().st_mtime_ns
                yield _Entry(path=path, used_at_ns=used_at_ns, size=_measure(path))

    def _remove(self, path: Path) -> None:
        """Out of the way at once, whatever its removal takes."""
        gone = self._root / f"{_GONE}{secrets.token_hex(8)}"
        path.rename(gone)
        remove_tree(gone)


def _measure(path: Path) -> int:
    """Bytes that an entry takes."""
    with suppress(FileNotFoundError, ValueError, KeyError):
        return int(json.loads((path / "made" / "entry.json").read_text())["size"])
    return sum(file.stat().st_size for file in (path / "partial").rglob("*") if file.is_file())


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[int | None]:
    """The entry's lock, or None where somebody else has it. An entry that was removed meanwhile is another one by now."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:  # removed since the line above
        yield None
        return
    try:
        yield lock if _lock(lock, kind) and _is_same(lock, path / "lock") else None
    finally:
        os.close(lock)


def _lock(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EINTR):
            raise
        return False
    return True


def _is_same(lock: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock), path.stat())
    except FileNotFoundError:
        return False


def _describe(files: Path) -> dict[str, object]:
    """What an entry holds, so that a change shows. A time of change (ctime) nobody can set."""
    found = {}
    for path in sorted(files.rglob("*")):
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            found[str(path.relative_to(files))] = [status.st_size, status.st_ctime_ns]
    return {"size": sum(size for size, _ in found.values()), "files": found}


def _is_whole(made: Path) -> bool:
    """Whether an entry is there, and as it was made: a task that is a process can write to its inputs."""
    try:
        said = json.loads((made / "entry.json").read_text())
        return bool(said == _describe(made / "files"))
    except (OSError, ValueError):
        return False


def _close_up(files: Path) -> None:
    """Readable for everybody, and for nobody to write."""
    for path in [*files.rglob("*"), files]:
        if path.is_dir():
            path.chmod(0o755)
            _sync(path)
        else:
            path.chmod(0o444)


def _write(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

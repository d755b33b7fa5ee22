"""An attempt's inputs from other machines: looked at, fetched where the cache lacks them, and held until it has ended."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from executor.fetching.buckets import Buckets, to_version
from executor.fetching.cache import Cache, Lease
from executor.fetching.errors import ChangedError, FetchError, RefusedError, TransientError
from executor.fetching.limits import Limits
from executor.fetching.policy import Policy
from executor.fetching.source import Found, Source
from executor.fetching.transfer import fetch, rest
from executor.fetching.web import Web, to_name
from executor.staging import StartError, find_difference, to_shown
from swath.domain.checksums import Checksum
from swath.domain.retries import Cause

_LOOKS = 3  # at a thing that changes while it is fetched
_TELL_S = 5.0  # between two words on progress
_MIB = 2**20
_LOOK = 16 * _MIB  # of a file; then its disk is looked at again


@dataclass(slots=True)
class Progress:
    """One attempt that waits for its inputs."""

    cancelled: Callable[[], bool]
    tell: Callable[[str], None]
    limit: int  # bytes
    look: Callable[[], None]  # whether the disk has room for more; raises OSError
    name: str = ""  # of the input that is being fetched
    what: str = ""
    before: int = 0  # bytes of what has come before the present file
    total: int | None = None
    _told_at_s: float = field(default_factory=time.monotonic)
    _looked_at: int = 0  # bytes of the present file

    def check(self) -> None:
        """Raises StartError where the attempt is to end."""
        if self.cancelled():
            raise StartError(Cause.KILLED, "ended before it had started")

    def note(self, size: int) -> None:
        """The present file has so many bytes."""
        if abs(size - self._looked_at) >= _LOOK:
            self._looked_at = size
            self.look()
        have = self.before + size
        if have > self.limit:
            raise RefusedError(f"the inputs are larger than the {self.limit / _MIB:g} MiB that an attempt may fetch")
        if time.monotonic() - self._told_at_s < _TELL_S:
            return
        self._told_at_s = time.monotonic()
        of = "" if self.total is None else f" of {self.total / _MIB:.0f}"
        self.tell(f"fetching input {self.name}: {have / _MIB:.0f}{of} MiB of {self.what}")


class Fetcher:
    """Inputs by https, http and s3; from any thread."""

    def __init__(self, *, policy: Policy, limits: Limits, cache: Cache, stores: Path | None) -> None:
        self._policy = policy
        self._limits = limits
        self._cache = cache
        self._web = Web(policy)
        self._buckets = Buckets(stores, limits.files)
        self._transfers = threading.BoundedSemaphore(limits.transfers)

    def begin(self, cancelled: Callable[[], bool], tell: Callable[[str], None]) -> Progress:
        """For the inputs of one attempt."""
        return Progress(cancelled=cancelled, tell=tell, limit=self._limits.attempt, look=self._cache.look_again)

    def fetch(self, name: str, href: str, checksum: Checksum | None, progress: Progress) -> tuple[Path, Lease]:
        """The file or directory that a href names, and the hold on it.

        Raises StartError: INPUT for what is not there, not allowed or not what was declared; TRANSFER for a server or a
        network that does not work; AGENT for a file system that fails.
        """
        progress.name, progress.what = name, to_shown(href)
        try:
            return self._fetch(href, checksum, progress)
        except RefusedError as error:
            raise StartError(Cause.INPUT, f"input {name}: {progress.what}: {error}") from error
        except FetchError as error:
            raise StartError(Cause.TRANSFER, f"input {name}: {progress.what}: {error}") from error
        except OSError as error:
            full = " (the disk is full)" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
            raise StartError(Cause.AGENT, f"input {name}: {progress.what} cannot be stored{full}: {error}") from error

    def _fetch(self, href: str, checksum: Checksum | None, progress: Progress) -> tuple[Path, Lease]:
        source = self._find_source(href)
        for _ in range(_LOOKS - 1):
            try:
                return self._take(source, href, checksum, progress)
            except ChangedError:
                continue
        return self._take(source, href, checksum, progress)

    def _find_source(self, href: str) -> Source:
        scheme = href.partition(":")[0]
        self._policy.check_scheme(scheme)
        return self._buckets if scheme == "s3" else self._web

    def _take(self, source: Source, href: str, checksum: Checksum | None, progress: Progress) -> tuple[Path, Lease]:
        if checksum is not None:  # then nobody has to be asked whether it is still the same
            name = to_name(urlsplit(href).path)
            if (held := self._cache.find(to_key(name, checksum))) is not None:
                return held.path / name, held
        found = self._look(source, href, progress)
        if checksum is not None and found.is_directory:
            raise RefusedError("is a directory, and a checksum is one of a file")
        sizes = [remote.size for remote in found.remotes]
        progress.total = None if None in sizes else sum(size for size in sizes if size is not None)
        if progress.total is not None:
            progress.note(progress.total)

        def fill(files: Path) -> None:
            self._fill(source, found, checksum, files, progress)

        key = to_version_key(href, found) if checksum is None else to_key(found.name, checksum)
        lease = self._cache.take(key, fill, progress.total, progress)
        path = lease.path / found.name
        progress.before += path.stat().st_size if progress.total is None else progress.total
        return path, lease

    def _look(self, source: Source, href: str, progress: Progress) -> Found:
        for pause_s in (0.5, 2.0):
            try:
                return source.look(href)
            except TransientError as error:
                rest(max(pause_s, min(error.retry_after_s or 0.0, 30.0)), progress)
        return source.look(href)

    def _fill(self, source: Source, found: Found, checksum: Checksum | None, files: Path, progress: Progress) -> None:
        before = progress.before
        try:
            for remote in found.remotes:
                path = files / found.name / remote.name if found.is_directory else files / found.name
                path.parent.mkdir(parents=True, exist_ok=True)
                with self._turn(progress):
                    fetch(source, remote, path, progress)
                    if checksum is not None and find_difference(path, checksum):
                        path.unlink()  # it may have come on a bad line
                        fetch(source, remote, path, progress)
                        _check(path, checksum)
                progress.before += path.stat().st_size
        finally:
            progress.before = before

    @contextmanager
    def _turn(self, progress: Progress) -> Iterator[None]:
        """So many transfers at a time and no more: each would only be slower."""
        while not self._transfers.acquire(timeout=0.2):
            progress.check()
        try:
            yield
        finally:
            self._transfers.release()


def to_key(name: str, checksum: Checksum) -> str:
    """What the cache knows a file by of which somebody has said what it is: it does not matter where it lies."""
    return f"{checksum}\0{name}"


def to_version_key(href: str, found: Found) -> str:
    """What the cache knows something by that is what it is as long as its server says so."""
    version = to_version(found.remotes) if found.is_directory else found.remotes[0].version
    # Without a version nobody could tell whether it is still the same.
    return f"{href}\0{version}" if version else f"{href}\0{time.time_ns()}"


def _check(path: Path, declared: Checksum) -> None:
    if wrong := find_difference(path, declared):
        path.unlink()
        raise RefusedError(f"has {wrong} where {declared} was declared")

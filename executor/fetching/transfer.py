"""One file from its source onto this machine's disk: as far as it comes, then on from there, again and again."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Protocol

from executor.fetching.errors import ChangedError, RefusedError, TransientError
from executor.fetching.pace import LEAST
from executor.fetching.source import Remote, Source

TRIES = 5  # in a row that bring next to nothing: a byte a try is no progress
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_NAP_S = 0.1
_BEGIN = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Watch(Protocol):
    """Whoever waits for a transfer."""

    def check(self) -> None:
        """Raises where nobody waits any more."""

    def note(self, size: int) -> None:
        """The file has so many bytes by now; raises RefusedError where these are too many."""


def rest(seconds: float, watch: Watch) -> None:
    """Wait, as long as somebody waits for the outcome."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        watch.check()
        time.sleep(min(left, _NAP_S))


def fetch(source: Source, remote: Remote, path: Path, watch: Watch) -> None:
    """Bring a file to `path`, on from what is there of it, and onto the disk.

    What is there has to be of the same version. Raises RefusedError, ChangedError, TransientError when it has tried enough,
    and OSError where this machine's file system fails.
    """
    failed = 0
    while True:
        before = _size(path)
        try:
            _receive(source, remote, path, watch)
            return
        except ChangedError:
            path.unlink(missing_ok=True)
            raise
        except TransientError as error:
            failed = 1 if _size(path) - before >= LEAST else failed + 1
            if failed >= TRIES:
                raise TransientError(f"{error} ({failed} times in a row)") from error
            rest(_to_pause_s(failed, error.retry_after_s), watch)


def _to_pause_s(failed: int, asked_s: float | None) -> float:
    wanted = min(_FIRST_PAUSE_S * 2.0 ** (failed - 1), _LONGEST_PAUSE_S)
    # Those that failed together shall not come back together; no server may make us wait for hours.
    jitter = random.uniform(0.75, 1.25)  # noqa: S311
    return max(min(asked_s or 0.0, _LONGEST_PAUSE_S), wanted * jitter)


def _receive(source: Source, remote: Remote, path: Path, watch: Watch) -> None:
    watch.check()
    offset = _size(path) if remote.resumable else 0
    if remote.size is not None and offset == remote.size and offset:
        return  # it was complete when somebody was killed
    with source.read(remote, offset) as body:
        size = body.size if remote.size is None else remote.size
        if body.size is not None and body.size != size:
            raise ChangedError("has changed while it was fetched")
        descriptor = os.open(path, _BEGIN, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.truncate(body.start)
            file.seek(body.start)
            here = body.start
            for chunk in body.chunks:
                watch.check()
                here += len(chunk)
                if size is not None and here > size:
                    raise RefusedError(f"is longer than the {size} bytes that were promised")
                watch.note(here)
                file.write(chunk)
            file.flush()
            if size is not None and here < size:
                raise TransientError(f"broke off after {here} of {size} bytes")
            os.fsync(descriptor)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0

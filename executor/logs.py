"""stdout and stderr of an attempt: files of bounded size."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from executor.trees import DIRECTORY

STREAMS = ("stdout", "stderr")


def notice(limit: int) -> bytes:
    """What stands where a log was cut."""
    return f"\n[swath: cut here; a log is kept up to {limit / 2**20:g} MiB]\n".encode()


def open_log(directory: Path, stream: str) -> int:
    """A descriptor of a log to write to; appended to, so that `trim` works under a writer. Raises OSError."""
    return os.open(f"{directory}/{stream}", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)


@contextmanager
def opened_logs(directory: Path) -> Iterator[tuple[int, int]]:
    """Descriptors of both logs, stdout's first; raises OSError."""
    out = open_log(directory, "stdout")
    try:
        err = open_log(directory, "stderr")
        try:
            yield out, err
        finally:
            os.close(err)
    finally:
        os.close(out)


def trim(directory: Path, limit: int) -> int:
    """Cut logs that have grown over `limit` bytes; the bytes that they take on disk.

    A command writes its files itself, so this is done from time to time.
    """
    most, taken = limit + len(notice(limit)), 0
    for stream in STREAMS:
        try:
            status = os.lstat(f"{directory}/{stream}")
            taken += min(status.st_blocks * 512, limit)
            if status.st_size > most:
                _cut(directory, stream, limit)
        except OSError:
            continue  # the command may do with its files what it likes
    return taken


def _cut(directory: Path, stream: str, limit: int) -> None:
    """Cut a log, and nothing that a link leads to."""
    above = os.open(directory, DIRECTORY)
    try:
        log = os.open(stream, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=above)
    finally:
        os.close(above)
    try:
        os.ftruncate(log, limit)
        os.write(log, notice(limit))
    finally:
        os.close(log)


class Filter(Protocol):
    """What a log passes through before it is kept."""

    def feed(self, data: bytes) -> bytes:
        """What may be written now."""

    def finish(self) -> bytes:
        """What was held back."""


class BoundedLog:
    """A log that is written by us, to `limit` bytes and the notice."""

    def __init__(self, directory: Path, stream: str, limit: int, mask: Filter | None = None) -> None:
        self._mask = mask
        self._file = os.fdopen(open_log(directory, stream), "ab", buffering=0)
        self._left = limit
        self._notice = notice(limit)

    def write(self, data: bytes) -> None:
        """Append; what is beyond the limit is dropped."""
        self._append(data if self._mask is None else self._mask.feed(data))

    def _append(self, data: bytes) -> None:
        if self._left < 0:
            return
        self._file.write(data[: self._left])
        if len(data) > self._left:
            self._file.write(self._notice)
            self._left = -1
        else:
            self._left -= len(data)

    def close(self) -> None:
        """Close the file."""
        if self._mask is not None:
            self._append(self._mask.finish())
        self._file.close()

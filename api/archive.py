"""Logs as executors have shipped them to the site's storage: complete, or as far as they have come."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from swath.domain.log_archive import PARTIAL, log_directory
from swath.store.rows import AttemptRow

CHUNK = 2**20


class Archived(Protocol):
    """One log on the storage."""

    @property
    def complete(self) -> bool:
        """Whether it is all that the attempt has written."""

    def read(self, offset: int, length: int) -> tuple[bytes, int]:
        """(bytes from `offset` on, its size); the former empty at its end. What a complete log lacks is empty."""


class Archive(Protocol):
    """Where logs are kept; from any thread."""

    def find(self, attempt: AttemptRow, stream: str, *, whole: bool) -> Archived | None:
        """The log of an attempt, or, unless it is to be the `whole` of it, as much as was shipped; None for nothing.

        Raises OutputsUnreachableError.
        """


def find_archive(root: str | None, stores: Path | None) -> Archive | None:
    """The one that the site's logs root names: a directory, or "s3://bucket/prefix" in one of its `stores`; None without."""
    if root is None:
        return None
    if not root.startswith("s3://"):
        return Directory(Path(root))
    from api.log_objects import Bucket

    return Bucket(root, stores)


class Directory:
    """Logs in a file system."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, attempt: AttemptRow, stream: str, *, whole: bool) -> Archived | None:
        """By the directory that is there."""
        directory = self._root / log_directory(attempt.job_id, attempt.task_index, attempt.id)
        if directory.is_dir():
            return ArchivedFile(path=directory / stream, complete=True)
        if whole:
            return None
        partial = directory.with_name(directory.name + PARTIAL)
        return ArchivedFile(path=partial / stream, complete=False) if partial.is_dir() else None


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchivedFile:
    """A log that is a file."""

    path: Path
    complete: bool

    def read(self, offset: int, length: int) -> tuple[bytes, int]:
        """See Archived."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ELOOP):  # the latter for a link, which is no log
                raise
            return b"", 0
        try:
            return os.pread(descriptor, min(length, CHUNK), offset), os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

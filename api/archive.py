"""Logs as executors have shipped them to the site's storage: complete, or as far as they have come."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from swath.domain.log_archive import PARTIAL, log_directory
from swath.store.rows import AttemptRow

CHUNK = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Archived:
    """One log on the storage."""

    path: Path
    complete: bool

    def read(self, offset: int, length: int) -> tuple[bytes, int]:
        """(bytes from `offset` on, its size); the former empty at its end. A complete log without a file is empty."""
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


def find_archived(root: Path | None, attempt: AttemptRow, stream: str) -> Archived | None:
    """The log of an attempt below the site's logs root; None where nothing was shipped."""
    if root is None:
        return None
    directory = root / log_directory(attempt.job_id, attempt.task_index, attempt.id)
    if directory.is_dir():
        return Archived(path=directory / stream, complete=True)
    partial = directory.with_name(directory.name + PARTIAL)
    return Archived(path=partial / stream, complete=False) if partial.is_dir() else None

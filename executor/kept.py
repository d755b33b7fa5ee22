"""Which logs of ended attempts stay: the newest, up to a number and a size. Pure.

Those of attempts that did not succeed are counted apart: a job's few failures are not pushed out by its many successes.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

_TOGETHER = 50  # are removed at once, so that a short attempt pays next to nothing


class KeptLogs:
    """The directories of ended attempts, oldest first."""

    def __init__(self, *, most: int, most_bytes: int) -> None:
        """Each of the two kinds may have `most` directories and half of `most_bytes`."""
        self._kinds = {succeeded: _Kind(most, most_bytes // 2) for succeeded in (True, False)}

    def add(self, directory: Path, size: int, *, succeeded: bool) -> list[Path]:
        """Keep a directory that takes `size` bytes; those that have to go for it."""
        return self._kinds[succeeded].add(directory, size)


class _Kind:
    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._directories: deque[tuple[Path, int]] = deque()
        self._bytes = 0

    def add(self, directory: Path, size: int) -> list[Path]:
        self._directories.append((directory, size))
        self._bytes += size
        if len(self._directories) < self._most + _TOGETHER and self._bytes <= self._most_bytes:
            return []
        gone = []
        # The newest stays, whatever its size: somebody may want to know how it has just ended.
        while len(self._directories) > max(self._most, 1) or (
            self._bytes > self._most_bytes and len(self._directories) > 1
        ):
            oldest, freed = self._directories.popleft()
            self._bytes -= freed
            gone.append(oldest)
        return gone

"""Inputs that are lent to a warm container, whose mounts cannot be changed: they are in it for as long as their attempt runs.

What the executor's own cache has is linked; another input is copied where it is small: what takes long to copy takes long to
work on too, and a fresh container costs it nothing. Only what everybody may read is lent, for a copy is the executor's.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from executor.bounds import resolve
from executor.settings import Settings
from executor.staging import to_names
from executor.trees import DIRECTORY, TooDeepError, walk

MOST = 64 * 2**20  # bytes of one input that is copied
_MOST_ENTRIES = 1000
_DEEPEST = 32
_READABLE = {stat.S_IFREG: stat.S_IROTH, stat.S_IFDIR: stat.S_IROTH | stat.S_IXOTH, stat.S_IFLNK: 0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Lender:
    """Knows what can be lent, and how."""

    cache: Path | None  # whose files can be linked; None where it is on another file system

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The one of an executor."""
        cache = resolve(settings.fetching.cache or settings.sandbox / "input-cache")
        near = cache.is_dir() and cache.stat().st_dev == settings.sandbox.stat().st_dev
        return cls(cache=cache if near else None)

    def find_lent(self, inputs: Mapping[str, Sequence[Path]]) -> frozenset[str]:
        """The names of the inputs that can be lent; the others have to be mounted."""
        return frozenset(name for name, paths in inputs.items() if self._is_soon_done(paths))

    def lend(self, paths: Sequence[Path], directory: Path) -> None:
        """Have an input in a directory of its own, under the names that it would be mounted by; raises OSError."""
        directory.mkdir()
        for path, name in zip(paths, to_names(paths), strict=True):
            copy = os.link if self._is_linked(path) else _copy
            if path.is_dir():
                shutil.copytree(path, directory / name, symlinks=True, copy_function=copy)
            else:
                copy(path, directory / name)

    def _is_linked(self, path: Path) -> bool:
        return self.cache is not None and path.is_relative_to(self.cache)

    def _is_soon_done(self, paths: Sequence[Path]) -> bool:
        size = entries = 0
        try:
            for path in paths:
                for status in _look(path):
                    readable = _READABLE.get(stat.S_IFMT(status.st_mode))
                    size += 0 if self._is_linked(path) else status.st_size
                    entries += 1
                    if readable is None or status.st_mode & readable != readable:
                        return False
                    if size > MOST or entries > _MOST_ENTRIES:
                        return False
        except (OSError, TooDeepError):
            return False
        return True


def _copy(path: str | Path, target: str | Path) -> None:
    shutil.copyfile(path, target)
    Path(target).chmod(0o444)


def _look(path: Path) -> Iterator[os.stat_result]:
    """What an input is, and everything below it."""
    status = path.stat()
    yield status
    if stat.S_ISDIR(status.st_mode):
        top = os.open(path, DIRECTORY)
        try:
            yield from (below for _, below in walk(top, _DEEPEST))
        finally:
            os.close(top)

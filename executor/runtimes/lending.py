"""Inputs that are lent to a warm container, whose mounts cannot be changed: they are in it for as long as their attempt runs.

An input is copied where it is small: what takes long to copy takes long to work on too, and a fresh container costs it nothing.
Linked it would be cheaper, but a link changes a file's time of change, by which the cache knows that nobody has written to it.
Only what everybody may read is lent, for a copy is the executor's; no link is followed, for others may write there meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from executor.staging import Seen, identify, to_names
from executor.trees import DIRECTORY, TooDeepError, opened, walk

MOST = 64 * 2**20  # bytes of one input that is copied
_MOST_ENTRIES = 1000
_DEEPEST = 32
_READABLE = {stat.S_IFREG: stat.S_IROTH, stat.S_IFDIR: stat.S_IROTH | stat.S_IXOTH, stat.S_IFLNK: 0}
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def find_lent(inputs: Mapping[str, Sequence[Path]]) -> frozenset[str]:
    """The names of the inputs that can be lent; the others have to be mounted."""
    return frozenset(name for name, paths in inputs.items() if _is_soon_done(paths))


def lend(paths: Sequence[Path], seen: Sequence[Seen], directory: Path) -> None:
    """Have an input in a directory of its own, under the names that it would be mounted by.

    Raises OSError, also where one of `seen` is not what it was, or has become what cannot be lent.
    """
    known = {one.path: one.identity for one in seen}
    directory.mkdir()
    copier = _Copier()
    for path, name in zip(paths, to_names(paths), strict=True):
        with _opened(path, None) as source:
            status = os.fstat(source)
            if known.get(path, identify(status)) != identify(status):
                raise OSError(errno.ESTALE, "was replaced while the attempt waited", str(path))
            copier.copy_all(source, status, directory / name)


def _is_soon_done(paths: Sequence[Path]) -> bool:
    size = entries = 0
    try:
        for path in paths:
            for status in _look(path):
                size, entries = size + status.st_size, entries + 1
                if not _may_read(status) or size > MOST or entries > _MOST_ENTRIES:
                    return False
    except (OSError, TooDeepError):
        return False
    return True


def _may_read(status: os.stat_result) -> bool:
    """Whether everybody may; False for what is no file, directory or link."""
    needed = _READABLE.get(stat.S_IFMT(status.st_mode))
    return needed is not None and status.st_mode & needed == needed


class _Copier:
    """Copies what it has opened, to so many bytes."""

    def __init__(self) -> None:
        self._left = MOST

    def copy_all(self, source: int, status: os.stat_result, target: Path) -> None:
        """A file, or a directory with all that is below it."""
        if not stat.S_ISDIR(status.st_mode):
            self._copy(source, target)
            return
        _make(status, target)
        try:
            for below, found in walk(source, _DEEPEST):
                above, _, name = below.rpartition("/")
                with opened(above or ".", source) as directory:
                    self._copy_entry(name, directory, found, target / below)
        except TooDeepError as error:
            raise OSError(errno.ELOOP, str(error)) from error

    def _copy_entry(self, name: str, directory: int, status: os.stat_result, target: Path) -> None:
        if stat.S_ISDIR(status.st_mode):
            _make(status, target)
        elif stat.S_ISLNK(status.st_mode):
            target.symlink_to(os.readlink(name, dir_fd=directory))
        else:
            with _opened(name, directory) as source:
                self._copy(source, target)

    def _copy(self, source: int, target: Path) -> None:
        status = os.fstat(source)
        if not stat.S_ISREG(status.st_mode) or not _may_read(status):
            raise OSError(errno.EACCES, "is not everybody's to read", str(target))
        with target.open("xb") as copy:
            while sent := os.sendfile(copy.fileno(), source, None, 2**20):
                self._left -= sent
                if self._left < 0:
                    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(target))
        target.chmod(0o444)


def _make(status: os.stat_result, target: Path) -> None:
    if not _may_read(status):
        raise OSError(errno.EACCES, "is not everybody's to read", str(target))
    target.mkdir()
    target.chmod(0o755)


@contextmanager
def _opened(path: str | Path, above: int | None) -> Iterator[int]:
    """A descriptor of a file or a directory, and of none that a link leads to."""
    descriptor = os.open(path, _READ, dir_fd=above)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


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

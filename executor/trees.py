"""Directory trees that a command has left: of any depth, longer than any path. No recursion; no link is followed."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from swath.domain.ids import ALPHABET, ULID_LENGTH

_SCRATCH = re.compile(rf"\.(?P<attempt>[{ALPHABET}]{{{ULID_LENGTH}}})\.partial")
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC  # flags: a directory, and no link to one


class TooDeepError(Exception):
    """A tree has more levels than anybody wants to walk."""


def is_scratch(path: Path, attempt: str) -> bool:
    """True for a directory that can only be the unpublished output of `attempt`."""
    match = _SCRATCH.fullmatch(path.name)
    return match is not None and match["attempt"] == attempt


def is_in_scratch(path: Path) -> bool:
    """True for what an attempt's unpublished output holds, and for that itself."""
    return any(_SCRATCH.fullmatch(part) for part in path.parts)


def remove_scratch(path: str | None, attempt: str) -> bool:
    """Remove the scratch directory of an attempt, and nothing that is none; True when none is there any more."""
    if path is None or not is_scratch(Path(path), attempt):
        return True
    return remove_tree(Path(path))


@contextmanager
def opened(path: str, above: int) -> Iterator[int]:
    """A descriptor of the directory `path` below the directory `above`; raises OSError where a part of it is a link."""
    here = os.open(".", DIRECTORY, dir_fd=above)
    try:
        for part in path.split("/"):
            below = os.open(part, DIRECTORY, dir_fd=here)
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


def walk(top: int, deepest: int) -> Iterator[tuple[str, os.stat_result]]:
    """The path of each entry below the directory `top`, and what it is.

    Raises TooDeepError beyond `deepest` levels, and OSError.
    """
    pending = [(".", 1)]
    while pending:
        path, level = pending.pop()
        if level > deepest:
            raise TooDeepError(f"it has more than {deepest} levels of directories")
        with opened(path, top) as directory, os.scandir(directory) as entries:
            for entry in entries:
                below = entry.name if path == "." else f"{path}/{entry.name}"
                status = entry.stat(follow_symlinks=False)
                yield below, status
                if stat.S_ISDIR(status.st_mode):
                    pending.append((below, level + 1))


def remove_tree(path: Path) -> bool:
    """Remove a directory and all below it, as far as that is allowed; True when it is gone. A link is removed itself."""
    try:
        path.rmdir()  # many are empty
        return True
    except FileNotFoundError:
        return True
    except OSError:
        _open_up(str(path), None)
    try:
        top = os.open(path, DIRECTORY)
    except OSError:  # a link, a file, or somebody else's
        with suppress(OSError):
            path.unlink()
        return not os.path.lexists(path)
    _empty(top)
    with suppress(OSError):
        path.rmdir()
    return not os.path.lexists(path)


@dataclass(slots=True)
class _Level:
    """A directory that is being emptied."""

    name: str  # in the one above
    identity: tuple[int, int]
    pending: list[str]  # its directories that have not been looked into


def _empty(top: int) -> None:
    """Empty a directory and close it. One descriptor is open at a time: what lies above is found by `..` again."""
    here = top
    levels = [_enter("", here)]
    try:
        while True:
            level = levels[-1]
            if level.pending:
                name = level.pending.pop()
                if (below := _open_below(name, here)) is not None:
                    os.close(here)
                    here = below
                    levels.append(_enter(name, here))
                continue
            if len(levels) == 1:
                return
            above = os.open("..", DIRECTORY, dir_fd=here)
            os.close(here)
            here = above
            levels.pop()
            if _identify(here) != levels[-1].identity:  # somebody moves directories about under our hands
                return
            _remove(level.name, True, here)
    except OSError:
        return
    finally:
        os.close(here)


def _enter(name: str, directory: int) -> _Level:
    """Remove the files and links of a directory, and name its directories."""
    level = _Level(name=name, identity=_identify(directory), pending=[])
    for entry, is_directory in _list(directory):
        if is_directory:
            level.pending.append(entry)
        else:
            _remove(entry, is_directory, directory)
    return level


def _open_below(name: str, directory: int) -> int | None:
    _open_up(name, directory)
    try:
        return os.open(name, DIRECTORY, dir_fd=directory)
    except OSError:
        return None


def _identify(directory: int) -> tuple[int, int]:
    status = os.fstat(directory)
    return status.st_dev, status.st_ino


def _list(directory: int) -> list[tuple[str, bool]]:
    try:
        with os.scandir(directory) as entries:
            return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    except OSError:
        return []


def _remove(name: str, is_directory: bool, directory: int) -> bool:
    """Remove a file, a link or an empty directory; False when that cannot be."""
    try:
        if is_directory:
            os.rmdir(name, dir_fd=directory)
        else:
            os.unlink(name, dir_fd=directory)
    except OSError:
        return False
    return True


def _open_up(name: str, directory: int | None) -> None:
    """A command may take away its own permissions."""
    with suppress(OSError):
        if (os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode & 0o170700) in _CLOSED:
            os.chmod(name, 0o700, dir_fd=directory)


_CLOSED = frozenset(
    0o040000 | bits for bits in range(0, 0o700, 0o100)
)  # directories that their owner may not fully use

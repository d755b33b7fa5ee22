"""Directory trees that a command has left: of any depth, longer than any path. No recursion; no link is followed."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from swath.domain.ids import ALPHABET, ULID_LENGTH

_SCRATCH = re.compile(rf"\.(?P<attempt>[{ALPHABET}]{{{ULID_LENGTH}}})\.partial")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class TooDeepError(Exception):
    """A tree has more levels than anybody wants to walk."""


def is_scratch(path: Path, attempt: str) -> bool:
    """True for a directory that can only be the unpublished output of `attempt`."""
    match = _SCRATCH.fullmatch(path.name)
    return match is not None and match["attempt"] == attempt


def remove_scratch(path: str | None, attempt: str) -> bool:
    """Remove the scratch directory of an attempt, and nothing that is none; True when none is there any more."""
    if path is None or not is_scratch(Path(path), attempt):
        return True
    return remove_tree(Path(path))


def walk(directory: Path, deepest: int) -> Iterator[os.DirEntry[str]]:
    """All entries below a directory; raises TooDeepError beyond `deepest` levels, and OSError."""
    pending = [(str(directory), 1)]
    while pending:
        path, level = pending.pop()
        if level > deepest:
            raise TooDeepError(f"it has more than {deepest} levels of directories")
        with os.scandir(path) as entries:
            for entry in entries:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    pending.append((entry.path, level + 1))


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
        top = os.open(path, _DIRECTORY)
    except OSError:  # a link, a file, or somebody else's
        with suppress(OSError):
            path.unlink()
        return not os.path.lexists(path)
    try:
        _empty(top)
    finally:
        os.close(top)
    with suppress(OSError):
        path.rmdir()
    return not os.path.lexists(path)


def _empty(top: int) -> None:
    """Empty a directory. What is found two levels down moves one level up, so that no depth costs a stack, or descriptors."""
    token, number, progress = secrets.token_hex(8), 0, True
    while progress:
        progress = False
        for name, is_directory in _list(top):
            if is_directory:
                number = _lift(top, name, token, number)
            progress |= _remove(name, is_directory, top)


def _lift(top: int, name: str, token: str, number: int) -> int:
    """Empty the directory `name`: its files are removed, its directories become neighbours of it."""
    _open_up(name, top)
    try:
        directory = os.open(name, _DIRECTORY, dir_fd=top)
    except OSError:
        return number
    try:
        for child, is_directory in _list(directory):
            if _remove(child, is_directory, directory):
                continue
            _open_up(child, directory)  # a directory that moves needs to be written to: its `..` changes
            number += 1
            with suppress(OSError):
                os.rename(child, f"{token}-{number}", src_dir_fd=directory, dst_dir_fd=top)
    finally:
        os.close(directory)
    return number


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

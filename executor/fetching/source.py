"""The port between what wants an input and where it lies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class Remote:
    """A file on another machine, as it was when somebody looked."""

    name: str  # what it is to be called here: a file name, or a path below the directory that it belongs to
    address: str  # where its source finds it
    size: int | None  # bytes
    version: str | None  # as long as this is the same, so are the bytes; None where nobody can tell
    resumable: str | None = None  # what a request for the rest of it names, so that it is the rest of the same bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a href leads to."""

    name: str  # of the file or the directory
    remotes: tuple[Remote, ...]
    is_directory: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    """Bytes that arrive."""

    start: int  # of the first of them in the file: where it was asked for, or 0 where the server begins anew
    size: int | None  # of the whole file
    chunks: Iterator[bytes]


class Source(Protocol):
    """Where inputs come from. All raise RefusedError and TransientError; from any thread."""

    def look(self, href: str) -> Found:
        """What is there now."""

    def read(self, remote: Remote, offset: int) -> AbstractContextManager[Body]:
        """Its bytes from `offset` on; raises ChangedError where they would be those of something else."""

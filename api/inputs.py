"""Whether the files that a job names are there: file:// hrefs, below the roots that tasks may read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from swath.domain.errors import InvalidInputError


class FileCheck:
    """Checks of hrefs: scheme, place and existence. Remembers directories, for scenes lie side by side by the thousand."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = tuple(root.resolve() for root in roots)
        self._directories: dict[Path, Path] = {}  # a directory, and what it really is

    def find_complaint(self, href: str) -> str | None:
        """Why a task could not read `href`; None when it could."""
        try:
            path = to_path(href)
        except InvalidInputError as error:
            return error.problems[0].message
        try:
            real = self._resolve(path)
        except OSError as error:  # a name that is too long, for one
            return f"cannot be read: {error.strerror}"
        if not any(real.is_relative_to(root) for root in self._roots):
            return f"lies outside of what tasks may read: {', '.join(map(str, self._roots))}"
        if not os.path.lexists(real):
            return "does not exist"
        return None if os.access(real, os.R_OK) else "may not be read"

    def measure(self, href: str) -> int:
        """Bytes of the file, or of all files in the directory; 0 for what cannot be read."""
        try:
            return sum(entry.stat().st_size for entry in _files_of(self._resolve(to_path(href))))
        except (OSError, InvalidInputError):
            return 0

    def _resolve(self, path: Path) -> Path:
        """The path without symbolic links and `..`."""
        if path.name in ("", "..") or path.is_symlink():
            return Path(os.path.realpath(path))
        if path.parent not in self._directories:
            self._directories[path.parent] = Path(os.path.realpath(path.parent))
        return self._directories[path.parent] / path.name


def to_path(href: str) -> Path:
    """The absolute path of a file:// href; raises InvalidInputError with what to do for any other."""
    try:
        parts = urlsplit(href)
    except ValueError as error:
        raise InvalidInputError.at("", f"is no URL ({error})") from error
    if parts.scheme != "file":
        what = f"{parts.scheme}:// is" if parts.scheme else "a href without a scheme is"
        advice = "copy the data to a file system that the agents see, and give file:///path"
        raise InvalidInputError.at("", f"{what} not supported yet: {advice}")
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        raise InvalidInputError.at("", "must be file:///path without a host, '?' and '#' (write %3F and %23)")
    path = unquote(parts.path, errors="surrogateescape")
    if not path.startswith("/") or "\0" in path:
        raise InvalidInputError.at("", "must be an absolute path")
    return Path(path)


def _files_of(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for directory, _, names in os.walk(path):
        yield from (Path(directory, name) for name in names)

"""Whether the files that a job names can be had: those of file:// are looked at, of others only their addresses.

What lies on other machines the executor asks for, by the site's policy: this service goes nowhere that a job names.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from swath.domain.errors import InvalidInputError

REMOTE = ("http", "https", "s3")


class FileCheck:
    """Checks of hrefs: scheme, place and existence.

    Paths are text here, and directories are remembered: a job may name fifty thousand files that lie side by side.
    """

    def __init__(self, roots: Sequence[Path], schemes: Sequence[str] = ("file", "https", "s3")) -> None:
        self._roots = tuple(os.path.realpath(root) for root in roots)
        self._schemes = schemes
        self._inside: dict[str, bool] = {}  # a directory, and whether it really lies below a root

    def find_complaint(self, href: str) -> str | None:
        """Why a task could not read `href`; None when it could, as far as that can be told here."""
        scheme = href.partition(":")[0]
        if scheme in REMOTE:
            return _find_remote_complaint(href) if scheme in self._schemes else self._tell_schemes(scheme)
        try:
            path = to_path(href)
            is_inside = self._is_inside(path)
        except InvalidInputError as error:
            return error.problems[0].message
        except OSError as error:  # a name that is too long, for one
            return f"cannot be read: {error.strerror}"
        if not is_inside:
            return f"lies outside of what tasks may read: {', '.join(self._roots)}"
        if os.access(path, os.R_OK):
            return None
        return "may not be read" if os.path.lexists(path) else "does not exist"

    def measure(self, href: str) -> int:
        """Bytes of the file, or of all files in the directory; 0 for what cannot be read, or lies elsewhere."""
        try:
            path = Path(to_path(href))
            files = (Path(at, name) for at, _, names in os.walk(path) for name in names) if path.is_dir() else (path,)
            return sum(file.stat().st_size for file in files)
        except (OSError, InvalidInputError):
            return 0

    def _tell_schemes(self, scheme: str) -> str:
        return f"{scheme}:// is not allowed here: inputs may come by {', '.join(self._schemes)}"

    def _is_inside(self, path: str) -> bool:
        """Whether the path, without symbolic links and `..`, lies below a root."""
        directory, _, name = path.rpartition("/")
        if name in ("", ".", "..") or _is_link(path):
            return self._is_below_root(path)
        if directory not in self._inside:
            self._inside[directory] = self._is_below_root(directory or "/")
        return self._inside[directory] or os.path.realpath(path) in self._roots

    def _is_below_root(self, path: str) -> bool:
        real = os.path.realpath(path)
        return any(real == root or real.startswith(root.rstrip("/") + "/") for root in self._roots)


def _find_remote_complaint(href: str) -> str | None:
    try:
        parts = urlsplit(href)
        host, credentials = parts.hostname, parts.username is not None or parts.password is not None
    except ValueError as error:
        return f"is no URL ({error})"
    if credentials:
        return "holds a name or a password: credentials belong into the site's settings, not into a job"
    if not host or not parts.path.strip("/") or any(character <= " " for character in href):
        return "must be https://host/path or s3://bucket/key"
    if parts.scheme == "s3" and (parts.query or parts.fragment):
        return "must be s3://bucket/key without '?' and '#' (write %3F and %23)"
    return None


def to_path(href: str) -> str:
    """The absolute path of a file:// href; raises InvalidInputError with what to do for any other."""
    try:
        parts = urlsplit(href)
    except ValueError as error:
        raise InvalidInputError.at("", f"is no URL ({error})") from error
    if parts.scheme != "file":
        what = f"{parts.scheme}:// is" if parts.scheme else "a href without a scheme is"
        raise InvalidInputError.at("", f"{what} not known: give file:///path, https://host/path or s3://bucket/key")
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        raise InvalidInputError.at("", "must be file:///path without a host, '?' and '#' (write %3F and %23)")
    path = unquote(parts.path, errors="surrogateescape")
    if not path.startswith("/") or "\0" in path:
        raise InvalidInputError.at("", "must be an absolute path")
    return path


def _is_link(path: str) -> bool:
    """Raises OSError for a path that cannot be looked at; one that is not there is no link."""
    try:
        return stat.S_ISLNK(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False

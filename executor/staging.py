"""An attempt's inputs on this machine: from hrefs to paths that its command may read."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from executor.bounds import Bounds
from executor.trees import is_in_scratch
from swath.domain.checksums import Checksum
from swath.domain.retries import Cause


class StartError(Exception):
    """An attempt cannot start, and its report says why."""

    def __init__(self, cause: Cause, message: str) -> None:
        self.cause = cause
        super().__init__(message)


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A file or a directory of this machine, as it was when it was found that an attempt may read it."""

    name: str  # of the input
    path: Path  # without links
    identity: tuple[int, int]  # device and inode


def is_local(href: str) -> bool:
    """Whether a href names something that this machine sees; other schemes are fetched."""
    return href.partition(":")[0] not in ("http", "https", "s3")


def resolve_input(name: str, href: str, bounds: Bounds, outputs_root: Path) -> Seen:
    """A file of this machine by its real path; raises StartError (INPUT) where it is missing, unreadable or out of bounds."""
    path = to_path(name, href)
    try:
        real = Path(os.path.realpath(path, strict=True))
        status = real.stat()
    except OSError as error:
        raise StartError(Cause.INPUT, f"input {name}: {path} cannot be had: {error.strerror}") from error
    # The real path decides: `..` and symbolic links may lead anywhere inside of the bounds, and nowhere else.
    if complaint := bounds.complaint(real, outputs_root):
        raise StartError(Cause.INPUT, f"input {name}: {path} {complaint}")
    if is_in_scratch(real):
        raise StartError(Cause.INPUT, f"input {name}: {path} is what an attempt has not published")
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise StartError(Cause.INPUT, f"input {name}: {path} is neither a file nor a directory")
    if not os.access(real, os.R_OK):
        raise StartError(Cause.INPUT, f"input {name}: {path} may not be read by this agent's user")
    return Seen(name=name, path=real, identity=identify(status))


def check_seen(seen: Iterable[Seen]) -> None:
    """Raises StartError where a path leads to something else by now: whoever may write there can put a link in its place.

    An engine mounts what a name leads to, minutes after somebody has looked. The cause is TRANSFER: the next attempt looks
    anew, and finds what it is now allowed, or not.
    """
    for one in seen:
        try:
            same = (
                os.path.realpath(one.path, strict=True) == str(one.path) and identify(one.path.stat()) == one.identity
            )
        except OSError:
            same = False
        if not same:
            raise StartError(Cause.TRANSFER, f"input {one.name}: {one.path} was replaced while the attempt waited")


def identify(status: os.stat_result) -> tuple[int, int]:
    """Device and inode."""
    return status.st_dev, status.st_ino


def find_difference(path: Path, declared: Checksum) -> str | None:
    """What a file hashes to, where that is not what was declared."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, declared.algorithm).hexdigest()
    return None if digest == declared.digest else f"{declared.algorithm}:{digest}"


def to_shown(href: str) -> str:
    """A href without what may be a signature, or somebody's password."""
    try:
        parts = urlsplit(href)
    except ValueError:
        return "its href"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def to_path(name: str, href: str) -> Path:
    """The local path that an href names; raises StartError (INPUT) where it names none."""
    try:
        parts = urlsplit(href)
    except ValueError as error:
        raise StartError(Cause.INPUT, f"input {name}: {href!r} is no href: {error}") from error
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise StartError(
            Cause.INPUT,
            f"input {name}: {href!r} names no file of this machine (file:///...), nor is it https, http or s3",
        )
    path = unquote(parts.path)
    if not path.startswith("/") or "\0" in path:
        raise StartError(Cause.INPUT, f"input {name}: {href!r} names no absolute path")
    return Path(path)


def to_names(paths: Sequence[Path]) -> list[str]:
    """A name for each path in one directory: its own; numbered where two are the same (B04.tif of two scenes)."""
    names = [path.name or "root" for path in paths]
    if len(set(names)) == len(names):
        return names
    width = len(str(len(names)))
    return [f"{number:0{width}}-{name}" for number, name in enumerate(names, start=1)]


def link_inputs(inputs: Mapping[str, Sequence[Path]], multiple: frozenset[str], directory: Path) -> dict[str, str]:
    """Each input's path for a command on this machine: the file itself, or a directory of links to all of them.

    Seed: "with `multiple` a directory with all files directly in it".
    """
    return {
        name: str(_link_all(paths, directory / name) if name in multiple else paths[0])
        for name, paths in inputs.items()
    }


def _link_all(paths: Sequence[Path], directory: Path) -> Path:
    directory.mkdir(parents=True)
    for path, name in zip(paths, to_names(paths), strict=True):
        (directory / name).symlink_to(path)
    return directory

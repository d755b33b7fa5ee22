"""An attempt's outputs: from what its command left to a directory that is complete or not there at all.

Only regular files leave the output directory. Nothing is followed: not a symbolic link, be it the output directory itself, for
each directory is opened by its name in the one above; and a file with a second name (a hard link to something that is not ours)
is copied, so that what is published can never change from outside.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from executor.lineage import complete_items
from executor.places import Places
from executor.trees import DIRECTORY, TooDeepError, opened, walk
from swath.domain.attempts import OutputFile
from swath.domain.manifest import Manifest
from swath.domain.retries import Cause
from swath.domain.run import JSON_OUTPUTS, SIDE_CAR, match_outputs, read_json_outputs
from swath.domain.stac import Lineage

DEEPEST = 64  # levels of directories in an output directory
MOST_ENTRIES = 100_000  # files and directories that an output directory may hold
LARGEST_JSON = 256 * 1024  # bytes of seed.outputs.json: its values travel in a status update

# What a command can bring about in a directory that is its own.
_COMMANDS_DOING = frozenset(
    {
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.EACCES,
        errno.EPERM,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EEXIST,
        errno.EISDIR,
    }
)
_PREPARED = "publish"  # in the scratch directory: what one rename makes official
_NO_FOLLOW = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class PublishError(Exception):
    """The outputs cannot become official, and the attempt's report says why."""

    def __init__(self, cause: Cause, message: str) -> None:
        self.cause = cause
        super().__init__(message.encode(errors="backslashreplace").decode())  # a name in it may be no text


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What an output directory holds, by path relative to it."""

    sizes: dict[str, int]  # bytes of the regular files
    strange: dict[str, str]  # everything else that is no directory -> what it is


@dataclass(frozen=True, kw_only=True, slots=True)
class Outputs:
    """What was published."""

    files: tuple[OutputFile, ...]
    json_outputs: dict[str, Any]


def publish(manifest: Manifest, places: Places, lineage: Lineage | None = None) -> Outputs:
    """Hold the output directory against the manifest and publish what it promises, by one rename.

    Into STAC items among it goes where it all came from, where that is told.

    Raises PublishError: OUTPUT where the command did not keep its promise, AGENT where the file system fails.
    """
    if places.scratch is None:
        return Outputs(files=(), json_outputs={})
    try:
        return _publish(manifest, places.scratch, places, lineage)
    except TooDeepError as error:
        raise PublishError(Cause.OUTPUT, f"the output directory cannot be published: {error}") from error
    except RecursionError as error:
        raise PublishError(Cause.OUTPUT, "the outputs are nested too deep") from error
    except OSError as error:
        # Whatever a command can bring about is its own failure: a failure of the agent's costs it none of its attempts.
        cause = Cause.OUTPUT if error.errno in _COMMANDS_DOING else Cause.AGENT
        raise PublishError(cause, f"the outputs could not be stored: {error}") from error


def _publish(manifest: Manifest, scratch: Path, places: Places, lineage: Lineage | None) -> Outputs:
    with ExitStack() as stack:

        def hold(descriptor: int) -> int:
            stack.callback(os.close, descriptor)
            return descriptor

        task = hold(_open_task(scratch.parent))
        ours = hold(_open_own(scratch.name, task))
        source = hold(_open_own(places.output_dir.name, ours))
        found = look(source)
        outputs = check(manifest, source, found)
        prepared = hold(_make_prepared(ours))
        sums = _move(outputs, found, source, prepared)
        files = tuple(replace(entry, sha256=sums[entry.path]) for entry in outputs.files)
        outputs = replace(outputs, files=files if lineage is None else complete_items(files, prepared, lineage))
        # The one step that makes outputs visible: whoever looks sees all of them or none.
        os.rename(_PREPARED, places.target.name, src_dir_fd=ours, dst_dir_fd=task)
        os.fsync(task)
    return outputs


def _open_task(path: Path) -> int:
    """The directory of the task's outputs, which holds all that is renamed."""
    try:
        return os.open(path, DIRECTORY)
    except FileNotFoundError as error:
        # A command may remove what is its task's; where the job's is gone too, the file system is more likely to be.
        cause = Cause.OUTPUT if path.parent.is_dir() else Cause.AGENT
        raise PublishError(cause, f"the outputs could not be stored: {error}") from error


def _open_own(name: str, above: int) -> int:
    """A directory that was made for the command: nobody else is likely to have removed or replaced it."""
    try:
        return os.open(name, DIRECTORY, dir_fd=above)
    except FileNotFoundError as error:
        raise PublishError(Cause.OUTPUT, "the command has removed its output directory") from error
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        link = stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode)
        what = "a symbolic link, which is not followed" if link else "something that is no directory"
        raise PublishError(Cause.OUTPUT, f"the command has replaced its output directory by {what}") from error


def _make_prepared(scratch: int) -> int:
    try:
        os.mkdir(_PREPARED, dir_fd=scratch)
    except FileExistsError as error:
        raise PublishError(Cause.OUTPUT, "the command has written beside its output directory") from error
    return os.open(_PREPARED, DIRECTORY, dir_fd=scratch)


def check(manifest: Manifest, directory: int, found: Found) -> Outputs:
    """What of `found` is which output; raises PublishError (OUTPUT) with everything that is wrong."""
    match = match_outputs(manifest, found.sizes | dict.fromkeys(found.strange, 0))
    strange = {entry.path: found.strange[entry.path] for entry in match.files if entry.path in found.strange}
    problems = [f"{path} is {what}, no file; only files are published" for path, what in strange.items()]
    problems += [f"the name of {entry.path} is not UTF-8" for entry in match.files if not _is_text(entry.path)]
    values, complaints = read_json_outputs(manifest, _read_json(directory, found))
    if _is_deeper(values, DEEPEST):
        raise PublishError(Cause.OUTPUT, f"{JSON_OUTPUTS} has more than {DEEPEST} levels")
    problems += [*match.problems, *complaints]
    if problems:
        raise PublishError(Cause.OUTPUT, "; ".join(problems))
    return Outputs(files=match.files, json_outputs=values)


def _is_text(path: str) -> bool:
    """Whether a name can be told to others: JSON and databases know text only."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def look(directory: int) -> Found:
    """All that is below a directory, without following anything; raises PublishError (OUTPUT) for too much of it."""
    found = Found(sizes={}, strange={})
    for count, (path, status) in enumerate(walk(directory, DEEPEST)):
        if count == MOST_ENTRIES:
            raise PublishError(Cause.OUTPUT, f"the output directory holds more than {MOST_ENTRIES} entries")
        if stat.S_ISREG(status.st_mode):
            found.sizes[path] = status.st_size
        elif not stat.S_ISDIR(status.st_mode):
            found.strange[path] = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "a special file"
    return found


def _read_json(directory: int, found: Found) -> str | None:
    if JSON_OUTPUTS in found.strange:
        raise PublishError(Cause.OUTPUT, f"{JSON_OUTPUTS} is {found.strange[JSON_OUTPUTS]}, no file")
    if JSON_OUTPUTS not in found.sizes:
        return None
    descriptor = os.open(JSON_OUTPUTS, _NO_FOLLOW, dir_fd=directory)
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(LARGEST_JSON + 1)
    if len(data) > LARGEST_JSON:
        raise PublishError(Cause.OUTPUT, f"{JSON_OUTPUTS} is larger than {LARGEST_JSON // 1024} KiB")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise PublishError(Cause.OUTPUT, f"{JSON_OUTPUTS} is not UTF-8") from None


def _is_deeper(value: object, levels: int) -> bool:
    """True for JSON of more levels than these: whoever writes it again needs a stack as deep."""
    inner: Collection[object] = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return bool(inner) and (levels == 0 or any(_is_deeper(part, levels - 1) for part in inner))


def _move(outputs: Outputs, found: Found, source: int, destination: int) -> dict[str, str]:
    """Move the declared files, their side-cars and seed.outputs.json into an empty directory, all of it on disk.

    The SHA-256 of each, by its path.
    """
    sums: dict[str, str] = {}
    wanted = {path for entry in outputs.files for path in (entry.path, entry.path + SIDE_CAR)} | {JSON_OUTPUTS}
    paths = sorted(map(_split, wanted & found.sizes.keys()))
    directories = _with_parents({directory for directory, _ in paths})
    for directory in directories[1:]:
        above, name = _split(directory)
        with opened(above, destination) as parent:
            os.mkdir(name, dir_fd=parent)
    for directory, group in groupby(paths, key=itemgetter(0)):
        with opened(directory, source) as old, opened(directory, destination) as new:
            for _, name in group:
                sums[name if directory == "." else f"{directory}/{name}"] = _move_file(name, old, new)
    for directory in reversed(directories):
        with opened(directory, destination) as made:
            os.fchmod(made, 0o755)
            os.fsync(made)
    return sums


def _split(path: str) -> tuple[str, str]:
    """The directory of a path, and the name in it."""
    directory, _, name = path.rpartition("/")
    return directory or ".", name


def _with_parents(directories: set[str]) -> list[str]:
    """The directories and all above them, from the top down."""
    everything = {"."}
    for directory in directories:
        while directory not in everything:
            everything.add(directory)
            directory, _ = _split(directory)
    return sorted(everything, key=lambda directory: (directory != ".", directory))


def _move_file(name: str, source: int, target: int) -> str:
    """Move a file from one directory to another; its SHA-256."""
    descriptor = os.open(name, _NO_FOLLOW, dir_fd=source)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise PublishError(Cause.OUTPUT, f"{name} is no file any more")
        if status.st_nlink > 1:
            return _copy(descriptor, name, target)
        digest = _hash(descriptor)
        os.fchmod(descriptor, 0o644)  # readable for whoever serves it
        os.fsync(descriptor)
        os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
        moved = os.stat(name, dir_fd=target, follow_symlinks=False)
        if (moved.st_dev, moved.st_ino) != (status.st_dev, status.st_ino):
            raise PublishError(Cause.OUTPUT, f"{name} changed while it was published")
        return digest
    finally:
        os.close(descriptor)


def _hash(descriptor: int) -> str:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(descriptor: int, name: str, target: int) -> str:
    new = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, dir_fd=target)
    with os.fdopen(new, "wb") as copy, os.fdopen(os.dup(descriptor), "rb") as source:
        shutil.copyfileobj(source, copy, 2**20)
        copy.flush()
        os.fchmod(copy.fileno(), 0o644)
        os.fsync(copy.fileno())
        return _hash(copy.fileno())

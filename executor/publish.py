"""An attempt's outputs: from what its command left to a directory that is complete or not there at all.

Only regular files leave the output directory. Nothing is followed: not a symbolic link, and a file with a second name (a
hard link to something that is not ours) is copied, so that what is published can never change from outside.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from executor.places import Places
from executor.trees import TooDeepError, walk
from swath.domain.attempts import OutputFile
from swath.domain.manifest import Manifest
from swath.domain.retries import Cause
from swath.domain.run import JSON_OUTPUTS, SIDE_CAR, match_outputs, read_json_outputs

DEEPEST = 64  # levels of directories in an output directory
MOST_ENTRIES = 100_000  # files and directories that an output directory may hold
LARGEST_JSON = 256 * 1024  # bytes of seed.outputs.json: its values travel in a status update

_COMMANDS_DOING = frozenset({errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM})
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


def publish(manifest: Manifest, places: Places) -> Outputs:
    """Hold the output directory against the manifest and publish what it promises, by one rename.

    Raises PublishError: OUTPUT where the command did not keep its promise, AGENT where the file system fails.
    """
    if places.scratch is None:
        return Outputs(files=(), json_outputs={})
    try:
        found = look(places.output_dir)
        outputs = check(manifest, places.output_dir, found)
        _move(outputs, found, places.output_dir, places.scratch / "publish")
        _make_official(places.scratch / "publish", places.target)
    except TooDeepError as error:
        raise PublishError(Cause.OUTPUT, f"the output directory cannot be published: {error}") from error
    except RecursionError as error:
        raise PublishError(Cause.OUTPUT, "the outputs are nested too deep") from error
    except OSError as error:
        # Whatever a command can bring about is its own failure: a failure of the agent's costs it none of its attempts.
        cause = Cause.OUTPUT if error.errno in _COMMANDS_DOING else Cause.AGENT
        raise PublishError(cause, f"the outputs could not be stored: {error}") from error
    return outputs


def check(manifest: Manifest, directory: Path, found: Found) -> Outputs:
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


def look(directory: Path) -> Found:
    """All that is below a directory, without following anything; raises PublishError (OUTPUT) for too much of it."""
    found = Found(sizes={}, strange={})
    for count, entry in enumerate(walk(directory, DEEPEST)):
        if count == MOST_ENTRIES:
            raise PublishError(Cause.OUTPUT, f"the output directory holds more than {MOST_ENTRIES} entries")
        path = os.path.relpath(entry.path, directory)
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(status.st_mode):
            found.sizes[path] = status.st_size
        elif not stat.S_ISDIR(status.st_mode):
            found.strange[path] = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "a special file"
    return found


def _read_json(directory: Path, found: Found) -> str | None:
    if JSON_OUTPUTS in found.strange:
        raise PublishError(Cause.OUTPUT, f"{JSON_OUTPUTS} is {found.strange[JSON_OUTPUTS]}, no file")
    if JSON_OUTPUTS not in found.sizes:
        return None
    descriptor = os.open(directory / JSON_OUTPUTS, _NO_FOLLOW)
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


def _move(outputs: Outputs, found: Found, source: Path, destination: Path) -> None:
    """Move the declared files, their side-cars and seed.outputs.json into a new directory, all of it on disk."""
    wanted = {path for entry in outputs.files for path in (entry.path, entry.path + SIDE_CAR)} | {JSON_OUTPUTS}
    destination.mkdir()
    directories = {destination}
    for path in sorted(wanted & found.sizes.keys()):
        target = destination / path
        target.parent.mkdir(parents=True, exist_ok=True)
        directories |= {parent for parent in target.parents if parent.is_relative_to(destination)}
        _move_file(source / path, target)
    for directory in sorted(directories, reverse=True):
        directory.chmod(0o755)
        _sync_directory(directory)


def _move_file(source: Path, target: Path) -> None:
    descriptor = os.open(source, _NO_FOLLOW)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise PublishError(Cause.OUTPUT, f"{source.name} is no file any more")
        if status.st_nlink > 1:
            _copy(descriptor, target)
            return
        os.fchmod(descriptor, 0o644)  # readable for whoever serves it
        os.fsync(descriptor)
        source.rename(target)
        moved = target.lstat()
        if (moved.st_dev, moved.st_ino) != (status.st_dev, status.st_ino):
            raise PublishError(Cause.OUTPUT, f"{source.name} changed while it was published")
    finally:
        os.close(descriptor)


def _copy(descriptor: int, target: Path) -> None:
    with os.fdopen(os.dup(descriptor), "rb") as source, target.open("xb") as copy:
        shutil.copyfileobj(source, copy, 2**20)
        copy.flush()
        os.fsync(copy.fileno())
    target.chmod(0o644)


def _make_official(prepared: Path, target: Path) -> None:
    """The one step that makes outputs visible: whoever looks sees all of them or none."""
    prepared.rename(target)
    _sync_directory(target.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

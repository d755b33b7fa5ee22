"""Where a warm container's files are on this machine.

<sandbox>/warm/<id>/           closed to everybody else
    runner/                    the runner's program, and until it has connected its socket: read-only in the container
    tmp/, volumes/             emptied by the runner after each attempt
    inputs/                    what is lent to the attempt that runs, and where the rest is mounted: read-only in the container
<outputs_root>/<job>/.<id>.partial/out    what the container knows as /swath/output, where the job has outputs to publish: each
                               attempt's output directory is moved here for as long as it runs, on its own file system.
                               Where there is nothing to publish it is <sandbox>/warm/<id>/out
<secrets>/<id>/                links to the files of the attempt that runs, in memory
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from executor.journal import Entry, Journal
from executor.places import Places
from executor.runtimes import runner
from executor.runtimes.lending import find_lent, lend
from executor.runtimes.line import NotTakenError
from executor.runtimes.port import Assignment
from executor.settings import Settings
from executor.staging import Seen, to_names
from executor.trees import DIRECTORY, remove_tree


@dataclass(frozen=True, kw_only=True, slots=True)
class Lodging:
    """The directories of one warm container."""

    id: str  # ULID
    directory: Path
    scratch: Path | None  # in the outputs' file system
    secrets: Path | None  # None: the image wants none as files
    mounted: dict[str, list[Path]]  # inputs, as long as the container lives; all others are lent
    seen: tuple[Seen, ...]  # what these were

    @classmethod
    def of(cls, id: str, assignment: Assignment, settings: Settings) -> Self:
        """Those of the container that is made for an attempt, and for others like it."""
        places, secret = assignment.places, bool(assignment.secret_files)
        lent = find_lent(assignment.inputs)
        return cls(
            id=id,
            directory=settings.sandbox / "warm" / id,
            scratch=_find_scratch(places, id),
            secrets=settings.secret_files / id if secret else None,
            mounted={name: paths for name, paths in assignment.inputs.items() if name not in lent},
            seen=tuple(one for one in assignment.seen if one.name not in lent),
        )

    @property
    def output(self) -> Path:
        """What holds the attempts' output directories."""
        return (self.scratch or self.directory) / "out"

    @property
    def tmp(self) -> Path:
        """The container's /tmp."""
        return self.directory / "tmp"

    @property
    def runner(self) -> Path:
        """What the runner needs."""
        return self.directory / "runner"

    @property
    def inputs(self) -> Path:
        """The container's inputs."""
        return self.directory / "inputs"

    @property
    def written(self) -> Sequence[Path]:
        """What the attempt that runs may fill."""
        return (self.output, self.tmp, self.directory / "volumes")

    def suits(self, assignment: Assignment) -> bool:
        """True where the attempt's inputs are mounted, or can be lent."""
        if any(assignment.inputs.get(name) != paths for name, paths in self.mounted.items()):
            return False
        if self.seen != tuple(one for one in assignment.seen if one.name in self.mounted):  # another file of that name
            return False
        others = {name: paths for name, paths in assignment.inputs.items() if name not in self.mounted}
        return find_lent(others) == others.keys()

    def make(self, journal: Journal) -> None:
        """Make them all; raises OSError."""
        if self.scratch:  # first written down, then made
            journal.begin(Entry(attempt=self.id, scratch=str(self.scratch)))
            self.scratch.mkdir(mode=0o700)
        self.directory.parent.mkdir(mode=0o700, exist_ok=True)
        own = (self.directory, self.output, self.tmp, self.runner, self.inputs)
        for made in (*own, *([self.secrets] if self.secrets else ())):
            made.mkdir()
            made.chmod(0o755)
        for name, paths in self.mounted.items():  # the engine could not make them below what is read-only
            _make_mount_points(paths, self.inputs / name)
        self.tmp.chmod(0o1777)
        shutil.copyfile(runner.__file__, self.runner / "runner.py")

    def listen(self) -> socket.socket:
        """The socket that the runner will connect to; raises OSError."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        above = os.open(self.runner, DIRECTORY)
        try:
            listener.bind(f"/proc/self/fd/{above}/socket")  # for its own path may be longer than a socket's
        finally:
            os.close(above)
        (self.runner / "socket").chmod(0o666)
        listener.listen(1)
        return listener

    def close_door(self) -> None:
        """Nobody else is to connect."""
        (self.runner / "socket").unlink()

    @contextmanager
    def hosting(self, assignment: Assignment) -> Iterator[None]:
        """The attempt's output directory, its secrets and what is lent to it are in the container meanwhile.

        Raises OSError, and NotTakenError where an input could not be lent.
        """
        own = self.output / assignment.attempt
        assignment.places.output_dir.rename(own)
        own.chmod(0o777)
        lent = assignment.inputs.keys() - self.mounted.keys()
        try:
            self._lend({name: assignment.inputs[name] for name in lent}, assignment.seen)
            for name, path in assignment.secret_files.items():
                (self.secrets or path.parent).joinpath(name).hardlink_to(path)
            yield
        finally:
            for name in lent:
                remove_tree(self.inputs / name)
            if self.secrets:
                for name in assignment.secret_files:
                    (self.secrets / name).unlink(missing_ok=True)
            with suppress(FileNotFoundError):  # the command has removed it, which whoever publishes will say
                own.rename(assignment.places.output_dir)

    def _lend(self, inputs: dict[str, list[Path]], seen: Sequence[Seen]) -> None:
        try:
            for name, paths in inputs.items():
                lend(paths, seen, self.inputs / name)
        except OSError as error:
            raise NotTakenError(f"its inputs cannot be lent: {error}") from error

    def remove(self, journal: Journal) -> None:
        """Remove them all; what cannot be removed a successor tries again."""
        if self.secrets:
            remove_tree(self.secrets)
        remove_tree(self.directory)
        if self.scratch is None or remove_tree(self.scratch):
            journal.end(self.id)


def _find_scratch(places: Places, id: str) -> Path | None:
    """Beside the tasks' directories, so that a rename leads there; None where the attempt's own directory is near enough."""
    if places.scratch is None or places.scratch.is_relative_to(places.attempt_dir):
        return None
    return places.scratch.parent.parent / f".{id}.partial"


def _make_mount_points(paths: Sequence[Path], directory: Path) -> None:
    directory.mkdir()
    for path, name in zip(paths, to_names(paths), strict=True):
        if path.is_dir():
            (directory / name).mkdir()
        else:
            (directory / name).touch()

"""A small process beside the executor that removes what a kill -9 of the executor leaves, when no successor will.

The executor forks it before it loads anything large, and holds the only write end of a pipe: end of file means that the
executor is dead. It is a process of its own session and a child of nobody, so that what ends the executor's process group
does not end it. An agent whose launcher kills by cgroup ends it with everything else; then the next executor with our label
removes the containers (executor/orphans.py).
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from executor.orphans import remove_own
from executor.processes import read_stat
from executor.settings import Settings
from executor.trees import remove_tree

log = logging.getLogger(__name__)

LOG = "guardian.log"  # in the executor's sandbox, where there was something to say
TITLE = b"swath-guardian"  # instead of "python -m executor": who ends executors by name spares it

_CONTAINERS, _GOODBYE = b"c", b"."
# An engine may still create what it was asked for by an executor that is dead, and a fork may be on its way to its exec.
_LOOKS_AFTER_S = (0.0, 0.3)
_LOOKS_AT_ENGINE_AFTER_S = (*_LOOKS_AFTER_S, 2.0, 5.0)
_ENGINE_S = 600.0  # for an engine that does not answer
_ENGINE_RETRY_S = 2.0

_PR_SET_NAME = 15
_ARGUMENTS = slice(45, 47)  # of /proc/<pid>/stat after the name: where the words of the command line begin and end


@dataclass(frozen=True, kw_only=True, slots=True)
class Charge:
    """Whose leavings they are."""

    label: str  # the executor's
    run: str  # and which of its runs: another one's are not touched
    sandbox: Path
    secret_files: Path  # in memory, which would keep them until the machine is started anew

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those of the executor with these settings."""
        here = {"sandbox": settings.sandbox, "secret_files": settings.secret_files}
        return cls(label=settings.label, run=settings.run, **here)


class Guard:
    """The executor's end of the pipe."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._told = False

    def note_containers(self) -> None:
        """Say that there may be containers; before the first is made."""
        if not self._told:
            self._told = True
            self._say(_CONTAINERS)

    def close(self) -> None:
        """Say that the executor ends as it should; the guardian looks once more, and ends."""
        self._say(_GOODBYE)
        os.close(self._pipe)

    def _say(self, word: bytes) -> None:
        with suppress(BrokenPipeError):  # without a guardian the next executor removes what is left
            os.write(self._pipe, word)


def start_guardian(charge: Charge) -> Guard:
    """Fork the guardian; before the first thread. Raises OSError."""
    ours, pipe = os.pipe()  # closed by exec: no command holds it
    between = os.fork()
    if between == 0:
        _found(charge, ours)
    os.close(ours)
    # Nobody's child: the executor takes the children that it does not know for strays of its attempts.
    os.waitpid(between, 0)
    return Guard(pipe)


def _found(charge: Charge, pipe: int) -> None:
    """In the child: a session of its own, and in that the guardian, which leads nothing. Never returns."""
    try:
        os.setsid()
        if os.fork() == 0:
            _settle(charge.sandbox, pipe)
            _guard(charge, pipe)
    except BaseException:
        log.exception("the guardian")
    finally:
        os._exit(0)


def _settle(sandbox: Path, pipe: int) -> None:
    """Hold nothing that is somebody else's: no file, no socket, no directory, no terminal."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # it ends with the executor, and after it
        signal.signal(number, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    os.closerange(3, pipe)
    os.closerange(pipe + 1, _most_files())
    os.chdir("/")
    _rename()
    handler = logging.FileHandler(sandbox / LOG, delay=True)
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", handlers=[handler], force=True
    )


def _most_files() -> int:
    return max(int(name) for name in os.listdir("/proc/self/fd")) + 1  # noqa: PTH208 - Path objects for numbers


def _rename() -> None:
    """Overwrite the words that `ps` shows."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, TITLE, 0, 0, 0)
    begin, end = (int(field) for field in read_stat(os.getpid())[_ARGUMENTS])
    if 0 < begin < end:
        ctypes.memset(begin, 0, end - begin)
        ctypes.memmove(begin, TITLE, min(len(TITLE), end - begin - 1))


def _guard(charge: Charge, pipe: int) -> None:
    said = b""
    while word := os.read(pipe, 16):
        said += word
    for _ in _pauses(said):
        remove_own(charge.run, charge.sandbox)
        remove_tree(charge.secret_files)
        if _CONTAINERS in said:
            _remove_containers(charge)


def _pauses(said: bytes) -> Iterator[None]:
    """When to look: once after a goodbye, else again and again for a while."""
    looks = _LOOKS_AT_ENGINE_AFTER_S if _CONTAINERS in said else _LOOKS_AFTER_S
    for pause_s in looks[:1] if _GOODBYE in said else looks:
        time.sleep(pause_s)
        yield


def _remove_containers(charge: Charge) -> None:
    """Only now is the SDK loaded."""
    from executor.runtimes.engine import Engine, EngineError
    from executor.runtimes.leftovers import remove_containers

    engine, deadline = Engine(), time.monotonic() + _ENGINE_S
    while True:
        try:
            remove_containers(engine, charge.label, lambda run: run == charge.run)
            return
        except EngineError as error:
            log.warning("containers may be left: %s", error)
            if time.monotonic() > deadline:
                return
            time.sleep(_ENGINE_RETRY_S)

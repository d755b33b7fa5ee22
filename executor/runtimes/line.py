"""The words between the executor and the first process of a warm container (ADR 26).

A word is one packet of JSON on a socket that nobody else can reach. What comes out of a container is somebody else's: it is
short, read strictly, and one wrong word is the container's last.

to it     {"attempt", "argv", "environment"} and two files, for stdout and stderr
          {"attempt", "signal"}              of which SIGKILL is for all that the attempt has started
from it   {"ready", "root"}                  once
          {"attempt", "started"}             with what the container has used before
          {"attempt", "refused"}             with the errno
          {"attempt", "ended", "oom", "clean", "usage"}   when nothing of it lives on; not clean: something is left all the same
"""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from executor.runtimes.runner import MOST
from executor.staging import StartError
from swath.domain.retries import Cause
from swath.domain.strict_json import read_strictly

_ANSWER_S = 60.0  # for a command to be started: the machine may be busy
_LONGEST = 2048  # bytes of a word from the container
_USED = frozenset({"cpu_s", "max_mem", "read_mib", "written_mib", "received_mib", "sent_mib"})
_STRANGE = "the container has said something strange"


class WarmError(Exception):
    """The container cannot be had, or not any more."""


class NotTakenError(WarmError):
    """The container is of no use for this attempt, of which nothing has begun."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How an attempt in a warm container has ended."""

    exit_code: int
    oom: bool  # the kernel killed something of it for want of memory
    clean: bool  # nothing of it is left
    usage: Mapping[str, float]


class Line:
    """The executor's end of the socket. One thread has attempts run; signals come from any."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._connection.settimeout(_ANSWER_S)

    def greet(self) -> None:
        """Hear that the runner is there; raises WarmError."""
        if self._hear(None).get("root") is not False:
            raise WarmError("its image runs as root, who could leave something behind anywhere")

    def begin(
        self, attempt: str, argv: Sequence[str], environment: Mapping[str, str], files: Sequence[int]
    ) -> Mapping[str, float]:
        """Start a command; what the container has used before.

        Raises NotTakenError, StartError where the command cannot be started, and WarmError for a container that has failed.
        """
        word = json.dumps({"attempt": attempt, "argv": argv, "environment": environment}).encode()
        if len(word) > MOST:
            raise NotTakenError(f"{len(word)} bytes are too much for a word")
        self._connection.settimeout(_ANSWER_S)
        try:
            socket.send_fds(self._connection, [word], list(files))
        except OSError as error:
            raise NotTakenError(f"the container has gone: {error}") from error
        said = self._hear(attempt)
        if "refused" in said:
            raise _to_start_error(said["refused"])
        return _to_usage(said.get("started"))

    def await_end(self, attempt: str) -> Ending:
        """Wait until a command has ended, and everything that it started; raises WarmError."""
        self._connection.settimeout(None)
        said = self._hear(attempt)
        code, oom, clean = said.get("ended"), said.get("oom"), said.get("clean")
        if type(code) is not int or not 0 <= code <= 255 or type(oom) is not bool or type(clean) is not bool:
            raise WarmError(_STRANGE)
        return Ending(exit_code=code, oom=oom, clean=clean, usage=_to_usage(said.get("usage")))

    def signal(self, attempt: str, number: signal.Signals) -> None:
        """Pass it on; who has ended meanwhile hears nothing of it."""
        with suppress(OSError):  # whoever waits for the end hears it
            self._connection.send(json.dumps({"attempt": attempt, "signal": int(number)}).encode())

    def hang_up(self) -> None:
        """The runner ends by that, and so does who waits for its word."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Once nobody waits any more."""
        self._connection.close()

    def _hear(self, attempt: str | None) -> dict[str, Any]:
        """The next word, which has to be about that attempt; files that come with it are thrown away."""
        try:
            data, _, flags, _ = self._connection.recvmsg(_LONGEST)
            said = read_strictly(data) if data and not flags & socket.MSG_TRUNC else None
        except (OSError, ValueError, RecursionError) as error:
            raise WarmError(f"the container's runner does not answer: {error}") from error
        if not data:
            raise WarmError("the container has ended")
        if not isinstance(said, dict) or said.get("attempt") != attempt:
            raise WarmError(_STRANGE)
        return said


def _to_usage(said: object) -> Mapping[str, float]:
    """Figures by name; raises WarmError for anything else."""
    if not isinstance(said, dict) or not said.keys() <= _USED or not all(map(_is_amount, said.values())):
        raise WarmError(_STRANGE)
    return {name: float(value) for name, value in said.items()}


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _to_start_error(said: object) -> StartError:
    """Whose fault it is that a command does not start."""
    number = said if isinstance(said, int) else 0
    if number in (0, errno.E2BIG):
        return StartError(Cause.SPEC, "the command cannot be started: a parameter is too long, or holds a zero byte")
    cause = Cause.AGENT if number in (errno.EAGAIN, errno.ENOMEM) else Cause.IMAGE
    return StartError(cause, f"the command cannot be started: {os.strerror(number)}")

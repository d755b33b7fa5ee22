"""Ports of the loopback, reserved so that two clusters which start at once do not get the same ones.

A port that can be bound now may be gone when the program binds it a second later, and then this cluster's scheduler would talk
to the other's master. So each port has a lock file, held for as long as the supervisor lives: the descriptors go through exec.
This keeps one user's clusters apart; against another user's program on our port there is the credential of `local`, and no
command sends the token while the supervisor is gone (options.py).
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path

from swath.domain.errors import ConflictError

HOST = "127.0.0.1"
LARGEST = 65535
_TRIES = 100


def is_free(port: int) -> bool:
    """True when a server could listen on the port of the loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def find_problem(first: int, count: int = 1) -> str | None:
    """Why nobody could listen on `count` ports from `first` on, whoever listens there now; None where that may be."""
    last = first + count - 1
    if 0 < first <= last <= LARGEST:
        return None
    return f"is no port: they are 1 to {LARGEST}" if count == 1 else f"leaves no {count} ports: the last is {LARGEST}"


class PortLocks:
    """The ports that this process, or who inherits `descriptors`, holds."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = _open_own(directory or Path(tempfile.gettempdir()) / f"swath-ports-{os.getuid()}")
        self.descriptors: list[int] = []

    def take(self, first: int, count: int = 1) -> bool:
        """Reserve `count` neighbouring ports; False, and nothing reserved, where one of them is taken."""
        taken: list[int] = []
        for port in range(first, first + count):
            descriptor = self._lock(port) if find_problem(port) is None else None
            if descriptor is None:
                close(taken)
                return False
            taken.append(descriptor)
        self.descriptors += taken
        return True

    def take_any(self, count: int = 1) -> int:
        """Reserve `count` neighbouring ports wherever they are; returns the first. Raises OSError where there are none."""
        for _ in range(_TRIES):
            with socket.socket() as probe:
                probe.bind((HOST, 0))
                first = int(probe.getsockname()[1])
            if self.take(first, count):
                return first
        raise OSError("no free ports")

    def release(self) -> None:
        """Let go of what this process holds; who has inherited the descriptors holds on."""
        close(self.descriptors)
        self.descriptors = []

    def _lock(self, port: int) -> int | None:
        """The descriptor that holds the port; None where it is reserved or in use."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(str(port), flags, 0o600, dir_fd=self._directory)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if is_free(port):
            return descriptor
        os.close(descriptor)
        return None


def _open_own(path: Path) -> int:
    """A directory that nobody else can write to, made where there is none. Raises ConflictError where it is another's.

    In /tmp anybody may have made it, or a link of its name, before us.
    """
    path.mkdir(mode=0o700, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ConflictError(f"{path} is no directory: remove it, or set TMPDIR to a directory of your own") from error
    status = os.fstat(descriptor)
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        os.close(descriptor)
        raise ConflictError(f"{path} is open to others or theirs: remove it, or set TMPDIR to a directory of your own")
    return descriptor


def close(descriptors: list[int]) -> None:
    """Close them all."""
    for descriptor in descriptors:
        os.close(descriptor)

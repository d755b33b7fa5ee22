"""Ports of the loopback, reserved so that two clusters which start at once do not get the same ones. Standard library only.

A port that can be bound now may be gone when the program binds it a second later, and then this cluster's scheduler would talk
to the other's master. So each port has a lock file, held for as long as the supervisor lives: the descriptors go through exec.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path

HOST = "127.0.0.1"
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


class PortLocks:
    """The ports that this process, or who inherits `descriptors`, holds."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory or Path(tempfile.gettempdir()) / f"swath-ports-{os.getuid()}"
        self._directory.mkdir(mode=0o700, exist_ok=True)
        self.descriptors: list[int] = []

    def take(self, first: int, count: int = 1) -> bool:
        """Reserve `count` neighbouring ports; False, and nothing reserved, where one of them is taken."""
        taken: list[int] = []
        for port in range(first, first + count):
            descriptor = self._lock(port) if 0 < port <= 65535 else None
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
        descriptor = os.open(self._directory / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if is_free(port):
            return descriptor
        os.close(descriptor)
        return None


def close(descriptors: list[int]) -> None:
    """Close them all."""
    for descriptor in descriptors:
        os.close(descriptor)

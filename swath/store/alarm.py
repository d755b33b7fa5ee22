"""Sleep on file descriptors, until one is ready, another thread calls, or time is up."""

from __future__ import annotations

import selectors
import socket
from contextlib import suppress


class Alarm:
    """One thread sleeps; any thread, and a signal's handler, may wake it."""

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._receiver, selectors.EVENT_READ)

    def watch(self, descriptor: int) -> None:
        """Wake up when `descriptor` can be read."""
        self._selector.register(descriptor, selectors.EVENT_READ)

    def forget(self, descriptor: int) -> None:
        """Watch `descriptor` no more; it may be closed already."""
        self._selector.unregister(descriptor)

    def sleep(self, seconds: float) -> tuple[bool, bool]:
        """(whether `wake` was called, whether a watched descriptor is ready) within `seconds`."""
        ready = {key.fd for key, _ in self._selector.select(seconds)}
        was_woken = self._receiver.fileno() in ready
        if was_woken:
            self._receiver.recv(65536)  # all calls at once: they mean the same
        return was_woken, bool(ready - {self._receiver.fileno()})

    def wake(self) -> None:
        """End the sleep of the other thread, or the next one."""
        with suppress(BlockingIOError):  # thousands of calls are waiting already
            self._sender.send(b"w")

    def close(self) -> None:
        """Give the descriptors back."""
        self._selector.close()
        self._receiver.close()
        self._sender.close()

"""How long a server may take.

A time-out of a socket counts from byte to byte, and a hostile server sends one now and then: what bounds the wait is a
deadline that only progress moves.
"""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

HEAD_S = 60.0  # for an answer's head, redirects and connections included
LEAST, PERIOD_S = 2**17, 60.0  # so many bytes of a body have to come in so many seconds
_SILENCE_S = 30.0  # without a byte


class Pace:
    """One request's patience, which begins now."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends_at_s = clock() + HEAD_S
        self._came = 0
        self.what = f"no answer within {HEAD_S:g} s"

    def left_s(self, most_s: float = _SILENCE_S) -> float:
        """How long the next step may take, `most_s` at most; raises TimeoutError where it may not any more."""
        left_s = self._ends_at_s - self._clock()
        if left_s <= 0:
            raise TimeoutError(self.what)
        return min(left_s, most_s)

    def begin_body(self) -> None:
        """The head is there."""
        self.what = f"less than {LEAST // 1024} KiB in {PERIOD_S:g} s"
        self._renew()

    def note(self, size: int) -> None:
        """So many bytes of the body have come."""
        self._came += size
        if self._came >= LEAST:
            self._renew()

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Meanwhile it is not the server that is waited for."""
        begun_s = self._clock()
        try:
            yield
        finally:
            self._ends_at_s += self._clock() - begun_s

    def _renew(self) -> None:
        self._came, self._ends_at_s = 0, self._clock() + PERIOD_S


class PacedSocket:
    """As much of a socket as http.client reads an answer from."""

    def __init__(self, sock: socket.socket, pace: Pace) -> None:
        self._sock = sock
        self._pace = pace

    def makefile(self, mode: str) -> io.BufferedReader:
        """Its bytes."""
        return io.BufferedReader(_Reader(self._sock, self._pace))


class _Reader(io.RawIOBase):
    def __init__(self, sock: socket.socket, pace: Pace) -> None:
        self._sock = sock
        self._pace = pace
        self._raw = sock.makefile("rb", buffering=0)  # keeps the socket open until it is closed itself

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._pace.left_s()
        self._sock.settimeout(left_s)
        try:
            return self._raw.readinto(buffer)
        except TimeoutError:
            raise TimeoutError(self._pace.what if left_s < _SILENCE_S else f"silent for {_SILENCE_S:g} s") from None

    def close(self) -> None:
        self._raw.close()
        super().close()

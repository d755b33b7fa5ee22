"""What happened, in order: a hash of everything, and the last lines for people."""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from typing import TextIO


class Trace:
    """Two runs with the same hash did the same things at the same times."""

    def __init__(self, *, kept: int = 60, out: TextIO | None = None) -> None:
        self._hash = blake2b(digest_size=16)
        self._out = out
        self.last: deque[str] = deque(maxlen=kept)
        self.lines = 0

    def note(self, now_us: int, text: str) -> None:
        """Add a line; it begins with the microseconds."""
        line = f"{now_us:11} {text}"
        self._hash.update(line.encode())
        self.last.append(line)
        self.lines += 1
        if self._out is not None:
            self._out.write(f"{line}\n")

    @property
    def digest(self) -> str:
        """The hash so far."""
        return self._hash.hexdigest()

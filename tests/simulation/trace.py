"""What happened, in order: a hash of everything, and the last lines for people."""

from __future__ import annotations

from hashlib import blake2b
from typing import TextIO

AT_ONCE = 512  # lines that are hashed together: one by one costs more than it needs to


class Trace:
    """Two runs with the same hash did the same things at the same times."""

    def __init__(self, *, kept: int = 60, out: TextIO | None = None) -> None:
        self._hash = blake2b(digest_size=16)
        self._out = out
        self._kept = kept
        self._last: list[str] = []
        self._lines: list[str] = []  # not hashed yet

    def note(self, now_us: int, text: str) -> None:
        """Add a line; it begins with the microseconds."""
        self._lines.append(f"{now_us:11} {text}")
        if len(self._lines) >= AT_ONCE:
            self._settle()

    def _settle(self) -> None:
        lines, self._lines = self._lines, []
        self._hash.update("".join(lines).encode())
        self._last = (self._last + lines)[-self._kept :]
        if self._out is not None:
            self._out.writelines(f"{line}\n" for line in lines)

    @property
    def last(self) -> list[str]:
        """The last lines."""
        self._settle()
        return self._last

    @property
    def digest(self) -> str:
        """The hash so far."""
        self._settle()
        return self._hash.hexdigest()

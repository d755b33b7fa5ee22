"""How long news is gathered before somebody acts on it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

GROWTH = 1.25  # from one pause to the next
QUIET_S = 1.0  # without news; then the first pause is the shortest again


@dataclass(kw_only=True, slots=True)
class Pace:
    """Short pauses at first, so that what a short job does is told at once; long ones where news goes on and on."""

    first_s: float
    longest_s: float
    _pause_s: float = 0.0
    _until_s: float = float("-inf")  # the end of the last pause

    def next_s(self, now_s: float) -> float:
        """Seconds to gather for, when there is news at `now_s` on any steady clock."""
        is_quiet = now_s - self._until_s > QUIET_S
        self._pause_s = self.first_s if is_quiet else min(self.longest_s, self._pause_s * GROWTH)
        self._until_s = now_s + self._pause_s
        return self._pause_s

"""How long to wait before the next SUBSCRIBE (M10)."""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST_S = 0.1
LONGEST_S = 15.0  # Mesos' own constant for registration back-off


class Backoff:
    """Exponential, with jitter: the n-th delay lies between half of `first_s * 2**n` and all of it, at most `longest_s`."""

    def __init__(
        self, *, first_s: float = FIRST_S, longest_s: float = LONGEST_S, random: Callable[[], float] = random.random
    ) -> None:
        self._first_s = min(first_s, longest_s)
        self._longest_s = longest_s
        self._random = random  # uniform in [0, 1)
        self._next_s = self._first_s

    def draw_s(self) -> float:
        """The next delay in seconds."""
        ceiling, self._next_s = self._next_s, min(self._longest_s, self._next_s * 2)
        return ceiling * (0.5 + 0.5 * self._random())

    def draw_longest_s(self) -> float:
        """A delay as if everything had failed for long: for what must not be fought. Jitter all the same."""
        return self._longest_s * (0.5 + 0.5 * self._random())

    def reset(self) -> None:
        """Begin anew, after a subscription that lasted."""
        self._next_s = self._first_s

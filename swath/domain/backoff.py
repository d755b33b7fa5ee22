"""The truncated exponential back-off of everything that is tried again."""

from __future__ import annotations

_ENOUGH = 62  # doublings: beyond them only the limit counts, and a float overflows at 1,024


def back_off_s(first_s: float, repeats: int, *, longest_s: float) -> float:
    """Seconds to wait after `repeats` repetitions: `first_s` after none, then twice as long each time, at most `longest_s`."""
    return float(min(longest_s, first_s * 2.0 ** min(repeats, _ENOUGH)))

"""How long news is gathered."""

from __future__ import annotations

from itertools import pairwise

from api.pace import QUIET_S, Pace


def pauses(pace: Pace, count: int, *, between_s: float = 0.0) -> list[float]:
    """One after the other, with so much time between the end of one and the next piece of news."""
    found, now_s = [], 0.0
    for _ in range(count):
        found.append(pace.next_s(now_s))
        now_s += found[-1] + between_s
    return found


def test_the_first_pause_is_short_and_the_last_ones_are_long() -> None:
    """News that goes on is gathered longer and longer, up to a bound."""
    found = pauses(Pace(first_s=0.03, longest_s=0.2), 30, between_s=0.1)
    assert (found[0], found[-1]) == (0.03, 0.2)
    assert all(before <= after for before, after in pairwise(found))


def test_what_a_short_job_does_is_told_at_once() -> None:
    """The handful of events that it has wait for a tenth of a second at most."""
    assert max(pauses(Pace(first_s=0.03, longest_s=0.2), 6)) < 0.1


def test_after_a_silence_it_begins_anew() -> None:
    """However much there was before it."""
    assert pauses(Pace(first_s=0.03, longest_s=0.2), 30, between_s=QUIET_S + 0.01) == [0.03] * 30

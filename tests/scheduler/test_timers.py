"""Timers: told once, at the time set last, and forgotten when they are cleared."""

from __future__ import annotations

from datetime import timedelta

from scheduler.core.timers import Kind, Timers
from tests.scheduler.world import NOON


def test_a_timer_set_again_is_told_once_and_at_the_later_time():
    """Setting replaces."""
    timers = Timers()
    for seconds in (1, 5):
        timers.set(Kind.RETRY, NOON + timedelta(seconds=seconds), ("j1", 0))
    assert timers.take_due(NOON + timedelta(seconds=4), 100) == []
    assert timers.take_due(NOON + timedelta(seconds=5), 100) == [(Kind.RETRY, ("j1", 0))]
    assert timers.next_at is None


def test_cleared_timers_do_not_pile_up():
    """Thousands of jobs end years before their deadlines; those that are still set are told in order."""
    timers = Timers()
    for number in range(10_000):
        timers.set(Kind.DEADLINE, NOON + timedelta(days=3650, seconds=-number), (f"j{number}", 0))
        if number >= 10:
            timers.clear(Kind.DEADLINE, (f"j{number}", 0))
    assert len(timers) <= 2 * 10 + 64 + 1
    due = timers.take_due(NOON + timedelta(days=3650), 100)
    assert [key for _, (key, _) in due] == [f"j{number}" for number in range(9, -1, -1)]


def test_no_more_is_told_at_once_than_was_asked_for():
    """The rest is due still, and told the next time."""
    timers = Timers()
    for number in range(5):
        timers.set(Kind.DOUBT, NOON, (f"a{number}", 0))
    assert [len(timers.take_due(NOON, 2)) for _ in range(4)] == [2, 2, 1, 0]

"""The collector is told to look less often, and the offers of many agents cost less for it."""

from __future__ import annotations

import gc

from scheduler import collector


def test_offers_of_thousands_of_agents_are_not_looked_through_again_and_again():
    """A hundred thousand containers are made with at most two collections of the young ones."""
    before = gc.get_threshold()
    try:
        collector.relax()
        gc.collect()
        begun = [generation["collections"] for generation in gc.get_stats()]
        kept = [{"id": {"value": str(number)}} for number in range(50_000)]
        now = [generation["collections"] for generation in gc.get_stats()]
        assert len(kept) == 50_000
        assert sum(now) - sum(begun) <= 3
    finally:
        gc.set_threshold(*before)

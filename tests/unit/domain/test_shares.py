"""Dominant shares, and the decayed ones of the past against a plain numeric integration."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.domain.resources import Resources
from swath.domain.shares import Past, dominant_share
from tests.fixtures import properties  # noqa: F401 (sets the profile)

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
TOTAL = Resources(cpus_m=10_000, mem=1000, disk=100, custom=(("licences", 4000),))


def after(seconds: float) -> datetime:
    """So long after noon."""
    return NOON + timedelta(seconds=seconds)


def integrate(steps: list[tuple[float, float]], half_life_s: float, slices: int = 4000) -> float:
    """The past share at the end of (seconds, share) steps, by the middle of many thin slices of the formula's integral."""
    end, begin, total = sum(seconds for seconds, _ in steps), 0.0, 0.0
    for seconds, share in steps:
        width = seconds / slices
        for number in range(slices):
            age = end - (begin + (number + 0.5) * width)
            total += share * 0.5 ** (age / half_life_s) * width
        begin += seconds
    return total * log(2) / half_life_s


def follow(steps: list[tuple[float, float]], half_life_s: float) -> float:
    """The same by one step a change."""
    at, value = 0.0, 0.0
    for seconds, share in steps:
        past = Past(value=value, share=share, at=after(at), half_life_s=half_life_s)
        at += seconds
        value = past.value_at(after(at))
    return value


def test_the_dominant_share_is_the_largest_part_of_any_resource():
    """Of memory here, though more of other things is held in numbers; custom resources count, too."""
    assert dominant_share(Resources(cpus_m=1000, mem=300, disk=10), TOTAL) == 0.3
    assert dominant_share(Resources(cpus_m=1000, custom=(("licences", 3000),)), TOTAL) == 0.75
    assert dominant_share(Resources(), TOTAL) == dominant_share(Resources(), Resources()) == 0.0


def test_what_is_held_of_an_agent_that_has_gone_is_never_more_than_all():
    """Its attempts are not known to have ended: more than everything counts as all; of what nobody else has, nothing counts."""
    assert dominant_share(Resources(mem=5000), TOTAL) == 1.0
    assert dominant_share(Resources(cpus_m=1000, gpus=1), TOTAL) == 0.1


def test_a_half_life_halves_what_is_remembered():
    """Nothing is held any more: after one half-life half is left, after two a quarter."""
    past = Past(value=0.8, share=0.0, at=NOON, half_life_s=3600)

    assert past.value_at(after(3600)) == pytest.approx(0.4)
    assert past.value_at(after(7200)) == pytest.approx(0.2)


def test_a_constant_share_is_approached_from_below():
    """Half of it after one half-life, all but a thousandth after ten: the past share is a mean."""
    past = Past(value=0.0, share=0.6, at=NOON, half_life_s=3600)

    assert past.value_at(after(3600)) == pytest.approx(0.3)
    assert past.value_at(after(36_000)) == pytest.approx(0.6, rel=1e-3)


def test_a_clock_that_was_set_back_changes_nothing():
    """No time has passed, and nothing raises."""
    assert Past(value=0.4, share=1.0, at=NOON).value_at(after(-1e6)) == 0.4


@given(st.lists(st.tuples(st.floats(1, 500_000), st.floats(0, 1)), min_size=1, max_size=6), st.floats(600, 200_000))
def test_one_step_a_change_is_the_exact_integral(steps, half_life_s):
    """Whatever was held for however long, the steps agree with a plain numeric integration of the formula."""
    assert follow(steps, half_life_s) == pytest.approx(integrate(steps, half_life_s), rel=2e-3, abs=1e-6)


@given(st.lists(st.tuples(st.floats(0, 500_000), st.floats(0, 1)), min_size=1, max_size=6))
def test_looking_in_between_changes_nothing(steps):
    """A step that is taken in many small ones ends where the one does, and never leaves 0 to 1."""
    divided = [(seconds / 7, share) for seconds, share in steps for _ in range(7)]

    assert follow(divided, 86_400) == pytest.approx(follow(steps, 86_400), abs=1e-9)
    assert 0 <= follow(steps, 86_400) <= 1

"""How long what runs is expected to run on."""

from __future__ import annotations

import pytest

from swath.domain.duration import left_s


@pytest.mark.parametrize(("age_s", "left"), [(0, 60), (45, 15), (60, 0), (61, 1), (600, 540)])
def test_an_attempt_ends_as_expected_and_an_overdue_one_after_as_long_again(age_s, left):
    """Nothing jumps where it becomes overdue."""
    assert left_s(60, age_s) == left

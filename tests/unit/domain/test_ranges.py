"""Sets of indices, taken from each other range by range."""

from hypothesis import given
from hypothesis import strategies as st

from swath.domain.ranges import Ranges

SETS = st.sets(st.integers(0, 40))


@given(whole=SETS, gone=SETS)
def test_what_is_taken_away_is_gone_and_nothing_else(whole, gone):
    """The difference of two sets of ranges is the difference of the sets, as the same ranges that adding it up makes."""
    left = Ranges().add(whole).minus(Ranges().add(gone))

    assert left == Ranges().add(whole - gone)


def test_a_million_less_a_million_costs_two_comparisons():
    """Ranges are compared, never their indices."""
    assert Ranges.of(10**9).minus(Ranges(((5, 10**9),))) == Ranges.of(5)

"""Ranges against Python's own sets."""

from hypothesis import given
from hypothesis import strategies as st

from swath.domain.ranges import Ranges

INDICES = st.sets(st.integers(0, 60))


@given(INDICES, INDICES)
def test_adding_and_removing_is_what_sets_do(first, second):
    """The same members, in order, and the canonical form: equal sets are equal values."""
    assert list(Ranges().add(first).add(second)) == sorted(first | second)
    assert Ranges().add(first | second) == Ranges().add(second).add(first)
    assert list(Ranges().add(first).remove(second)) == sorted(first - second)
    assert Ranges().add(first).remove(second) == Ranges().add(first - second)


@given(INDICES, INDICES, INDICES)
def test_sets_of_ranges_combine_as_sets_do(first, second, third):
    """Union, intersection and difference, range by range, and in the canonical form."""
    one, two, three = (Ranges().add(indices) for indices in (first, second, third))
    assert one.union(two, three) == Ranges().add(first | second | third)
    assert one.intersection(two) == Ranges().add(first & second)
    assert one.minus(two) == Ranges().add(first - second)


@given(INDICES, st.integers(0, 70))
def test_taking_gives_the_lowest_and_leaves_the_rest(indices, count):
    """What is taken and what stays are the whole set again."""
    taken, rest = Ranges().add(indices).take(count)
    assert taken == sorted(indices)[:count]
    assert list(rest) == sorted(indices)[count:]


@given(INDICES, st.integers(-1, 61), st.integers(1, 10))
def test_a_page_continues_after_its_index(indices, index, limit):
    """Keyset paging: nothing is skipped and nothing is given twice."""
    assert Ranges().add(indices).after(index, limit) == sorted(i for i in indices if i > index)[:limit]


@given(INDICES, st.integers(0, 61))
def test_membership_count_and_document(indices, index):
    """`in`, `count` and the stored form agree with the set."""
    ranges = Ranges().add(indices)
    assert (index in ranges) == (index in indices)
    assert ranges.count == len(indices)
    assert Ranges.from_document(ranges.to_document()) == ranges


def test_a_million_indices_are_one_pair():
    """Compact whatever the length."""
    assert Ranges.of(1_000_000).to_document() == [[0, 1_000_000]]

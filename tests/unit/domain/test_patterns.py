"""Patterns mean what Python's mean, and cost what their length says."""

import re
import time
import warnings
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.domain.patterns import LARGEST, LONGEST, Pattern, PatternError

atoms = st.sampled_from(
    ["a", "b", "-", ".", r"\d", r"\W", r"\.", "[ab]", "[^a]", "[a-c1]", "[]a]", "[-a]", r"[\d.]", "[a-]"]
)
quantifiers = st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{1,}", "{0,2}", "{0}", "+?"])
patterns = st.recursive(
    st.tuples(atoms, quantifiers).map("".join),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
        st.tuples(inner, quantifiers).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
    ),
    max_leaves=6,
)


@given(patterns, st.lists(st.text("ab1.-]x", max_size=6), max_size=5))
def test_a_pattern_matches_what_pythons_engine_does(text, values):
    """Whatever is put together from what is known."""
    if len(text) > LONGEST:
        return
    pattern = Pattern(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        expected = [re.fullmatch(text, value) is not None for value in values]
    assert [pattern.matches(value) for value in values] == expected


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ("node-[0-9]+", "node-17", "node-17a"),
        ("^eu-(west|north)$", "eu-north", "eu-northern"),
        (r"r\d{2,3}", "r123", "r1"),
        ("", "", "x"),
        ("a|", "", "b"),
        ("[^/]+/é", "x/é", "x/e"),
    ],
)
def test_a_pattern_describes_the_whole_value(text, good, bad):
    """With or without ^ and $."""
    assert Pattern(text).matches(good)
    assert not Pattern(text).matches(bad)


@pytest.mark.parametrize("text", ["(a+)+b", "(a|a)*b", "(a|aa)+b", "(.*)*x", "a*" * 30 + "b", "(a?){30}a{30}b"])
def test_a_pattern_that_stops_others_costs_this_one_nothing(text):
    """Ten thousand values within seconds, where Python's engine would need years for one."""
    pattern = Pattern(text)
    begun = time.process_time()
    assert not any(pattern.matches("a" * 60 + str(number)) for number in range(10_000))
    assert time.process_time() - begun < 5


def test_values_of_every_kind_do_not_fill_the_memory():
    """A pattern that would need 2^12 states remembers few of them, and is right all the same."""
    pattern = Pattern("[ab]*a[ab]{12}")
    for number in range(5000):
        value = f"{number:016b}".replace("0", "a").replace("1", "b")
        assert pattern.matches(value) is (value[-13] == "a")
    assert len(pattern._states) < 1000


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a(b", "a group is not closed"),
        ("a)b", "closes nothing at character 2"),
        ("[ab", "ends too early"),
        ("*a", "makes no sense at character 1"),
        ("a**", "makes no sense at character 3"),
        ("a^b", "makes no sense at character 2"),
        ("a{x}", "begins no count"),
        ("a{5,2}", "ends before it begins"),
        ("[z-a]", "holds nothing"),
        (r"(a)\1", "is not known"),
        ("(?=a)", "makes no sense"),
        ("\\", "ends too early"),
        ("a" * (LONGEST + 1), "too long"),
        ("(a{50}){50}", "too large"),
        ("(" * 30 + "a" + ")" * 30, "too deep"),
        ("((((a{9}){9}){9}){9}){9}", "too large"),
    ],
)
def test_what_is_no_pattern_is_refused_with_the_place(text, complaint):
    """In words that a user understands."""
    with pytest.raises(PatternError, match=re.escape(complaint)):
        Pattern(text)


@given(st.text("ab()[]{}|*+?.^$\\-,0123d", max_size=LONGEST))
def test_any_text_is_a_pattern_or_is_refused(text):
    """With one error and no other; what is taken is of a bounded size."""
    with suppress(PatternError):
        assert len(Pattern(text)._steps) <= LARGEST

"""JSON from outside: what the standard allows, and nothing that another reader would choke on."""

from __future__ import annotations

import pytest

from swath.domain.strict_json import DEEPEST, read_strictly


def nested(levels: int, open_: str = "[", close: str = "]") -> str:
    return open_ * levels + close * levels


@pytest.mark.parametrize("encode", [str, str.encode, lambda text: text.encode("utf-16")])
def test_a_hundred_levels_are_read_and_one_more_is_not(encode):
    """Whatever form the text comes in."""
    assert read_strictly(encode(nested(DEEPEST)))
    with pytest.raises(ValueError, match="levels"):
        read_strictly(encode(nested(DEEPEST + 1)))


def test_objects_count_as_levels_as_arrays_do():
    """`{"a":[{"a":[...` is as deep as it looks."""
    assert read_strictly(nested(DEEPEST // 2, '{"a":[', "]}"))
    with pytest.raises(ValueError, match="levels"):
        read_strictly(nested(DEEPEST // 2 + 1, '{"a":[', "]}"))


def test_many_brackets_side_by_side_are_not_deep():
    """A list of a thousand objects, and a text full of brackets."""
    assert len(read_strictly("[" + ",".join(["{}"] * 1000) + "]")) == 1000
    assert read_strictly('"' + "[" * 1000 + '"') == "[" * 1000


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "-Infinity", "1e400", "{", "", nested(100_000)])
def test_what_is_no_json_is_a_value_error(text: str):
    """Never a RecursionError, never a number that is none."""
    with pytest.raises(ValueError):
        read_strictly(text)

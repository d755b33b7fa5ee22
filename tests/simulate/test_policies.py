"""Policies in words and documents."""

from __future__ import annotations

from typing import Any

import pytest

from swath.domain.errors import InvalidInputError
from swath.matching.model import Policy
from swath.matching.policies import change, differences, parse_policy, read_policy


def test_a_preset_may_be_changed() -> None:
    """In its own words, then by what is set for all."""
    assert parse_policy("fair", {}) == Policy()
    policy = parse_policy("fair,past_weight=0,preempt=no", {"most_kept": "3", "most_starting": "none"})
    assert policy == Policy(past_weight=0.0, preempt=False, most_kept=3, most_starting=None)
    assert differences(policy) == {"past_weight": 0.0, "preempt": False, "most_kept": 3, "most_starting": None}


def test_a_document_is_a_policy_too() -> None:
    """With a preset, fair unless it says otherwise."""
    assert read_policy({"past_weight": 1, "fair": True}, {}) == Policy(past_weight=1.0)
    assert not read_policy({"preset": "fifo"}, {}).preempt


@pytest.mark.parametrize(
    "text", ["", "fairest", "fair,colour=red", "fair,preempt", "fair,preempt=2", "fair,past_weight=-1"]
)
def test_other_words_are_refused(text: str) -> None:
    """With what is known."""
    with pytest.raises(InvalidInputError):
        parse_policy(text, {})


@pytest.mark.parametrize(
    "document", [7, [], {"preset": "x"}, {"preset": []}, {"large": None}, {"most_kept": 1.5}, {"large": "nan"}]
)
def test_other_documents_are_refused(document: Any) -> None:
    """Whatever their type."""
    with pytest.raises(InvalidInputError):
        read_policy(document, {})


def test_every_mistake_is_named() -> None:
    """Not the first alone."""
    with pytest.raises(InvalidInputError) as refused:
        change(Policy(), {"colour": 1, "fair": "maybe", "most_kept": "many"})
    assert [problem.path for problem in refused.value.problems] == ["/colour", "/fair", "/most_kept"]

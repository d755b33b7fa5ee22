"""The states of image versions, the policy's rules, comparisons and bills of materials: pure."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.domain.catalogue import (
    RUNNABLE,
    TRANSITIONS,
    ImageState,
    Mover,
    check_move,
    failure_rate,
    mermaid,
    why_not_runnable,
)
from swath.domain.comparison import compare_layers, compare_packages, find_differences
from swath.domain.errors import ConflictError, ForbiddenError, InvalidInputError
from swath.domain.image_policy import ImagePolicy, Subject, find_violations
from swath.domain.sbom import MOST_PACKAGES, read_packages

IMAGES = Path(__file__).parents[3] / "docs" / "images.md"
GOOD = Subject(name="registry/eo/ndvi", size=10, runs_as="10001", labels={"team": "x"}, signed_by="f")


@pytest.mark.parametrize("before", ImageState)
@pytest.mark.parametrize("after", ImageState)
@pytest.mark.parametrize("mover", Mover)
def test_the_table_alone_decides(before, after, mover):
    """A pair outside of it is a conflict that names both states; within, only who is named there may."""
    allowed = TRANSITIONS.get((before, after))
    if allowed is None:
        with pytest.raises(ConflictError, match=f"x is {before} and cannot become {after}"):
            check_move(before, after, mover, "x")
    elif mover in allowed:
        check_move(before, after, mover, "x")
    else:
        with pytest.raises(ForbiddenError):
            check_move(before, after, mover, "x")


def test_every_state_is_reached_and_only_retired_is_for_good():
    """From REGISTERED there is a way to each; of RETIRED there is none out, and what it says says so."""
    reached, new = {ImageState.REGISTERED}, {ImageState.REGISTERED}
    while new:
        new = {after for before, after in TRANSITIONS if before in new} - reached
        reached |= new
    assert reached == set(ImageState)
    assert {state for state in ImageState if not any(before is state for before, _ in TRANSITIONS)} == {"RETIRED"}
    with pytest.raises(ConflictError, match="for good"):
        check_move(ImageState.RETIRED, ImageState.ACTIVE, Mover.APPROVER, "x")


def test_what_runs_is_what_has_no_reason_against_it():
    """Each other state has a reason that names it."""
    for state in ImageState:
        reason = why_not_runnable(state, "ndvi:1")
        assert (reason is None) == (state in RUNNABLE)
        assert reason is None or state in reason


def test_the_page_shows_the_table():
    """docs/images.md has the diagram that the table makes."""
    assert mermaid() in IMAGES.read_text()


def test_a_failure_rate_counts_what_says_something_of_the_image():
    """Lost agents, kills and what runs say nothing; without anything else there is no rate."""
    assert failure_rate({"SUCCEEDED": 6, "OOM": 1, "APP": 1, "LOST": 50, "KILLED": 9, "RUNNING": 3}) == 0.25
    assert failure_rate({"LOST": 5}) is None


@pytest.mark.parametrize(
    ("rule", "policy", "subject"),
    [
        ("registries", {"registries": ("registry/land",)}, {}),
        ("registries", {"registries": ("registry/e",)}, {}),
        ("local", {"local": False}, {"name": None}),
        ("pinned", {"pinned": True}, {"by_digest": False}),
        ("max_size", {"max_size_mib": 1}, {"size": 2**21}),
        ("max_size", {"max_size_mib": 1}, {"size": None}),
        ("root", {"root": False}, {"runs_as": ""}),
        ("root", {"root": False}, {"runs_as": "0:1000"}),
        ("root", {"root": False}, {"runs_as": "root"}),
        ("root", {"root": False}, {"runs_as": "app"}),
        ("local", {"pinned": True}, {"elsewhere": True}),
        ("local", {"local": False}, {"elsewhere": True}),
        ("root", {"root": False}, {"runs_as": None}),
        ("labels", {"labels": ("team", "mail")}, {}),
        ("labels", {"labels": ("team",)}, {"labels": None}),
        ("signed", {"signers": ("f",)}, {"signed_by": None}),
        ("signed", {"signers": ("g",)}, {}),
    ],
)
def test_each_refusal_names_its_rule(rule, policy, subject):
    """One sentence, of that rule alone; without the rule nothing is said."""
    changed = Subject(**{name: getattr(GOOD, name) for name in Subject.__slots__} | subject)
    (sentence,) = find_violations(ImagePolicy(**policy), changed)
    assert sentence.startswith(f"policy {rule}: ")
    assert find_violations(ImagePolicy(), changed) == []


def test_what_keeps_all_rules_passes():
    """The strictest policy has nothing against it, whether a host or the beginning of a name is allowed."""
    strict = {"pinned": True, "max_size_mib": 1, "root": False, "labels": ("team",), "signers": ("f",)}
    for place in ("registry", "registry/eo", "registry/eo/ndvi"):
        assert find_violations(ImagePolicy(registries=(place,), **strict), GOOD) == []


def test_differences_are_found_by_name_and_not_by_place():
    """An input inserted before others is one difference; values that came and went are None on one side."""
    before = {"inputs": [{"name": "A"}, {"name": "B", "type": "string"}], "cpus": 1, "tags": ["x"], "a/b": 1}
    after = {"inputs": [{"name": "Z"}, {"name": "A"}, {"name": "B", "type": "number"}], "cpus": 1, "tags": ["y"]}
    assert sorted(find_differences(before, after), key=lambda entry: entry[0]) == [
        ("/a~1b", 1, None),
        ("/inputs/B/type", "string", "number"),
        ("/inputs/Z", None, {"name": "Z"}),
        ("/tags", ["x"], ["y"]),
    ]
    assert list(find_differences(before, before)) == []


def test_layers_and_packages_are_compared():
    """What is shared, in layers and bytes; what came, went and changed."""
    layers = compare_layers([{"digest": "a", "size": 5}, {"digest": "b", "size": 7}], [{"digest": "a", "size": 5}])
    assert layers == {"shared": 1, "shared_bytes": 5, "removed": 1, "added": 0, "added_bytes": 0}
    assert compare_packages({"a": "1", "b": "1"}, {"b": "2", "c": "1"}) == {
        "added": {"c": "1"},
        "removed": {"a": "1"},
        "changed": {"b": ["1", "2"]},
    }


def test_packages_are_read_from_both_kinds_of_bills():
    """SPDX and CycloneDX; a package in two versions has both."""
    spdx = {"spdxVersion": "SPDX-2.3", "packages": [{"name": "b", "versionInfo": "1"}, {"name": "a"}]}
    cyclone = {
        "bomFormat": "CycloneDX",
        "components": [{"name": "a", "version": "2"}, {"name": "a", "version": "1"}],
    }
    assert read_packages(spdx) == {"a": "", "b": "1"}
    assert read_packages(cyclone) == {"a": "1, 2"}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"spdxVersion": "SPDX-2.3", "packages": {"a": 1}},
        {"spdxVersion": "SPDX-2.3", "packages": [1]},
        {"spdxVersion": "SPDX-2.3", "packages": [{"name": 1}]},
        {"bomFormat": "CycloneDX", "components": [{"name": "a"}] * (MOST_PACKAGES + 1)},
    ],
)
def test_other_documents_are_refused(document):
    """What is none, or holds too much, is the sender's fault."""
    with pytest.raises(InvalidInputError):
        read_packages(document)

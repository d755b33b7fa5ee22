"""From command line words to job documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.cli.jobdoc import (
    Interface,
    over_files,
    over_range,
    over_values,
    parse_constraint,
    parse_preference,
    parse_size,
    parse_words,
)
from swath.domain.errors import InvalidInputError, NotFoundError

MANIFEST = {
    "job": {
        "interface": {
            "inputs": {
                "files": [{"name": "SCENE"}, {"name": "STACK", "multiple": True}],
                "json": [{"name": "INDEX"}, {"name": "SCALE", "type": "number"}, {"name": "BANDS", "type": "array"}],
            }
        }
    }
}
INTERFACE = Interface.from_manifest(MANIFEST)


def test_files_become_hrefs_and_parameters_get_their_declared_type(tmp_path: Path) -> None:
    """A path is made absolute, a URL stays, a number is a number, a string that looks like one stays a string."""
    words = [f"SCENE={tmp_path}/a b.tif", "INDEX=7", "SCALE=0.5", 'BANDS=["B04"]', "STACK=s3://eo/1", "STACK=s3://eo/2"]
    inputs, parameters = parse_words(words, INTERFACE)
    assert inputs == {
        "SCENE": {"href": (tmp_path / "a b.tif").as_uri()},
        "STACK": {"hrefs": ["s3://eo/1", "s3://eo/2"]},
    }
    assert parameters == {"INDEX": "7", "SCALE": 0.5, "BANDS": ["B04"]}


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("COLOUR=red", "it takes SCENE, STACK, INDEX, SCALE, BANDS"),
        ("SCALE=much", "must be of type number"),
        ("scene.tif", "must look like NAME=VALUE"),
        ("=x", "must look like NAME=VALUE"),
    ],
)
def test_a_word_that_makes_no_sense_is_refused_with_what_would(word: str, complaint: str) -> None:
    """The message says what the image takes, or of which type."""
    with pytest.raises(InvalidInputError, match=complaint):
        parse_words([word], INTERFACE)


def test_two_files_for_one_input_point_to_over() -> None:
    """Who gives two files for an input that takes one wanted an array."""
    with pytest.raises(InvalidInputError, match="--over SCENE"):
        parse_words(["SCENE=/a", "SCENE=/b"], INTERFACE)


def test_a_pattern_becomes_one_item_for_each_match_in_order(tmp_path: Path) -> None:
    """Files and directories alike, sorted; a slash at the end means what is inside."""
    for name in ("b.tif", "a.tif", "c.txt"):
        (tmp_path / name).touch()
    assert over_files([f"SCENE={tmp_path}/*.tif"]) == {
        "over": "SCENE",
        "items": [{"href": (tmp_path / name).as_uri()} for name in ("a.tif", "b.tif")],
    }
    assert len(over_files([f"SCENE={tmp_path}/"])["items"]) == 3
    assert over_files([f"SCENE={tmp_path}"])["items"] == [{"href": tmp_path.as_uri()}]


def test_a_list_of_paths_can_stand_in_a_file(tmp_path: Path) -> None:
    """One path or URL a line, blank lines are skipped."""
    (tmp_path / "list").write_text("s3://eo/a\n\n/b\n")
    assert over_files([f"SCENE=@{tmp_path}/list"])["items"] == [{"href": "s3://eo/a"}, {"href": "file:///b"}]


def test_a_pattern_without_a_match_is_refused(tmp_path: Path) -> None:
    """An empty array is never meant."""
    with pytest.raises(NotFoundError, match="nothing matches"):
        over_files([f"SCENE={tmp_path}/*.jp2"])


def test_an_array_goes_over_one_input(tmp_path: Path) -> None:
    """Two names are refused."""
    with pytest.raises(InvalidInputError, match="over A and B"):
        over_files([f"A={tmp_path}", f"B={tmp_path}"])


def test_ranges_have_an_end_and_perhaps_a_beginning() -> None:
    """A count begins at 0."""
    assert over_range("INDEX=5:9") == {"over": "INDEX", "range": [5, 9]}
    assert over_range("INDEX=1000000") == {"over": "INDEX", "range": [0, 1_000_000]}
    with pytest.raises(InvalidInputError, match="0:1000"):
        over_range("INDEX=a:b")


def test_an_array_of_values_is_read_from_json(tmp_path: Path) -> None:
    """A list, and nothing else."""
    (tmp_path / "items.json").write_text('[{"href": "s3://eo/a"}, 2]')
    assert over_values(f"X={tmp_path}/items.json")["items"] == [{"href": "s3://eo/a"}, 2]
    (tmp_path / "items.json").write_text('{"a": 1}')
    with pytest.raises(InvalidInputError, match="JSON list"):
        over_values(f"X={tmp_path}/items.json")


def test_sizes_are_mib_unless_they_say_otherwise() -> None:
    """2048, 512M, 2G and 1.5GiB are understood."""
    assert [parse_size(text) for text in ("2048", "512M", "2G", "1.5GiB")] == [2048, 512, 2048, 1536]
    with pytest.raises(InvalidInputError, match="must look like"):
        parse_size("much")


def test_a_constraint_is_equality_or_membership() -> None:
    """A comma makes it a set."""
    assert parse_constraint("region=ispra")["operator"] == "equals"
    assert parse_constraint("region=a,b") == {"attribute": "region", "operator": "in", "value": ["a", "b"]}


@pytest.mark.parametrize(
    ("word", "document"),
    [
        ("zone in a, b", {"attribute": "zone", "operator": "in", "value": ["a", "b"]}),
        ("hostname like node-[0-9]+ x", {"attribute": "hostname", "operator": "like", "value": "node-[0-9]+ x"}),
        ("rack unique", {"attribute": "rack", "operator": "unique"}),
        ("host max_per 2", {"attribute": "host", "operator": "max_per", "value": 2}),
        ("rack group_by", {"attribute": "rack", "operator": "group_by"}),
        ("rack group_by 3", {"attribute": "rack", "operator": "group_by", "value": 3}),
        ("host max_per two", {"attribute": "host", "operator": "max_per", "value": "two"}),
        ("~rack unique", {"attribute": "rack", "operator": "unique", "hard": False}),
        ("~region=ispra", {"attribute": "region", "operator": "equals", "value": "ispra", "hard": False}),
        ("note=this in here", {"attribute": "note", "operator": "equals", "value": "this in here"}),
    ],
)
def test_a_constraint_has_an_operator(word: str, document: dict) -> None:
    """In words; a tilde makes it soft, and what makes no sense is left to the API to refuse."""
    assert parse_constraint(word) == document


@pytest.mark.parametrize("word", ["rack", "rack foo", "=x", "~", "", "in a,b"])
def test_what_is_no_constraint_is_refused_with_the_forms_of_one(word: str) -> None:
    """All of them in one line."""
    with pytest.raises(InvalidInputError, match="'rack max_per 2'"):
        parse_constraint(word)


def test_a_preference_may_have_a_weight() -> None:
    """After a blank."""
    assert parse_preference("region=ispra") == {"attribute": "region", "value": "ispra"}
    assert parse_preference("region=ispra 2.5") == {"attribute": "region", "value": "ispra", "weight": 2.5}
    with pytest.raises(InvalidInputError, match="region=ispra 2"):
        parse_preference("region=ispra much")

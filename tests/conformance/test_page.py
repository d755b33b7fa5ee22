"""The page on conformance, the tests and the recordings agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.items import ITEMS, Item
from tests.conformance.page import PAGE, ROOT, STAND_IN, find_tests, render


def test_the_page_says_what_the_tests_say():
    """Whoever adds, renames or removes a test makes the page anew: python -m tests.conformance."""
    assert PAGE.read_text(encoding="utf-8") == render(find_tests())


def test_every_item_from_1_to_40_is_there_once():
    """No item of the checklist is forgotten."""
    assert [item.number for item in ITEMS] == list(range(1, 41))


def test_no_test_carries_a_number_that_is_no_item():
    """A typing error in a name would prove nothing."""
    assert set(find_tests()) <= {item.number for item in ITEMS}


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: f"M{item.number}")
def test_every_item_has_a_place_and_a_test(item: Item):
    """The files are there, and at least one test of the framework itself carries the number."""
    assert [place for place in item.places if not (ROOT / place).is_file()] == []
    assert [path for path, _ in find_tests().get(item.number, ()) if not path.startswith(STAND_IN)]


def test_every_recording_bears_on_an_item(transcripts_folder: Path):
    """All of the transcripts bind, and none is named that is not there."""
    folders = [path.name for path in transcripts_folder.iterdir() if path.is_dir()]
    named = {name for item in ITEMS for name in item.transcripts}
    assert [name for name in sorted(named) if not any(folder.startswith(name) for folder in folders)] == []
    assert [folder for folder in folders if not any(folder.startswith(name) for name in named)] == []

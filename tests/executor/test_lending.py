"""What is lent to a warm container, and how."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from executor.runtimes.lending import MOST, Lender


@pytest.fixture
def lender(tmp_path: Path) -> Lender:
    """One with a cache that has a large file."""
    (tmp_path / "cache").mkdir()
    with (tmp_path / "cache" / "large.tif").open("w") as file:
        file.truncate(2 * MOST)
    return Lender(cache=tmp_path / "cache")


def test_what_the_cache_has_is_linked_whatever_its_size(lender: Lender, tmp_path: Path) -> None:
    """No byte is copied."""
    large = tmp_path / "cache" / "large.tif"
    assert lender.find_lent({"SCENE": [large]}) == {"SCENE"}
    assert Lender(cache=None).find_lent({"SCENE": [large]}) == set()
    lender.lend([large], tmp_path / "SCENE")
    assert (tmp_path / "SCENE" / "large.tif").samefile(large)


def test_other_files_are_copied_under_the_names_that_they_would_be_mounted_by(lender: Lender, tmp_path: Path) -> None:
    """Two of one name are numbered; links in a directory stay what they are; all may read the copies."""
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "B04.tif").write_text(name)
    (tmp_path / "a" / "link").symlink_to("/etc/passwd")
    lender.lend([tmp_path / "a" / "B04.tif", tmp_path / "b" / "B04.tif"], tmp_path / "BANDS")
    lender.lend([tmp_path / "a"], tmp_path / "SCENE")
    assert [(tmp_path / "BANDS" / f"{number}-B04.tif").read_text() for number in (1, 2)] == ["a", "b"]
    copy = tmp_path / "SCENE" / "a" / "B04.tif"
    assert (copy.read_text(), copy.stat().st_mode & 0o777, copy.stat().st_nlink) == ("a", 0o444, 1)
    assert (tmp_path / "SCENE" / "a" / "link").readlink() == Path("/etc/passwd")


def test_what_is_large_or_many_or_strange_or_closed_is_not_lent(lender: Lender, tmp_path: Path) -> None:
    """It is mounted, into a container of its own."""
    small, large, many, strange, closed = (tmp_path / name for name in ("small", "large", "many", "strange", "closed"))
    for path in (small, large, closed):
        path.touch(0o644)
    closed.chmod(0o640)
    os.truncate(large, MOST + 1)
    many.mkdir()
    for number in range(1001):
        (many / str(number)).touch()
    strange.mkdir()
    os.mkfifo(strange / "pipe")
    inputs = {path.name: [path] for path in (small, large, many, strange, closed, tmp_path / "missing")}
    assert lender.find_lent(inputs) == {"small"}

"""What is lent to a warm container, and how."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from executor.runtimes.lending import MOST, find_lent, lend
from executor.staging import Seen, identify
from tests.executor.fetching import a_fetcher, fetched
from tests.executor.web_server import Site


def test_what_is_lent_stays_in_the_cache(site: Site, tmp_path: Path) -> None:
    """It is copied: a link would change the file, as the cache sees it, and each attempt would fetch it anew."""
    fetcher = a_fetcher(tmp_path / "cache")
    path, lease = fetched(fetcher, site.url + "/a/scene.tif")
    lend([path], (), tmp_path / "SCENE")
    assert (tmp_path / "SCENE" / "scene.tif").read_bytes() == path.read_bytes()
    lease.close()
    assert fetched(fetcher, site.url + "/a/scene.tif")[0] == path
    assert site.asked("GET", "/a/scene.tif") == [None]


def test_what_was_replaced_meanwhile_is_not_lent(tmp_path: Path) -> None:
    """By another file, by a link, below a directory too, or by what only its owner may read: nothing of it is copied."""
    scene, closed = tmp_path / "scene", tmp_path / "closed"
    scene.mkdir()
    closed.write_text("precious")
    closed.chmod(0o600)
    file = scene / "B04.tif"
    file.write_text("x")
    seen = [Seen(name="SCENE", path=path, identity=identify(path.stat())) for path in (scene, file)]
    file.rename(tmp_path / "before")
    file.write_text("another")
    with pytest.raises(OSError, match="was replaced"):
        lend([file], seen, tmp_path / "another")
    file.unlink()
    file.symlink_to(closed)
    with pytest.raises(OSError, match="symbolic links"):
        lend([file], seen, tmp_path / "link")
    lend([scene], seen, tmp_path / "within")
    assert (tmp_path / "within" / "scene" / "B04.tif").readlink() == closed  # of which the container has none
    file.unlink()
    closed.rename(file)
    with pytest.raises(PermissionError):
        lend([scene], seen, tmp_path / "owner")
    assert not [path for path in tmp_path.rglob("*.tif") if path != file and not path.is_symlink()]


def test_other_files_are_copied_under_the_names_that_they_would_be_mounted_by(tmp_path: Path) -> None:
    """Two of one name are numbered; links in a directory stay what they are; all may read the copies."""
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "B04.tif").write_text(name)
    (tmp_path / "a" / "link").symlink_to("/etc/passwd")
    lend([tmp_path / "a" / "B04.tif", tmp_path / "b" / "B04.tif"], (), tmp_path / "BANDS")
    lend([tmp_path / "a"], (), tmp_path / "SCENE")
    assert [(tmp_path / "BANDS" / f"{number}-B04.tif").read_text() for number in (1, 2)] == ["a", "b"]
    copy = tmp_path / "SCENE" / "a" / "B04.tif"
    assert (copy.read_text(), copy.stat().st_mode & 0o777, copy.stat().st_nlink) == ("a", 0o444, 1)
    assert (tmp_path / "SCENE" / "a" / "link").readlink() == Path("/etc/passwd")


def test_what_is_large_or_many_or_strange_or_closed_is_not_lent(tmp_path: Path) -> None:
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
    assert find_lent(inputs) == {"small"}

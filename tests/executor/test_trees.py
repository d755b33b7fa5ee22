"""Directory trees as a malicious command leaves them: walked and removed, whatever their depth."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.orders import to_order
from executor.places import Places
from executor.publish import PublishError, publish
from executor.trees import DIRECTORY, TooDeepError, opened, remove_scratch, remove_tree, walk
from swath.domain.retries import Cause
from tests.executor.agent import Agent, wait_until
from tests.executor.build import a_manifest, a_spec, an_id, an_output
from tests.executor.scripts import a_run
from tests.executor.test_parts import an_order


def nest(directory: Path, levels: int) -> None:
    """Directories within directories, deeper than any path may be long."""
    here = os.open(directory, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def test_a_tree_of_any_depth_is_removed(tmp_path: Path) -> None:
    """3,000 levels: more than a path, and three times what a stack, can hold."""
    (tmp_path / "tree").mkdir()
    nest(tmp_path / "tree", 3000)
    assert remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


def test_a_tree_without_permissions_is_removed(tmp_path: Path) -> None:
    """What its owner may not read or write is opened first."""
    below = tmp_path / "tree" / "closed" / "below"
    below.mkdir(parents=True)
    (below / "file").touch()
    for directory in (below, below.parent, below.parent.parent):
        directory.chmod(0)
    assert remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    """Neither below the tree nor in its place; what they lead to keeps its files and its permissions."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "kept").chmod(0o500)
    (tmp_path / "tree" / "d").mkdir(parents=True)
    (tmp_path / "tree" / "d" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    assert remove_tree(tmp_path / "tree")
    assert remove_tree(tmp_path / "link")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "file").exists()
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o500
    (tmp_path / "kept").chmod(0o700)


def test_what_is_not_there_is_gone(tmp_path: Path) -> None:
    """Removing twice is no error."""
    assert remove_tree(tmp_path / "absent")


def test_only_a_scratch_directory_of_the_attempt_is_removed(tmp_path: Path) -> None:
    """A journal may name anything."""
    attempt = an_id()
    (tmp_path / "precious").mkdir()
    (tmp_path / f".{attempt}.partial").mkdir()
    for path in (tmp_path / "precious", tmp_path / f".{attempt}.partial", None):
        assert remove_scratch(str(path) if path else None, attempt)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


@pytest.fixture
def top(tmp_path: Path) -> Iterator[int]:
    """A descriptor of the test's directory."""
    descriptor = os.open(tmp_path, DIRECTORY)
    yield descriptor
    os.close(descriptor)


def test_a_walk_ends_at_its_depth(tmp_path: Path, top: int) -> None:
    """Up to the limit everything is found by its path, beyond it TooDeepError."""
    nest(tmp_path, 3)
    assert [path for path, _ in walk(top, 4)] == ["d", "d/d", "d/d/d", "d/d/d/file"]
    with pytest.raises(TooDeepError, match="more than 3 levels"):
        list(walk(top, 3))


def test_a_directory_is_not_opened_through_a_link(tmp_path: Path, top: int) -> None:
    """Neither at the path's end nor in its midst."""
    (tmp_path / "elsewhere" / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to("elsewhere")
    for path in ("link", "link/below"):
        with pytest.raises(NotADirectoryError), opened(path, top):
            pass


@pytest.mark.parametrize("levels", [65, 1500])
def test_outputs_that_are_nested_too_deep_are_the_commands_failure(tmp_path: Path, levels: int) -> None:
    """Cause OUTPUT, which costs an attempt, and nothing of it stays."""
    order = an_order(tmp_path / "outputs")
    places = Places.of(order, tmp_path)
    places.make()
    (places.output_dir / "result.txt").touch()
    nest(places.output_dir, levels)
    with pytest.raises(PublishError, match="more than 64 levels") as caught:
        publish(order.manifest, places)
    assert caught.value.cause is Cause.OUTPUT
    assert places.clean()
    assert list(places.target.parent.iterdir()) == []


@pytest.mark.parametrize("levels", [70, 900, 100_000])
def test_nested_json_is_the_commands_failure(tmp_path: Path, levels: int) -> None:
    """seed.outputs.json may hold anything; what could not be read or written without a deep stack is cause OUTPUT."""
    outputs = {"outputs": [an_output()], "json_outputs": [{"name": "deep", "type": "array"}]}
    spec = a_spec(a_manifest("true", **outputs), tmp_path / "outputs")
    order = to_order(spec.attempt, spec.to_json().encode())
    places = Places.of(order, tmp_path)
    places.make()
    (places.output_dir / "result.txt").touch()
    (places.output_dir / "seed.outputs.json").write_text('{"deep": ' + "[" * levels + "]" * levels + "}")
    with pytest.raises(PublishError) as caught:
        publish(order.manifest, places)
    assert caught.value.cause is Cause.OUTPUT


def test_a_command_that_nests_directories_fails_and_leaves_nothing(agent: Agent) -> None:
    """TASK_FAILED with cause OUTPUT, and its scratch directory goes."""
    text = """
import os
os.chdir(os.environ["OUTPUT_DIR"])
open("result.txt", "w").close()
for _ in range(1500):
    os.mkdir("d"); os.chdir("d")
"""
    spec = a_run(agent, "nest", text, outputs=[an_output()])
    update = agent.run(spec)
    assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.OUTPUT)
    wait_until(lambda: not list((agent.outputs / spec.job / "0").iterdir()), "nothing stays")

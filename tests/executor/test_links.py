"""Directories that a command has removed, or replaced by links to what is not its own: that stays as it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from executor.bounds import Bounds
from executor.logs import trim
from executor.orders import to_order
from executor.places import Places
from executor.publish import PublishError, publish
from executor.staging import StartError, resolve_input
from swath.domain.attempts import ImageSource
from swath.domain.retries import Cause
from tests.executor.agent import Agent, wait_until
from tests.executor.build import a_manifest, a_spec, an_id, an_output
from tests.executor.scripts import a_run
from tests.executor.test_parts import an_order

PRELUDE = """
import os, pathlib, shutil
out = pathlib.Path(os.environ["OUTPUT_DIR"])
"""


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """Somebody's directory, which holds what the manifest promises, and logs."""
    directory = tmp_path / "victim"
    for path in ("result.txt", "out/result.txt", "stdout", "d/result.txt"):
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text("precious" * 1000)
        (directory / path).chmod(0o600)
    return directory


def read_tree(directory: Path) -> dict[str, tuple[int, str]]:
    """The mode and the text of all that is below a directory."""
    return {
        str(path.relative_to(directory)): (path.stat().st_mode, path.read_text() if path.is_file() else "")
        for path in directory.rglob("*")
    }


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("out.rmdir(); out.symlink_to({victim!r})", "replaced its output directory by a symbolic link"),
        ("shutil.rmtree(out.parent); out.parent.symlink_to({victim!r})", "replaced its output directory by a symbolic"),
        ("out.rmdir(); out.write_text('x')", "replaced its output directory by something that is no directory"),
        ("shutil.rmtree(out)", "has removed its output directory"),
        ("shutil.rmtree(out.parent)", "has removed its output directory"),
        ("shutil.rmtree(out.parent.parent)", "could not be stored"),
        ("(out.parent / 'publish').symlink_to({victim!r})", "has written beside its output directory"),
        ("(out / 'd').symlink_to({victim!r} + '/d')", "no file matches"),
    ],
)
def test_a_replaced_output_directory_is_the_commands_failure(
    agent: Agent, victim: Path, script: str, complaint: str
) -> None:
    """Cause OUTPUT, nothing published, nothing taken from where a link leads, and no scratch directory stays."""
    before = read_tree(victim)
    pattern = "d/result.txt" if "'d'" in script else "result.txt"
    beside = "(out / 'result.txt').write_text('x')\n" if "publish" in script else ""
    text = PRELUDE + beside + script.format(victim=str(victim))
    spec = a_run(agent, f"replaced-{abs(hash(script))}", text, outputs=[an_output(pattern)])
    update = agent.run(spec)
    assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.OUTPUT)
    assert complaint in update.message
    task = agent.outputs / spec.job / "0"
    wait_until(lambda: not [path for path in task.glob("*") if spec.attempt in path.name], "nothing stays")
    assert read_tree(victim) == before


def test_a_link_in_place_of_the_home_is_not_tidied_up(agent: Agent, victim: Path) -> None:
    """The command's own directory goes once it has ended; what a link in its place leads to does not."""
    before = read_tree(victim)
    text = f"import os, shutil; home = os.environ['HOME']; shutil.rmtree(home); os.symlink({str(victim)!r}, home)"
    update = agent.run(a_run(agent, "home", text))
    assert update.state == "TASK_FINISHED"
    wait_until(lambda: not os.path.lexists(str(update.report.sandbox)), "the link goes")
    assert read_tree(victim) == before


@pytest.mark.parametrize("replaced", ["home", "log"])
def test_no_log_is_cut_through_a_link(tmp_path: Path, victim: Path, replaced: str) -> None:
    """Neither through the directory nor through the log itself."""
    home = tmp_path / "home"
    if replaced == "home":
        home.symlink_to(victim)
    else:
        home.mkdir()
        (home / "stdout").symlink_to(victim / "stdout")
    before = read_tree(victim)
    trim(home, 10)
    assert read_tree(victim) == before


def test_outputs_in_directories_are_published_there(tmp_path: Path) -> None:
    """Each under its path; readable for all, whatever the command made of them; what was not promised stays behind."""
    spec = a_spec(a_manifest("true", outputs=[an_output("a/b/*.txt", multiple=True)]), tmp_path / "outputs")
    order = to_order(spec.attempt, spec.to_json().encode())
    places = Places.of(order, tmp_path)
    places.make()
    for path in ("a/b/1.txt", "a/b/2.txt", "a/other.txt", "a/b/c/3.txt"):
        (places.output_dir / path).parent.mkdir(parents=True, exist_ok=True)
        (places.output_dir / path).write_text(path)
        (places.output_dir / path).chmod(0o600)
    (places.output_dir / "a").chmod(0o700)
    assert [file.path for file in publish(order.manifest, places).files] == ["a/b/1.txt", "a/b/2.txt"]
    published = read_tree(places.target)
    assert published == {
        "a": (0o040755, ""),
        "a/b": (0o040755, ""),
        "a/b/1.txt": (0o100644, "a/b/1.txt"),
        "a/b/2.txt": (0o100644, "a/b/2.txt"),
    }


def test_what_an_attempt_has_not_published_is_no_input(tmp_path: Path) -> None:
    """Neither its scratch directory nor what lies in it, though the jobs' outputs may be inputs of others."""
    scratch = tmp_path / f".{an_id()}.partial"
    (scratch / "out").mkdir(parents=True)
    bounds = Bounds(roots=(tmp_path,), closed=())
    for path in (scratch, scratch / "out"):
        with pytest.raises(StartError, match="has not published") as caught:
            resolve_input("SCENE", path.as_uri(), bounds, tmp_path)
        assert caught.value.cause is Cause.INPUT


def test_a_file_system_that_has_lost_everything_is_the_agents_failure(tmp_path: Path) -> None:
    """Where not even the job's directory is there any more, it was not the command."""
    order = an_order(tmp_path / "outputs")
    places = Places.of(order, tmp_path)
    places.make()
    (tmp_path / "outputs").rename(tmp_path / "unmounted")
    with pytest.raises(PublishError) as caught:
        publish(order.manifest, places)
    assert caught.value.cause is Cause.AGENT


def test_a_parameter_that_no_command_can_take_is_a_wrong_specification(agent: Agent) -> None:
    """Longer than Linux lets a variable be: cause SPEC, for another agent could not start it either."""
    update = agent.run(a_spec(a_manifest("true"), agent.outputs, parameters={"LETTER": "x" * 3_000_000}))
    assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.SPEC)
    assert "too long" in update.message


@pytest.mark.parametrize(
    ("text", "mode", "complaint"),
    [
        ("no interpreter is named here", 0o755, "Exec format error"),
        ("#!/no/such/interpreter\n", 0o755, "No such file"),
        ("#!/bin/true\n", 0o644, "Permission denied"),
    ],
)
def test_a_command_that_cannot_be_executed_is_the_images_fault(
    agent: Agent, text: str, mode: int, complaint: str
) -> None:
    """Cause IMAGE with the system's words, which costs an attempt."""
    context = agent.directory / "contexts" / f"tool-{mode}-{len(text)}"
    context.mkdir(parents=True)
    (context / "tool").write_text(text)
    (context / "tool").chmod(mode)
    image = ImageSource(name="tool", version="1.0.0", context=str(context))
    update = agent.run(a_spec(a_manifest("./tool"), agent.outputs, image=image))
    assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.IMAGE)
    assert complaint in update.message

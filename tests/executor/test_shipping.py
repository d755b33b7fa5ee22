"""Logs on the site's storage: while they are written, after their attempt, after their executor."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from executor.archives import Directory
from executor.sweeping import EVERY_S, LOCK, Keeping, sweep
from swath.domain.log_archive import PARTIAL, log_directory
from tests.executor.agent import Agent, wait_until
from tests.executor.build import a_manifest, a_spec
from tests.executor.scripts import a_run

DAY_S = 24 * 3600


def an_agent(directory: Path, **environ: str) -> Agent:
    return Agent(directory, SWATH_LOGS_ROOT=str(directory / "logs"), **environ)


def place(agent: Agent, spec: Any) -> Path:
    """Where its complete logs belong."""
    return agent.directory / "logs" / log_directory(spec.job, spec.task, spec.attempt)


def part(agent: Agent, spec: Any) -> Path:
    return place(agent, spec).with_name(spec.attempt + PARTIAL)


def is_part(agent: Agent, spec: Any, text: str) -> bool:
    path = part(agent, spec) / "stdout"
    return path.exists() and path.read_text() == text


def test_a_log_is_shipped_while_it_is_written_and_complete_at_its_end(tmp_path: Path) -> None:
    """What is there grows with the log; when the attempt has ended, both streams stand under its own name."""
    agent = an_agent(tmp_path).start()
    try:
        text = """
import os, sys, time
print("one", flush=True)
while not os.path.exists(os.environ["HOME"] + "/go"): time.sleep(0.01)
print("two", flush=True)
sys.stderr.write("three")
"""
        spec = a_run(agent, "speaks", text)
        update = agent.wait(agent.launch(spec), "TASK_RUNNING")
        wait_until(lambda: is_part(agent, spec, "one\n"), "the beginning is shipped")
        (Path(str(update.report.sandbox)) / "go").touch()
        agent.wait(spec.attempt)
        wait_until(place(agent, spec).exists, "the log is complete")
        found = {path.name: path.read_text() for path in place(agent, spec).iterdir()}
        assert found == {"stdout": "one\ntwo\n", "stderr": "three"}
        assert not part(agent, spec).exists()
    finally:
        agent.stop()


def test_what_a_killed_executor_has_shipped_stays(tmp_path: Path) -> None:
    """As far as it has come, and named so."""
    agent = an_agent(tmp_path).start()
    try:
        spec = a_run(agent, "speaks", "import time\nprint('one', flush=True)\ntime.sleep(60)")
        agent.launch(spec)
        wait_until(lambda: is_part(agent, spec, "one\n"), "the beginning is shipped")
    finally:
        agent.kill_executor()
    assert (part(agent, spec).exists(), place(agent, spec).exists()) == (True, False)


def test_an_executor_that_ends_ships_first(tmp_path: Path) -> None:
    """What its attempts have written as it ended them, too."""
    agent = an_agent(tmp_path).start()
    text = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("last words", flush=True), sys.exit(1)))
print("ready", flush=True)
time.sleep(60)
"""
    spec = a_run(agent, "last", text)
    update = agent.wait(agent.launch(spec), "TASK_RUNNING")
    wait_until(lambda: "ready" in agent.log(update), "it is ready")
    agent.stop()
    assert (place(agent, spec) / "stdout").read_text() == "ready\nlast words\n"


def test_a_log_beyond_the_limit_is_cut_there_too(tmp_path: Path) -> None:
    """With the same notice as in the sandbox."""
    agent = an_agent(tmp_path, SWATH_LOG_LIMIT_MIB="1").start()
    try:
        spec = a_run(agent, "loud", "for _ in range(5000): print('x' * 1023)")
        update = agent.run(spec)
        wait_until(place(agent, spec).exists, "the log is complete")
        shipped = (place(agent, spec) / "stdout").read_bytes()
        assert shipped == (Path(str(update.report.sandbox)) / "stdout").read_bytes()
        assert shipped.endswith(b"[swath: cut here; a log is kept up to 1 MiB]\n")
    finally:
        agent.stop()


def test_what_is_no_log_is_not_shipped(tmp_path: Path) -> None:
    """A link in the place of stdout leads nobody's file into the archive; a pipe holds up nothing."""
    agent = an_agent(tmp_path).start()
    secret = tmp_path / "secret"
    secret.write_text("secret")
    try:
        text = f"""
import os
home = os.environ["HOME"]
os.remove(home + "/stdout"); os.symlink({str(secret)!r}, home + "/stdout")
os.remove(home + "/stderr"); os.mkfifo(home + "/stderr")
"""
        agent.run(a_run(agent, "links", text))
        after = a_run(agent, "after", "print('fine')")
        agent.run(after)
        wait_until(place(agent, after).exists, "the next one is shipped")
        assert not [path for path in (tmp_path / "logs").rglob("std*") if path.read_text() == "secret"]
    finally:
        agent.stop()


def test_a_storage_that_takes_nothing_holds_up_no_attempt(tmp_path: Path) -> None:
    """A file stands where the root should be: attempts run and end as ever, and the executor says what is wrong."""
    agent = an_agent(tmp_path)
    (tmp_path / "logs").write_text("in the way")
    agent.start()
    try:
        assert agent.run(a_run(agent, "speaks", "print('one')")).state == "TASK_FINISHED"
        wait_until(lambda: "cannot be shipped" in (agent.sandbox / "stderr").read_text(), "the executor says so")
    finally:
        agent.stop()


def test_silence_takes_no_room(tmp_path: Path) -> None:
    """An attempt that has written nothing leaves no directory."""
    agent = an_agent(tmp_path).start()
    spec = a_spec(a_manifest("true"), agent.outputs)
    assert agent.run(spec).state == "TASK_FINISHED"
    agent.stop()
    assert [path.name for path in (tmp_path / "logs").iterdir()] == [LOCK]


def a_log(root: Path, number: int, age_s: float, size: int = 10) -> Path:
    """An attempt's logs of that age."""
    directory = root / f"job-{number}" / "0" / f"attempt-{number}"
    directory.mkdir(parents=True)
    (directory / "stdout").write_bytes(b"x" * size)
    os.utime(directory / "stdout", (time.time() - age_s,) * 2)
    return directory


def test_old_logs_are_removed(tmp_path: Path) -> None:
    """By their age, and their jobs' directories with the last of them; young ones stay."""
    old, young = a_log(tmp_path, 1, 31 * DAY_S), a_log(tmp_path, 2, 29 * DAY_S)
    assert sweep(Directory(tmp_path), Keeping(days=30), time.time()) == 1
    assert (old.parent.parent.exists(), young.exists()) == (False, True)


def test_too_many_logs_are_removed_from_the_oldest_on(tmp_path: Path) -> None:
    """Until the rest fits; what was written within the hour stays whatever its size."""
    logs = [a_log(tmp_path, number, number * DAY_S, size=100) for number in range(5)]
    sweep(Directory(tmp_path), Keeping(days=30, size=250), time.time())
    assert [log.exists() for log in logs] == [True, True, False, False, False]
    later = time.time() + EVERY_S
    sweep(Directory(tmp_path), Keeping(days=30, size=0), later - 1)  # not yet
    assert logs[1].exists()
    sweep(Directory(tmp_path), Keeping(days=30, size=0), later)
    assert [log.exists() for log in logs[:2]] == [False, False]


def test_young_logs_stay_whatever_their_size(tmp_path: Path) -> None:
    """They may still be written."""
    log = a_log(tmp_path, 1, 60)
    assert sweep(Directory(tmp_path), Keeping(days=30, size=0), time.time()) == 0
    assert log.exists()


@pytest.mark.parametrize("later_s", [0, EVERY_S / 2])
def test_one_sweep_an_hour_for_all_executors(tmp_path: Path, later_s: float) -> None:
    """The second one finds that it is not due."""
    now = time.time()
    sweep(Directory(tmp_path), Keeping(), now)
    old = a_log(tmp_path, 1, 100 * DAY_S)
    assert sweep(Directory(tmp_path), Keeping(), now + later_s) == 0
    assert old.exists()

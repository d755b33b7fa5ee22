"""What a kill -9 of the executor leaves: removed by the guardian, else by the next run; nobody else's is touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from executor.journal import NAME, Entry, read_journal
from executor.orphans import remove_former, remove_own
from executor.processes import EXECUTOR, RUN
from swath.domain.attempts import AttemptSpec
from tests.executor.agent import Agent, is_alive, wait_until
from tests.executor.build import an_id, an_output
from tests.executor.scripts import STAY, a_run, read_pids


@pytest.fixture
def unguarded(tmp_path: Path) -> Iterator[Agent]:
    """An executor whose guardian was killed before it."""
    agent = Agent(tmp_path, STANDIN_UNGUARDED="1").start()
    yield agent
    agent.stop()


@pytest.fixture
def bystanders() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that a test starts and that nothing but the test may end."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def guardians(agent: Agent) -> list[int]:
    """The guardians of the newest run of an agent's executor."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words, environ = (directory / "cmdline").read_bytes(), (directory / "environ").read_bytes()
        except OSError:
            continue
        if words.startswith(b"swath-guardian") and f"MESOS_SANDBOX={agent.sandbox}\0".encode() in environ:
            found.append(int(directory.name))
    return found


def started(agent: Agent) -> tuple[AttemptSpec, dict[str, int]]:
    """An attempt that has forked daemons, all of them in the executor's journal."""
    spec = a_run(agent, "stay", STAY, outputs=[an_output()])
    pids = read_pids(agent, agent.wait(agent.launch(spec), "TASK_RUNNING"))
    journal = agent.sandbox / NAME
    wait_until(lambda: any(str(pids["bare"]) in entry.seen for entry in read_journal(journal)), "it is written down")
    return spec, pids


def scratch_of(agent: Agent, spec: AttemptSpec) -> Path:
    """Where its unpublished outputs are."""
    return agent.outputs / spec.job / "0" / f".{spec.attempt}.partial"


def test_the_guardian_removes_what_a_kill_9_leaves(own_agent: Agent) -> None:
    """Without any successor: the command, its child, its daemons, its unpublished outputs; then the guardian ends."""
    spec, pids = started(own_agent)
    (guardian,) = guardians(own_agent)
    assert scratch_of(own_agent, spec).is_dir()
    own_agent.kill_executor()
    wait_until(lambda: not [pid for pid in pids.values() if is_alive(pid)], "every process is gone")
    wait_until(lambda: not scratch_of(own_agent, spec).exists(), "the scratch directory is gone")
    wait_until(lambda: not is_alive(guardian), "the guardian ends")
    assert not (own_agent.sandbox / NAME).exists()


def test_the_guardian_spares_the_successor(own_agent: Agent) -> None:
    """The next run's attempts have the same label, and run on."""
    _, old = started(own_agent)
    (guardian,) = guardians(own_agent)
    os.kill(guardian, signal.SIGSTOP)
    own_agent.kill_executor()
    own_agent.start()
    spec, new = started(own_agent)
    os.kill(guardian, signal.SIGCONT)
    wait_until(lambda: not is_alive(guardian), "the former run's guardian has looked and ended")
    assert [name for name, pid in new.items() if not is_alive(pid)] == []
    assert [name for name, pid in old.items() if is_alive(pid)] == []
    assert scratch_of(own_agent, spec).is_dir()


def test_the_guardian_holds_nothing(own_agent: Agent) -> None:
    """Three times /dev/null and its pipe; a session that it does not lead, no parent of ours, deaf to SIGTERM."""
    (guardian,) = guardians(own_agent)
    files = [str(entry.readlink()) for entry in Path(f"/proc/{guardian}/fd").iterdir()]
    assert sorted(file.partition(":")[0] for file in files) == ["/dev/null"] * 3 + ["pipe"]
    assert own_agent.process is not None
    assert os.getsid(guardian) not in (guardian, own_agent.process.pid)
    assert os.getpgid(guardian) != own_agent.process.pid
    assert Path(f"/proc/{guardian}/cwd").readlink() == Path("/")
    os.kill(guardian, signal.SIGTERM)
    assert is_alive(guardian)


def test_the_guardian_ends_with_the_executor(own_agent: Agent) -> None:
    """After an end as it should be there is nothing to do, and nothing to say."""
    (guardian,) = guardians(own_agent)
    own_agent.stop()
    wait_until(lambda: not is_alive(guardian), "it ends")
    assert not (own_agent.sandbox / "guardian.log").exists()


def test_a_successor_removes_what_a_kill_9_left(unguarded: Agent) -> None:
    """Processes with their daemons, and unpublished outputs: gone when the next run subscribes; another agent's stay."""
    other = Agent(unguarded.directory / "other").start()
    try:
        (spec, pids), (_, foreign) = started(unguarded), started(other)
        unguarded.kill_executor()
        assert is_alive(pids["daemon"])
        unguarded.start()
        assert [name for name, pid in pids.items() if is_alive(pid)] == []
        assert not scratch_of(unguarded, spec).exists()
        assert not (unguarded.outputs / spec.job / "0" / spec.attempt).exists()
        assert [name for name, pid in foreign.items() if not is_alive(pid)] == []
    finally:
        other.stop()


def test_who_stands_in_a_dead_attempts_directory_is_spared(
    tmp_path: Path, bystanders: list[subprocess.Popen[bytes]]
) -> None:
    """Neither a shell that was opened there nor a program that writes there is ours; nor is a pid that came again."""
    runs, attempt = tmp_path / "runs", an_id()
    directory = runs / "1" / "attempts" / attempt
    directory.mkdir(parents=True)
    (runs / "2").mkdir()
    with (directory / "notes").open("w") as notes:
        bystanders.append(subprocess.Popen(["sleep", "60"], cwd=directory, start_new_session=True))
        bystanders.append(subprocess.Popen(["sleep", "60"], stdout=notes))
    write_journal(runs / "1" / NAME, Entry(attempt=attempt, pid=bystanders[0].pid, started=1))
    assert remove_own("run", runs / "1") == 0
    write_journal(runs / "1" / NAME, Entry(attempt=attempt, pid=bystanders[0].pid, started=1))
    assert remove_former("label", "run", runs / "2") == 0
    assert [process.poll() for process in bystanders] == [None, None]


def test_runs_are_told_apart_by_their_marks(tmp_path: Path, bystanders: list[subprocess.Popen[bytes]]) -> None:
    """With the same label: the former run's process is killed, this run's is not."""
    for run in ("1", "2"):
        bystanders.append(subprocess.Popen(["sleep", "60"], env={"PATH": os.environ["PATH"], EXECUTOR: "l", RUN: run}))
    assert remove_former("l", "2", tmp_path / "2") == 1
    assert bystanders[0].wait(10) == -signal.SIGKILL
    assert bystanders[1].poll() is None
    assert remove_own("2", tmp_path / "2") == 1
    assert bystanders[1].wait(10) == -signal.SIGKILL


def write_journal(path: Path, *entries: Entry) -> None:
    """A journal with these attempts open."""
    file: IO[str]
    with path.open("w") as file:
        for entry in entries:
            said = {"attempt": entry.attempt, "pid": entry.pid, "started": entry.started, "scratch": entry.scratch}
            file.write(json.dumps(said) + "\n")

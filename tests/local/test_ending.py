"""Whose processes `--end-executors` ends, and whose not."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.ending import end_executors
from local.processes import kill_group_of, read_mark

from .test_journal import AGENT, EXECUTOR, FRAMEWORK

SLEEP = [sys.executable, "-c", "import time; time.sleep(300)"]


@pytest.fixture
def leader() -> Iterator[subprocess.Popen[bytes]]:
    """Somebody's process that leads a group."""
    process = subprocess.Popen(SLEEP, start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_a_group_is_killed_only_under_its_leaders_mark(leader: subprocess.Popen[bytes]) -> None:
    """A pid that went to another process is left alone."""
    kill_group_of(leader.pid, "another boot:1")
    assert leader.poll() is None
    mark = read_mark(leader.pid)
    assert mark is not None
    kill_group_of(leader.pid, mark)
    assert leader.wait(10) == -signal.SIGKILL


def test_what_a_leader_leaves_behind_goes_with_it() -> None:
    """Its group is still its own while a member lives: the system gives the number to nobody else."""
    leader = subprocess.Popen(
        ["/bin/sh", "-c", "sleep 300 & echo $!"], start_new_session=True, stdout=subprocess.PIPE, text=True
    )
    mark = read_mark(leader.pid) or "ended:0"
    assert leader.stdout is not None
    child = int(leader.stdout.readline())
    leader.wait(10)
    assert read_mark(child) is not None
    pidfd = os.pidfd_open(child)
    kill_group_of(leader.pid, mark)
    leader.stdout.close()
    assert select.select([pidfd], [], [], 10)[0], "it lives on"
    os.close(pidfd)


def test_a_pid_that_somebody_else_has_now_is_not_ended(tmp_path: Path, leader: subprocess.Popen[bytes]) -> None:
    """The journal names it with another start."""
    journal = tmp_path / "agent-0" / "meta" / "journal.jsonl"
    journal.parent.mkdir(parents=True)
    forked = {"k": "forked", "container": "C", "pid": leader.pid, "mark": "another boot:1"}
    journal.write_text("".join(json.dumps(record) + "\n" for record in (AGENT, FRAMEWORK, EXECUTOR, forked)))
    assert end_executors(tmp_path, grace_s=0.1) == 0
    assert leader.poll() is None

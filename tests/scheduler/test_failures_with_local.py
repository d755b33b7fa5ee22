"""Failures of real processes on two agents: tried again elsewhere, with more of what ran out, and learned for the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from swath.domain.retries import Cause
from swath.domain.states import AttemptState, JobState
from swath.store.rows import AttemptRow
from tests.scheduler.cluster import Cluster

# The first attempt of each task leaves a mark, and dies as a process does that the kernel has killed.
FAILS_ONCE = """
import os, pathlib, sys
mark = pathlib.Path({marks!r}, os.environ["INDEX"])
if mark.exists():
    sys.exit(0)
mark.touch()
sys.exit({code})
"""

# Each task writes 10 MiB, and waits until somebody has looked.
FILLS = """
import os, pathlib, time
with pathlib.Path(os.environ["OUTPUT_DIR"], "big").open("wb") as file:
    file.write(bytes(10 << 20))
    file.flush()
    time.sleep(4)
"""


@pytest.fixture
def two_agents(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster of two agents of one machine."""
    made = Cluster(tmp_path, agents=2, interval_s=0.3)
    try:
        yield made.start_local().start_scheduler()
    finally:
        made.close()


def a_context(directory: Path, program: str) -> str:
    (directory / "context").mkdir()
    (directory / "marks").mkdir()
    (directory / "context" / "run.py").write_text(program)
    return str(directory / "context")


def attempts_of(cluster: Cluster, job_id: str, size: int) -> list[list[AttemptRow]]:
    return [list(cluster.store.list_attempts(job_id, index)) for index in range(size)]


def test_tasks_that_die_by_an_exit_code_succeed_elsewhere_with_more_memory(two_agents: Cluster, tmp_path: Path) -> None:
    """137 means too little memory, as the policy says: six tasks, each tried again on the agent where it has not failed."""
    program = FAILS_ONCE.format(marks=str(tmp_path / "marks"), code=137)
    image = two_agents.register("dies", "python run.py", a_context(tmp_path, program))
    retry = {"backoff_s": 0.5, "on": {"APP": "fail", "APP:137": {"grow_mem": 2}}}
    job = two_agents.wait(two_agents.submit(image, 6, mem=16, retry=retry), 90)
    assert (job.state, job.counts.succeeded) == (JobState.SUCCEEDED, 6)
    for first, second in attempts_of(two_agents, job.id, 6):
        assert (first.cause, first.exit_code, second.state) == (Cause.APP, 137, AttemptState.SUCCEEDED)
        assert first.agent_id != second.agent_id
        assert (first.resources.mem, second.resources.mem) == (16, 32)


def test_an_exit_code_that_the_policy_gives_up_ends_the_task_at_once(two_agents: Cluster, tmp_path: Path) -> None:
    """One attempt, although three were allowed and the next would have succeeded; the history says by whose word."""
    program = FAILS_ONCE.format(marks=str(tmp_path / "marks"), code=2)
    image = two_agents.register("gives-up", "python run.py", a_context(tmp_path, program))
    job = two_agents.wait(two_agents.submit(image, 2, retry={"backoff_s": 0.1, "on": {"APP:2": "fail"}}), 60)
    assert (job.state, job.counts.failed) == (JobState.FAILED, 2)
    assert {task.attempts for task in two_agents.store.list_tasks(job.id).items} == {1}
    told = [event.data for event in two_agents.store.read_events(0, job_id=job.id) if event.data.get("cause")]
    assert {data["why"] for data in told} == {"its retry policy says so of APP:2"}


def test_a_job_learns_how_much_disk_its_tasks_need(two_agents: Cluster, tmp_path: Path) -> None:
    """Ten MiB where eight were asked for: three tasks find it out, and the others never fail; a later job begins with it."""
    image = two_agents.register("fills", "python run.py", a_context(tmp_path, FILLS))
    retry = {"backoff_s": 0.1}
    job = two_agents.wait(two_agents.submit(image, 6, disk=8, max_running=3, retry=retry), 120)
    assert (job.state, job.asks_disk, job.resources.disk) == (JobState.SUCCEEDED, 12, 8)
    found = attempts_of(two_agents, job.id, 6)
    failed = [attempts[0] for attempts in found if len(attempts) > 1]
    assert [(attempt.cause, attempt.resources.disk) for attempt in failed] == [(Cause.DISK, 8)] * 3
    assert {attempts[-1].resources.disk for attempts in found} == {12}

    later = two_agents.wait(two_agents.submit(image, 2, disk=8, retry=retry), 60)
    assert {attempt.resources.disk for attempts in attempts_of(two_agents, later.id, 2) for attempt in attempts} == {12}

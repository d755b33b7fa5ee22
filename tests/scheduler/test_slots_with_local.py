"""Slots against `python -m local`, real executors and SQLite: every task once, whoever is killed in the middle."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from swath.domain.retries import Cause
from swath.domain.states import AttemptState, JobState
from swath.store.rows import AttemptRow
from tests.scheduler.cluster import Cluster
from tests.scheduler.test_with_faults import QUICK, find_idle
from tests.scheduler.test_with_local import SLEEPER, a_script

TASKS = 180  # of a third of a second each, three at a time: more than the plan lasts
PLAN = [  # the first seconds are for the scheduler to begin
    {"at_s": 13, "fault": "lose_call", "call": "MESSAGE", "count": 3},
    {"at_s": 13, "fault": "duplicate", "event": "UPDATE", "count": 3},
    {"at_s": 14, "fault": "drop", "event": "UPDATE", "count": 3},
    {"at_s": 14, "fault": "cut"},
    {"at_s": 15, "fault": "lose_call", "call": "ACKNOWLEDGE", "count": 2},
    {"at_s": 15, "fault": "reorder", "event": "UPDATE", "count": 2},
    {"at_s": 16, "fault": "master_failover", "agents_after_s": 0.5},
    {"at_s": 18, "fault": "agent_restart", "down_s": 0.5},
    {"at_s": 20, "fault": "executor_crash"},
    {"at_s": 20, "fault": "lose_call", "call": "MESSAGE", "count": 3},
]

# Each run of each task leaves a mark of its own; the environment and the directory are those of nobody before.
NOTES = """
import os, pathlib, sys, time
before = [name for name in os.listdir(os.environ["HOME"]) if name not in ("stdout", "stderr", "tmp", "output")]
pathlib.Path(os.environ["HOME"], "left").touch()
pathlib.Path({marks!r}, os.environ["INDEX"] + "." + os.environ["SWATH_ATTEMPT"]).write_text(str(before))
print("task", os.environ["INDEX"])
time.sleep({nap})
sys.exit({code})
"""


def attempts_of(cluster: Cluster, job_id: str, size: int) -> list[AttemptRow]:
    """All attempts of a job."""
    return [attempt for index in range(size) for attempt in cluster.store.list_attempts(job_id, index)]


def an_image(cluster: Cluster, directory: Path, nap: float, code: str = "0") -> tuple[int, Path]:
    """One whose tasks note that they ran, and where they leave their notes."""
    marks = directory / "marks"
    marks.mkdir()
    return cluster.register(
        "notes", SLEEPER, a_script(directory, NOTES.format(marks=str(marks), nap=nap, code=code))
    ), marks


def test_short_tasks_share_mesos_tasks_and_nothing_else(cluster: Cluster, tmp_path: Path):
    """Sixty tasks in a few slots: each has its own log, its own directory and its own attempt."""
    image, marks = an_image(cluster, tmp_path, 0)
    job = cluster.wait(cluster.submit(image, 60, cpus=1, short=True), 60)
    assert (job.state, job.counts.succeeded) == (JobState.SUCCEEDED, 60)
    attempts = attempts_of(cluster, job.id, 60)
    assert {attempt.cause for attempt in attempts} <= {None, Cause.UNBEGUN}  # where work came too late for its slot
    attempts = [attempt for attempt in attempts if attempt.cause is None]
    assert len(attempts) == 60
    assert all(attempt.started_at is not None and attempt.exit_code == 0 for attempt in attempts)
    assert {path.name for path in marks.iterdir()} == {f"{one.task_index}.{one.id}" for one in attempts}
    assert {path.read_text() for path in marks.iterdir()} == {"[]"}
    for attempt in attempts:
        assert Path(attempt.sandbox or "", "stdout").read_text() == f"task {attempt.task_index}\n"
    assert len({attempt.slot_id for attempt in attempts}) < 20


def test_a_task_that_fails_in_a_slot_is_tried_again_and_the_others_are_not(cluster: Cluster, tmp_path: Path):
    """Every tenth ends with 3, twice; the rest succeeds at once."""
    image, marks = an_image(cluster, tmp_path, 0, code='3 if int(os.environ["INDEX"]) % 10 == 0 else 0')
    retry = {"max_attempts": 2, "backoff_s": 0.1}
    job = cluster.wait(cluster.submit(image, 30, cpus=1, short=True, retry=retry), 60)
    assert (job.counts.succeeded, job.counts.failed) == (27, 3)
    failed = [one for one in attempts_of(cluster, job.id, 30) if one.state is AttemptState.FAILED]
    assert [(one.task_index, one.exit_code, one.cause) for one in failed] == [
        (index, 3, Cause.APP) for index in (0, 0, 10, 10, 20, 20)
    ]
    assert len(list(marks.iterdir())) == 33


def test_a_cancelled_job_ends_its_slots(cluster: Cluster, tmp_path: Path):
    """What runs is killed, and nothing of the queue begins after that."""
    image, marks = an_image(cluster, tmp_path, 600)
    job_id = cluster.submit(image, 12, cpus=1, short=True)
    cluster.wait_until(lambda: len(list(marks.iterdir())) == 3, 30)
    cluster.store.request_cancel(job_id)
    job = cluster.wait(job_id)
    assert (job.state, job.counts.cancelled) == (JobState.CANCELLED, 12)
    assert len(list(marks.iterdir())) == 3
    assert {one.state for one in attempts_of(cluster, job_id, 12)} == {AttemptState.KILLED}


@pytest.mark.parametrize("victim", ["scheduler", "local", "executor"])
def test_slots_survive_the_death_of_a_program(cluster: Cluster, tmp_path: Path, victim: str):
    """kill -9 in the middle: no task is lost, and none runs twice but by the death of its own executor."""
    survive(cluster, tmp_path, victim)


@pytest.mark.postgres
def test_slots_on_postgresql_survive_their_scheduler(postgres_database: str, tmp_path: Path):
    """The bulk statements of the other database."""
    cluster = Cluster(tmp_path, url=postgres_database)
    try:
        survive(cluster.start_local().start_scheduler(), tmp_path, "scheduler")
    finally:
        cluster.close()


def survive(cluster: Cluster, directory: Path, victim: str) -> None:
    """Kill a program once a few of sixty tasks have succeeded, and wait for the rest."""
    image, marks = an_image(cluster, directory, 0.3)
    job_id = cluster.submit(image, 60, cpus=1, short=True, retry={"max_attempts": 1, "backoff_s": 0.1})
    cluster.wait_until(lambda: cluster.store.get_job(job_id).counts.succeeded >= 6, 40)
    match victim:
        case "executor":
            assert cluster.kill_executors() == 1
        case "scheduler":
            cluster.stop("scheduler", signal.SIGKILL)
            cluster.start_scheduler()
        case _:
            cluster.stop("local", signal.SIGKILL)
            cluster.start_local()
    job = cluster.wait(job_id, 120)
    assert (job.state, job.counts.succeeded) == (JobState.SUCCEEDED, 60)
    runs = [path.name for path in marks.iterdir()]
    assert len(runs) == len(set(runs))
    attempts = attempts_of(cluster, job_id, 60)
    winners = [one.id for one in attempts if one.state is AttemptState.SUCCEEDED]
    assert len(winners) == 60
    assert {run.partition(".")[2] for run in runs} >= set(winners)
    never = {one.id for one in attempts if one.cause is Cause.UNBEGUN}
    if victim == "scheduler":
        assert len(runs) == 60
    if victim != "executor":
        assert not never & {run.partition(".")[2] for run in runs}


@pytest.mark.postgres
@pytest.mark.timeout(240)
def test_slots_survive_faults_of_the_wire_on_postgresql(postgres_database: str, tmp_path: Path):
    """Work and news that are lost, told twice and in another order: one success a task, of one that ran."""
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(PLAN))
    cluster = Cluster(tmp_path, url=postgres_database, interval_s=0.2)
    try:
        cluster.start_local(*QUICK, "--faults", str(plan)).start_scheduler()
        image, marks = an_image(cluster, tmp_path, 0.3)
        retry = {"max_attempts": 1, "backoff_s": 0.1, "unreachable_s": 5}
        job = cluster.wait(cluster.submit(image, TASKS, cpus=1, short=True, retry=retry), 180)
        assert (job.state, job.counts.succeeded) == (JobState.SUCCEEDED, TASKS), cluster.logs()
        assert not (idle := find_idle(tmp_path / "local.log", PLAN)), f"{idle} have hit nothing\n{cluster.logs()}"
        attempts = attempts_of(cluster, job.id, TASKS)
        winners = [one.task_index for one in attempts if one.state is AttemptState.SUCCEEDED]
        assert sorted(winners) == list(range(TASKS))
        assert len({one.slot_id for one in attempts}) < TASKS / 2
        assert {path.name for path in marks.iterdir()} >= {
            f"{one.task_index}.{one.id}" for one in attempts if one.state is AttemptState.SUCCEEDED
        }
    finally:
        cluster.close()

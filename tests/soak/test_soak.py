"""The soak's own parts, and half a minute of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from swath.domain.changes import AddUsage, ChangeAttempt
from swath.domain.ranges import Ranges
from swath.domain.retries import Cause
from swath.domain.states import AttemptState, JobState, TaskState
from swath.domain.usage import Amounts
from swath.store.api_store import ApiStore
from swath.store.database import Database
from swath.store.leadership import Leadership
from swath.store.scheduling import SchedulerStore
from tests.integration.evidence import Diary, Overlap, find_contradictions
from tests.scheduler.cluster import ROOT
from tests.soak.jobs import KINDS, share_out
from tests.soak.plan import make_plan
from tests.soak.verdict import Fate, judge_overlaps
from tests.store.build import NOW, Scene, a_task, figures

NOON = 1_700_000_000.0  # some time, in seconds since 1970


def test_a_seed_gives_one_plan():
    """The same faults again, of which a shorter run has the first ones."""
    assert make_plan(7, 600) == make_plan(7, 600)
    assert make_plan(7, 600)[: len(make_plan(7, 60))] == make_plan(7, 60)
    assert make_plan(7, 600) != make_plan(8, 600)


@pytest.mark.parametrize(("tasks", "rounds"), [(5000, 30), (200, 2), (1, 1), (37, 5)])
def test_the_jobs_of_a_run_have_as_many_tasks_as_were_asked_for(tasks: int, rounds: int):
    """In each kind the numbers are without gap and without repetition."""
    parts = share_out(tasks, rounds, 20.0)
    assert sum(part.size for part in parts) == tasks
    for kind in KINDS:
        mine = [part for part in parts if part.kind is kind]
        numbers = [number for part in mine for number in range(part.first, part.first + part.size)]
        assert numbers == list(range(len(numbers)))


def test_two_attempts_that_were_alive_at_once_are_found(tmp_path: Path):
    """The first ended after the second began. One that never ended may have been killed before."""
    diary = Diary(tmp_path / "diary")
    words = "begin 1 a;begin 2 x;begin 1 b;end 1 a;end 1 b;begin 3 c;begin 3 d;end 3 d;end 2 x;begin 2 y;end 2 y"
    diary.path.write_text("".join(f"{line} {NOON + at}\n" for at, line in enumerate(words.split(";"))))
    assert diary.find_overlaps() == [Overlap(first="a", second="b", since=NOON + 2, seconds=1)]


def test_a_diary_has_the_time_of_each_line(tmp_path: Path):
    """As a shell writes it, with its fraction."""
    diary = Diary(tmp_path / "diary")
    environment, before = {**os.environ, "INDEX": "7", "SWATH_ATTEMPT": "a"}, time.time()
    subprocess.run(["sh", "-c", diary.script()], env=environment, check=True)
    begin, end = diary.read()
    assert (begin.word, begin.index, begin.attempt, end.word) == ("begin", 7, "a", "end")
    assert before <= begin.at <= end.at <= time.time()


def _judge(seconds: float, **first: Any) -> list[str]:
    overlap = Overlap(first="a", second="b", since=NOON, seconds=seconds)
    fate = Fate(state=AttemptState.LOST, **first)
    return judge_overlaps([overlap], {"a": fate, "b": Fate(state=AttemptState.SUCCEEDED)})


@pytest.mark.parametrize("cause", [Cause.LOST, Cause.DROPPED, Cause.DRAINED, None])
def test_a_replacement_that_came_too_early_is_found(cause: Cause | None):
    """Whatever we have written as the cause: the first attempt ran on beside the second."""
    (problem,) = _judge(3.0, cause=cause)
    assert "attempt b began 3.00 s before the end of a" in problem


def test_an_attempt_that_was_replaced_before_its_job_had_waited_is_found():
    """Unreachable is not lost."""
    assert _judge(3.0, cause=Cause.LOST, unreachable_at=datetime.fromtimestamp(NOON - 20, UTC))
    assert not _judge(3.0, cause=Cause.LOST, unreachable_at=datetime.fromtimestamp(NOON - 301, UTC))


def test_what_an_executor_leaves_that_was_killed_is_excused():
    """For ever where it is known to be dead, for a moment where the agent has given it up."""
    assert not _judge(3.0, cause=Cause.AGENT)
    assert not _judge(0.9, cause=Cause.LOST)
    assert _judge(0.9, cause=Cause.DROPPED)  # of which Mesos said that it was never started


def test_an_attempt_that_succeeded_or_that_nobody_knows_excuses_nothing():
    """Not even a moment."""
    overlap = Overlap(first="a", second="b", since=NOON, seconds=0.1)
    assert judge_overlaps([overlap], {"a": Fate(state=AttemptState.SUCCEEDED)})
    assert judge_overlaps([overlap], {})


def test_an_attempt_that_is_accounted_for_never_or_twice_is_found(sqlite_database: str):
    """With whose it is, how it ended, and by how many the account is wrong."""
    database = Database(sqlite_database)
    epoch = Leadership(database).acquire("first", NOW, lease_s=60) or 0
    scene = Scene(api=ApiStore(database), scheduler=SchedulerStore(database), epoch=epoch)
    job = scene.submit()
    ended = ChangeAttempt(attempt_id=scene.launch(job), state=AttemptState.FAILED, cause=Cause.OOM)
    scene.apply(ended, a_task(job, 0, TaskState.FAILED), figures(job, JobState.FAILED, Ranges.of(0), failed=1))
    owner = {"project": "default", "user": "ada", "image": "ndvi:1.0.0", "outcome": "OOM"}
    found = []
    for _ in range(3):
        found.append(find_contradictions(database))
        scene.apply(AddUsage(day=NOW.date(), amounts=Amounts(attempts=1), **owner))
    database.close()
    never, once, twice = found
    assert once == []
    assert "accounted for never or twice: [('default', 'ada', 'ndvi:1.0.0', 'OOM', 1)]" in never[0]
    assert "('default', 'ada', 'ndvi:1.0.0', 'OOM', -1)]" in twice[0]


@pytest.mark.postgres
@pytest.mark.timeout(400)
def test_half_a_minute_of_it_ends_exactly_as_it_has_to(postgres_url: str, tmp_path: Path):
    """200 tasks, a fault every four seconds: all results, all causes, nothing open and nobody left."""
    arguments = ["--minutes", "0.5", "--tasks", "200", "--seed", "4", "--directory", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-8000:]
    report = json.loads(done.stdout)
    assert report["problems"] == []
    assert sum(report["faults"].values()) > 3

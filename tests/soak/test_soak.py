"""The soak's own parts, and half a minute of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.evidence import Diary
from tests.scheduler.cluster import ROOT
from tests.soak.jobs import KINDS, share_out
from tests.soak.plan import make_plan


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
    diary.path.write_text(words.replace(";", "\n"))
    assert diary.find_overlaps() == [("a", "b")]


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

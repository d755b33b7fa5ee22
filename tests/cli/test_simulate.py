"""`swath simulate` and `swath trace`, from words to tables and pictures."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from tests.cli.conftest import JOB_ID, StandIn, a_job, a_task, an_agent, an_attempt, require

Swath = Callable[..., Result]

SWF = Path(__file__).parents[1] / "simulate" / "data" / "synthetic.swf"
SMALL = ("--synthetic", "jobs=12,tasks=4,hours=0.1,interactive=0.2", "--agents", "2x4cpus,16GiB")


def test_two_policies_stand_side_by_side(swath: Swath) -> None:
    """Every figure once a policy, and how they differ; then the projects."""
    result = swath("simulate", *SMALL)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["fair", "fifo", "change"]
    named = {line.split("  ")[0] for line in lines}
    assert {"makespan", "wait: mean", "bounded slowdown: 95 %", "cpus used", "preemptions"} <= named
    assert any(line.startswith("project-1 ") for line in lines)
    assert "12 jobs" in result.stderr


def test_json_is_the_same_for_the_same_seed(swath: Swath) -> None:
    """But for the time that it took."""
    one, two = (json.loads(swath("simulate", *SMALL, "--json").stdout) for _ in range(2))
    for document in (one, two):
        for policy in document["policies"]:
            del policy["plan_s"]
    assert one == two
    assert [policy["policy"] for policy in one["policies"]] == ["fair", "fifo"]
    assert one["policies"][0]["finished"] == one["trace"]["tasks"]
    other = json.loads(swath("simulate", *SMALL, "--seed", "2", "--json").stdout)
    assert other["policies"][0]["wait_s"] != one["policies"][0]["wait_s"]


def test_a_log_of_another_system_runs_on_the_cluster_of_its_header(swath: Swath, tmp_path: Path) -> None:
    """Packed too; what was left out is said."""
    packed = tmp_path / "log.swf.gz"
    packed.write_bytes(gzip.compress(SWF.read_bytes()))
    result = swath("simulate", str(packed), "--policy", "fair", "--cycle", "0", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["cluster"]["agents"] == 4
    assert document["trace"]["jobs"] == 11
    assert "left out" in result.stderr
    (figures,) = document["policies"]
    assert figures["finished"] == 15
    held = work_of_the_log() + 3600 * figures["wasted_cpu_hours"]
    assert figures["utilisation"]["cpus"] == pytest.approx(held / (16 * figures["makespan_s"]))


def work_of_the_log() -> float:
    """Cpu seconds of the jobs of the file, added up by hand."""
    return 600 * 4 + 300 + 1200 * 8 + 60 * 2 + 450 * 3 + 300 + 1800 * 16 + 900 * 4 + 3 * 30


def test_a_broken_log_is_refused_with_its_line(swath: Swath, tmp_path: Path) -> None:
    """And the exit code of what is wrong."""
    broken = tmp_path / "broken.swf"
    broken.write_text("; Computer: x\n1 2 3\n")
    result = swath("simulate", str(broken))
    assert result.exit_code == 2
    assert "line 2: a job has 18 numbers, this line has 3" in result.stderr
    cut = tmp_path / "cut.swf.gz"
    cut.write_bytes(gzip.compress(SWF.read_bytes())[:200])
    assert swath("simulate", str(cut)).exit_code == 2


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("nowhere.swf",), 3, "no file"),
        (("--policy", "best"), 2, "known are fair, fifo"),
        (("--set", "colour=red"), 2, "is not known"),
        (("--synthetic", "jobs=0"), 2, "from 1"),
        (("--agents", "many"), 2, "must look like"),
        (("--agents", "1x1cpus", "--cluster", "x.json"), 2, "either"),
        (("--weight", "forest=-1", "--agents", "1x1cpus"), 2, "weight"),
        (("--weight", "forest", "--agents", "1x1cpus"), 2, "NAME=VALUE"),
        (("--weight", "foo"), 2, "NAME=VALUE"),
        (("--weight", "nobody=2"), 2, "no project 'nobody' here; there are project-1"),
        (("--until", "0"), 2, "when the first job comes"),
        (("--until", "1"), 2, "when the first job comes"),
        (("--agents", "3x0cpus"), 2, "has no cpus"),
        (("--swf-project", "colour"), 2, "must be one of"),
        (("--csv", "/dev/null"), 3, "file exists"),
        (("--csv", "/dev/null/x"), 3, "not a directory"),
        (("--cycle", "soon"), 2, "must look like"),
        (("--plot", "x.gif"), 2, "must end in"),
        (("--plot", "nowhere/x.png"), 3, "no directory"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_simulated(
    swath: Swath, words: tuple[str, ...], code: int, complaint: str
) -> None:
    """With the exit code that scripts know."""
    result = swath("simulate", *words)
    assert result.exit_code == code
    assert complaint in result.stderr


def test_a_cluster_may_be_described_in_a_file(swath: Swath, tmp_path: Path) -> None:
    """Agents, what executors take, and projects with weights; in TOML as well."""
    description = tmp_path / "lab.toml"
    description.write_text(
        '[[agents]]\ncount = 3\nresources = { cpus = 4, mem = 16384 }\n[projects]\n"project-1" = { weight = 3 }\n'
    )
    words = ("--synthetic", "jobs=30,tasks=2", "--cluster", str(description), "--weight", "project-2=2", "--json")
    document = json.loads(swath("simulate", *words, "--policy", "fair").stdout)
    assert document["cluster"]["capacity"] == {"cpus": 12_000, "mem": 49_152}
    weights = {project["project"]: project["weight"] for project in document["policies"][0]["projects"]}
    assert [weights[name] for name in ("project-1", "project-2", "project-3")] == [3.0, 2.0, 1.0]
    description.write_text("[[agents")
    assert swath("simulate", *words).exit_code == 2


def test_a_policy_may_be_a_file(swath: Swath, tmp_path: Path) -> None:
    """What differs from the default is told."""
    (tmp_path / "mild.json").write_text('{"preset": "fair", "past_weight": 0}')
    words = ("--policy", str(tmp_path / "mild.json"), "--set", "preempt=no", "--json")
    (policy,) = json.loads(swath("simulate", *SMALL, *words).stdout)["policies"]
    assert policy["policy"] == "mild"
    assert policy["differs"] == {"past_weight": 0.0, "preempt": False}


def test_tables_are_written_for_programs(swath: Swath, tmp_path: Path) -> None:
    """An attempt a row, with its times; the summary has a row a policy."""
    result = swath("simulate", *SMALL, "--csv", str(tmp_path / "out"), "--json")
    tasks = json.loads(result.stdout)["trace"]["tasks"]
    tables = {path.stem: list(csv.DictReader(path.read_text().splitlines())) for path in (tmp_path / "out").iterdir()}
    assert set(tables) == {"summary", "projects", "timeline", "attempts"}
    assert [row["policy"] for row in tables["summary"]] == ["fair", "fifo"]
    finished = [row for row in tables["attempts"] if row["policy"] == "fifo" and row["end"] == "FINISHED"]
    assert len(finished) == tasks
    assert all(float(row["launched_s"]) >= float(row["submitted_s"]) for row in finished)


@pytest.mark.parametrize(
    ("name", "begin"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF"), ("a.html", b"<!doctype html>")]
)
def test_pictures_are_drawn(swath: Swath, tmp_path: Path, name: str, begin: bytes) -> None:
    """In four formats; a page holds its picture and asks for nothing else."""
    require("matplotlib")
    result = swath("simulate", *SMALL, "--plot", str(tmp_path / name))
    assert result.exit_code == 0, result.stderr
    drawn = (tmp_path / name).read_bytes()
    assert drawn.startswith(begin)
    assert len(drawn) > 10_000
    if name == "a.html":
        assert b"<svg" in drawn
        assert b"<script" not in drawn
        assert b" src=" not in drawn


def test_the_present_cluster_is_simulated_with_its_own_jobs(api: StandIn, swath: Swath, tmp_path: Path) -> None:
    """`trace export` writes what the API tells; a task that was tried again counts with its last attempt."""
    api.answer("GET", "/v1/jobs", {"items": [a_job("SUCCEEDED")], "next": None})
    times = {"started_at": "2026-01-01T00:00:01Z", "ended_at": "2026-01-01T00:00:31Z"}
    tasks = [a_task(0, "SUCCEEDED", attempts=1, **times), a_task(1, "SUCCEEDED", attempts=2, **times)]
    api.answer("GET", f"/v1/jobs/{JOB_ID}/tasks", {"items": tasks, "next": None})
    second = {"started_at": "2026-01-01T00:00:20Z", "ended_at": "2026-01-01T00:00:30Z"}
    attempts = [an_attempt(1, "LOST", started_at=None, ended_at=None), an_attempt(2, "SUCCEEDED", **second)]
    api.answer("GET", f"/v1/jobs/{JOB_ID}/tasks/1/attempts", {"items": attempts})
    api.answer("GET", "/v1/agents", {"items": [an_agent()]})
    declared = {"name": "forest", "declared": True, "weight": 3.0, "parent": None, "quota": {"cpus": 100}}
    api.answer("GET", "/v1/projects", {"items": [declared, {"name": "other", "declared": False, "weight": 1.0}]})
    file = tmp_path / "mine.jsonl"
    assert swath("trace", "export", str(file)).exit_code == 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines[0] == {"format": "swath-trace", "version": 1}
    assert lines[1]["job"] == JOB_ID
    assert {line["task"]: line["run_s"] for line in lines[2:4]} == {0: 30.0, 1: 10.0}
    result = swath("simulate", str(file), "--cluster", "current", "--json")
    assert result.exit_code == 0, result.stderr
    figures = json.loads(result.stdout)["policies"][0]
    assert figures["finished"] == 2
    assert figures["projects"][0]["weight"] == 3.0


@pytest.mark.parametrize(("package", "words"), [("numpy", ()), ("matplotlib", ("--plot", "x.png"))])
def test_what_is_not_installed_is_said(
    swath: Swath, monkeypatch: pytest.MonkeyPatch, package: str, words: tuple[str, ...]
) -> None:
    """With what to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else object())
    result = swath("simulate", *words)
    assert result.exit_code == 4
    assert f"needs {package}: pip install 'swath[" in result.stderr


def test_the_command_line_loads_neither_numpy_nor_matplotlib() -> None:
    """Only who simulates waits for them."""
    code = "import sys, swath.cli.main; sys.exit('numpy' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_directory_that_cannot_be_made_is_no_fault_of_swath(swath: Swath, tmp_path: Path) -> None:
    """The path and what is wrong with it, and the exit code for files that are not there."""
    (tmp_path / "file").write_text("")
    result = swath("simulate", "--synthetic", "jobs=3", "--csv", str(tmp_path / "file" / "below"))
    assert result.exit_code == 3
    assert "not a directory" in result.stderr

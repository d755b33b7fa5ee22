"""Which sandboxes are removed, and which are not."""

from __future__ import annotations

import os
from pathlib import Path

from local.sandboxes import remove_old_runs

DAY_S = 86400.0
NOW = 1_000 * DAY_S


def make_run(work_dir: Path, executor: str, container: str, age_days: float) -> Path:
    """A sandbox with a log, last changed so long ago."""
    run = work_dir / "slaves" / "S0" / "frameworks" / "F" / "executors" / executor / "runs" / container
    run.mkdir(parents=True)
    (run / "stdout").touch()
    latest = run.parent / "latest"
    latest.unlink(missing_ok=True)
    latest.symlink_to(run)
    for path in (run / "stdout", run):
        os.utime(path, (NOW - age_days * DAY_S,) * 2)
    return run


def remove(work_dir: Path, *running: str) -> list[str]:
    return [run.name for run in remove_old_runs(work_dir, lambda name: name in running, NOW - 7 * DAY_S)]


def test_old_runs_go_and_the_newest_ended_ones_stay(tmp_path: Path) -> None:
    """Of six ended a month ago, the three newest stay, whoever's they are; an executor without runs leaves nothing."""
    runs = [make_run(tmp_path, f"ex-{i}", f"c{i}", age_days=40 - i) for i in range(6)]
    assert remove(tmp_path) == ["c0", "c1", "c2"]
    assert [run.exists() for run in runs] == [False] * 3 + [True] * 3
    assert not (tmp_path / "slaves/S0/frameworks/F/executors/ex-0").exists()
    assert remove(tmp_path) == []


def test_what_runs_or_changed_lately_stays(tmp_path: Path) -> None:
    """However many there are."""
    make_run(tmp_path, "ex", "running", age_days=100)
    written = make_run(tmp_path, "ex", "written", age_days=90)
    os.utime(written / "stdout", (NOW, NOW))
    for index in range(4):
        make_run(tmp_path, "ex", f"young-{index}", age_days=1)
    make_run(tmp_path, "ex", "old", age_days=80)
    assert remove(tmp_path, "running") == ["old"]
    runs = written.parent
    assert sorted(path.name for path in runs.iterdir()) == [
        "running",
        "written",
        "young-0",
        "young-1",
        "young-2",
        "young-3",
    ]


def test_what_a_link_leads_to_stays(tmp_path: Path) -> None:
    """Only the link goes with its sandbox."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    for index in range(4):
        run = make_run(tmp_path / "agent", "ex", f"c{index}", age_days=40 - index)
        (run / "link").symlink_to(outside)
        os.utime(run / "link", (0, 0), follow_symlinks=False)
        os.utime(run, (NOW - (40 - index) * DAY_S,) * 2)
    assert remove(tmp_path / "agent") == ["c0"]
    assert (outside / "precious").exists()

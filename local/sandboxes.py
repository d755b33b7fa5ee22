"""The end of sandboxes: those of executors that ended long ago are removed, as by Mesos' `gc_delay`."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

logger = logging.getLogger("local")
KEPT = 3  # of an agent's ended runs, however old: somebody may want to know why nothing runs any more


def remove_old_runs(work_dir: Path, is_running: Callable[[str], bool], before: float) -> list[Path]:
    """Remove the runs below an agent's work directory that nothing runs in and nothing has changed since `before`.

    `is_running` is asked for container ids; `before` is in seconds since the epoch. Returns what was removed, oldest first.
    """
    ended = sorted((changed, run) for changed, run in _find_runs(work_dir) if not is_running(run.name))
    old = [run for changed, run in ended[: max(0, len(ended) - KEPT)] if changed < before]
    for run in old:
        _remove(run)
    return old


def _find_runs(work_dir: Path) -> Iterator[tuple[float, Path]]:
    """Each run with the time of the last change in it, as far as its own files and its attempts' directories tell."""
    for run in work_dir.glob("slaves/*/frameworks/*/executors/*/runs/*"):
        with contextlib.suppress(OSError):
            if run.is_dir() and not run.is_symlink():
                yield max(path.lstat().st_mtime for path in (run, *run.iterdir(), *run.glob("attempts/*"))), run


def _remove(run: Path) -> None:
    """With the directories of an executor that has no other run."""
    try:
        shutil.rmtree(run)
        latest = run.parent / "latest"
        if not latest.exists():
            latest.unlink(missing_ok=True)
            run.parent.rmdir()
            run.parent.parent.rmdir()
    except (OSError, RecursionError) as error:  # other runs lie there, or it is not ours to remove
        if run.exists():
            logger.warning("the sandbox %s could not be removed: %s", run, error)

"""`--end-executors`: end what runs on after `local` has stopped."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from local.agent_checkpoint import replay
from local.journal import Journal
from local.processes import is_alive, kill_group, kill_group_of
from local.server import find_journals, hold

_STEP_S = 0.02


def end_executors(work_dir: Path, *, grace_s: float) -> int:
    """SIGTERM to each executor's process group, SIGKILL after the grace period; -> how many there were.

    Known by pid and start time, so that nobody else's process is hit. The next `local` on this directory reports their
    tasks as failed. Raises WorkDirBusyError while a `local` runs, which would start new ones.
    """
    if not work_dir.exists():
        return 0
    with hold(work_dir):
        alive = [process for process in _find_executors(work_dir) if is_alive(*process)]
        for pid, _ in alive:
            kill_group(pid, signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline and any(is_alive(*process) for process in alive):
            time.sleep(_STEP_S)
        for process in alive:
            kill_group_of(*process)
        return len(alive)


def _find_executors(work_dir: Path) -> list[tuple[int, str]]:
    found = []
    for path in find_journals(work_dir):
        state = replay(Journal(path).read())
        for executor in state.executors.values() if state else ():
            if executor.pid is not None:
                found.append((executor.pid, executor.mark))
    return found

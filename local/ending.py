"""`--end-executors`: end what runs on after `local` has stopped."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from local.agent_checkpoint import replay
from local.agent_environment import shutdown_grace_s
from local.journal import Journal
from local.processes import is_alive, kill_group
from local.server import find_journals, hold

_STEP_S = 0.02


def end_executors(work_dir: Path, *, grace_s: float) -> int:
    """SIGTERM to each executor's process group, SIGKILL after its own grace period (else `grace_s`); -> how many there were.

    Known by pid and start time, so that nobody else's process is hit. A group has ended with its last member: the leader may be
    a shell that ends at once, before the executor has ended its tasks. The next `local` on this directory reports their tasks
    as failed. Raises WorkDirBusyError while a `local` runs, which would start new ones.
    """
    if not work_dir.exists():
        return 0
    with hold(work_dir):
        groups = {pid: grace for pid, mark, grace in _find_executors(work_dir, grace_s) if is_alive(pid, mark)}
        for pid in groups:
            kill_group(pid, signal.SIGTERM)
        _wait_or_kill(groups)
        return len(groups)


def _wait_or_kill(groups: dict[int, float]) -> None:
    """Wait for the end of each process group, and kill it after its grace; its number is its own while a member lives."""
    started = time.monotonic()
    waiting = dict(groups)
    while waiting:
        for pid, grace_s in list(waiting.items()):
            if not _has_members(pid):
                del waiting[pid]
            elif time.monotonic() > started + grace_s:
                kill_group(pid, signal.SIGKILL)
                del waiting[pid]
        time.sleep(_STEP_S)


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _find_executors(work_dir: Path, grace_s: float) -> list[tuple[int, str, float]]:
    """(pid, mark, seconds of grace) of each executor that the journals know."""
    found = []
    for path in find_journals(work_dir):
        state = replay(Journal(path).read())
        for executor in state.executors.values() if state else ():
            if executor.pid is not None:
                found.append((executor.pid, executor.mark, shutdown_grace_s(grace_s, executor.info)))
    return found

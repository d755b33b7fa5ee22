"""Executor processes: started in sessions of their own, known by pid and start time, watched without being their parent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

import psutil

from local.messages import StartProcess

_POLL_S = 0.25
_PROC = Path("/proc")


def read_mark(pid: int) -> str | None:
    """What tells this process from a later one with the same pid; None where there is none (or only a zombie)."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None if _PROC.exists() else _read_mark_elsewhere(pid)
    except ProcessLookupError:
        return None
    return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"  # field 22 of stat: start time in ticks since boot


def _read_mark_elsewhere(pid: int) -> str | None:
    try:
        return str(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def is_alive(pid: int, mark: str) -> bool:
    return read_mark(pid) == mark


def find_by_sandbox(directory: str) -> tuple[int, str] | None:
    """An executor whose pid was not written down before a kill -9: the session leader that runs in this sandbox."""
    for process in psutil.process_iter(["pid"]):
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            environment = process.environ()
            if environment.get("MESOS_SANDBOX") == directory and os.getsid(process.pid) == process.pid:
                mark = read_mark(process.pid)
                if mark is not None:
                    return process.pid, mark
    return None


def kill_group(pid: int, signal_number: int = signal.SIGKILL) -> None:
    """To the process group that the session leader `pid` founded."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal_number)


def kill_group_of(pid: int, mark: str) -> None:
    """SIGKILL to the group that this process founded, and to what is left of it after its founder's end.

    As long as a group has a member, the system gives its number to no new process. So where another process has the number,
    the group is gone.
    """
    if read_mark(pid) in (None, mark):
        kill_group(pid)


class Processes:
    """Starts executors and tells when they end. `on_exit(container_id, raw wait status or -1)`."""

    def __init__(self, on_exit: Callable[[str, int], None]) -> None:
        self._on_exit = on_exit
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._watched: dict[str, tuple[int, str]] = {}  # container id -> pid, mark
        self._pidfds: dict[str, int] = {}

    def start(self, effect: StartProcess) -> tuple[int, str] | None:
        """-> pid and mark; None where it could not be started (the sandbox's stderr says why)."""
        sandbox = Path(effect.directory)
        sandbox.mkdir(parents=True)
        _link_latest(sandbox)
        environment = {**effect.environment, "PWD": effect.directory}
        with (sandbox / "stdout").open("ab") as out, (sandbox / "stderr").open("ab") as err:
            try:
                child = subprocess.Popen(
                    effect.arguments,
                    executable=effect.executable,
                    cwd=sandbox,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,
                )
            except OSError as error:
                err.write(f"Failed to start the executor: {error}\n".encode())
                return None
        self._children[child.pid] = child
        return child.pid, read_mark(child.pid) or ""

    def watch(self, container_id: str, pid: int, mark: str) -> None:
        """Call on_exit once when the process ends, now or later, our child or not."""
        self._watched[container_id] = (pid, mark)
        loop = asyncio.get_running_loop()
        if hasattr(os, "pidfd_open"):
            try:
                pidfd = os.pidfd_open(pid)
            except OSError:
                loop.call_soon(self._report, container_id)
                return
            self._pidfds[container_id] = pidfd
            loop.add_reader(pidfd, self._on_ready, container_id)
            return
        loop.call_later(_POLL_S, self._poll, container_id)

    def kill(self, container_id: str) -> None:
        watched = self._watched.get(container_id)
        if watched is not None and (watched[0] in self._children or is_alive(*watched)):
            kill_group_of(*watched)

    def _on_ready(self, container_id: str) -> None:
        self._close_pidfd(container_id)
        self._report(container_id)

    def _close_pidfd(self, container_id: str) -> None:
        pidfd = self._pidfds.pop(container_id)
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)

    def _poll(self, container_id: str) -> None:
        pid, mark = self._watched[container_id]
        if is_alive(pid, mark):
            asyncio.get_running_loop().call_later(_POLL_S, self._poll, container_id)
        else:
            self._report(container_id)

    def _report(self, container_id: str) -> None:
        """What the executor left in its process group ends with it, as with Mesos' launcher."""
        pid, mark = self._watched.pop(container_id)
        kill_group_of(pid, mark)
        child = self._children.pop(pid, None)
        code = None if child is None else child.wait()
        self._on_exit(container_id, -1 if code is None else to_wait_status(code))

    def close(self) -> None:
        """Stop watching; the executors run on."""
        for container_id in list(self._pidfds):
            self._close_pidfd(container_id)
        for child in self._children.values():
            child.returncode = 0  # they outlive us, and Popen would complain of that
        self._children.clear()


def to_wait_status(code: int) -> int:
    """Popen's return code -> the raw wait status that FAILURE carries (surprise 10): exit(3) is 768, SIGKILL 9."""
    return -code if code < 0 else code << 8


def _link_latest(sandbox: Path) -> None:
    fresh = sandbox.parent / f".latest-{uuid.uuid4().hex}"
    fresh.symlink_to(sandbox)
    fresh.replace(sandbox.parent / "latest")

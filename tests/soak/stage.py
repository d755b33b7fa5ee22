"""The processes of a soak, and everything that is done to them."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from executor.processes import ATTEMPT, read_mark
from tests.fixtures.postgres import Server
from tests.scheduler.cluster import Cluster
from tests.soak.plan import Fault

SCHEDULERS = ("scheduler-a", "scheduler-b")
AGENTS = 3
LEASE_S = 3
RECOVERY_S = 60.0  # for PostgreSQL to serve again
STARTING_S = 15.0  # a Python program with all of ours takes so long to import at most, on a machine that does much else


class Stage:
    """A master with three agents, two schedulers and PostgreSQL. Used by one thread."""

    def __init__(self, directory: Path, server: Server, *, find_leader: Callable[[], int | None]) -> None:
        """`find_leader` gives the pid of the scheduler that leads, as far as is known."""
        self.directory, self.server = directory, server
        self.cluster = Cluster(directory, url=server.url, cpus=4, mem=8192, interval_s=0.2, agents=AGENTS)
        self.done: Counter[str] = Counter()  # faults by kind
        self.problems: list[str] = []
        self._find_leader = find_leader
        self._owed: list[tuple[float, Callable[[], None]]] = []  # (monotonic time, what undoes a fault)
        self._frozen: list[psutil.Process] = []

    def start(self) -> None:
        self.cluster.start_local()
        for name in SCHEDULERS:
            self._start_scheduler(name)

    def _start_scheduler(self, name: str) -> None:
        self.cluster.start_scheduler(name, SWATH_LEASE_S=str(LEASE_S), SWATH_LOG_FORMAT="json")

    # Faults

    def inject(self, fault: Fault) -> str:
        """Do it; what was done, in words."""
        verb, _, target = fault.kind.partition(" ")
        if fault.kind == "restart postgres":
            self._restart_postgres()
            victim = "postgres"
        else:
            found = self._find(target)
            if not found:
                return f"{fault.kind}: nobody there"
            process, victim = found[int(fault.pick * len(found))]
            getattr(self, f"_{verb}")(process, victim, fault.hold_s)
        self.done[fault.kind] += 1
        return f"{verb} {victim} for {fault.hold_s:.1f} s" if fault.hold_s else f"{verb} {victim}"

    def _find(self, target: str) -> Sequence[tuple[psutil.Process, str]]:
        """Processes of a sort, with their names, in a stable order."""
        match target:
            case "local":
                return self._named("local")
            case "leader" | "standby":
                leader = self._find_leader()
                names = [name for name in SCHEDULERS if (self._pid(name) == leader) == (target == "leader")]
                return [found for name in names for found in self._named(name)]
            case "executor":
                return _sorted(self.cluster.find_executors(), "executor")
            case "task":
                return _sorted(self.find_task_processes(), "task")
            case "postmaster":
                return _sorted(self._postmaster(), "postmaster")
            case _:
                return _sorted(self._backends(), "backend")

    def _pid(self, name: str) -> int | None:
        process = self.cluster.processes.get(name)
        return process.pid if process else None

    def _named(self, name: str) -> list[tuple[psutil.Process, str]]:
        pid = self._pid(name)
        with suppress(psutil.NoSuchProcess):
            return [(psutil.Process(pid), name)] if pid else []
        return []

    def find_task_processes(self) -> list[psutil.Process]:
        """What attempts have started, and what is left of it: by the mark in the environment and the working directory."""
        return [
            process for process in psutil.process_iter() if read_mark(process.pid, ATTEMPT) and self._is_ours(process)
        ]

    def find_all(self) -> list[psutil.Process]:
        """Everything that agents have started, executors and their guardians included."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        marks = (read_mark(process.pid, name) or "" for name in ("MESOS_SANDBOX", "OUTPUT_DIR"))
        return any(mark.startswith(str(self.directory)) for mark in marks)

    def _postmaster(self) -> list[psutil.Process]:
        with suppress(OSError, psutil.NoSuchProcess, IndexError, ValueError):
            return [psutil.Process(int((self.server.data / "postmaster.pid").read_text().split()[0]))]
        return []

    def _backends(self) -> list[psutil.Process]:
        """Those that serve a client."""
        children: list[psutil.Process] = []
        for master in self._postmaster():
            with suppress(psutil.NoSuchProcess):
                children += master.children()
        return [child for child in children if "127.0.0.1(" in _title(child)]

    def _kill(self, process: psutil.Process, victim: str, hold_s: float) -> None:
        if victim == "postmaster":
            for child in process.children():
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        with suppress(psutil.NoSuchProcess):
            process.kill()
        if victim == "postmaster":
            self._owe(hold_s, self._start_postgres)
        elif victim in self.cluster.processes:
            self.cluster.processes.pop(victim).wait()
            self._owe(hold_s, lambda: self._restart(victim))

    def _restart(self, name: str) -> None:
        if name == "local":
            self.cluster.start_local()
        else:
            self._start_scheduler(name)

    def _end(self, process: psutil.Process, victim: str, hold_s: float) -> None:
        with suppress(psutil.NoSuchProcess):
            process.terminate()

    def _stop(self, process: psutil.Process, victim: str, hold_s: float) -> None:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
            self._frozen.append(process)
            self._owe(hold_s, lambda: self._thaw(process))

    def _thaw(self, process: psutil.Process) -> None:
        self._frozen.remove(process)
        with suppress(psutil.NoSuchProcess):
            process.resume()

    def _restart_postgres(self) -> None:
        for process in self._frozen:  # a session that does not answer would hold up the server's end
            with suppress(psutil.Error):
                if "postgres" in process.name():
                    process.resume()
        if self._postmaster():
            with suppress(RuntimeError):  # it has been killed meanwhile
                self.server.stop("fast")
        self._start_postgres()

    def _start_postgres(self) -> None:
        """Until it serves: what a killed server left behind must have ended first."""
        deadline = time.monotonic() + RECOVERY_S
        while True:
            try:
                return self.server.start()
            except RuntimeError:
                if "another server might be running" in self._server_log() and self._postmaster():
                    return None
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def _server_log(self) -> str:
        return (self.server.data.parent / "log").read_text(errors="replace")[-2000:]

    # Time

    def _owe(self, after_s: float, undo: Callable[[], None]) -> None:
        self._owed.append((time.monotonic() + after_s, undo))

    def tick(self) -> None:
        """Undo what is due, and notice programs that ended by themselves."""
        now = time.monotonic()
        due = [owed for owed in self._owed if owed[0] <= now]
        self._owed = [owed for owed in self._owed if owed[0] > now]
        for _, undo in due:
            undo()
        for name, process in list(self.cluster.processes.items()):
            if (code := process.poll()) is not None:
                self.problems.append(f"{name} ended by itself with {code}")
                del self.cluster.processes[name]
                self._restart(name)

    def restore(self) -> None:
        """Undo everything that is still owed."""
        owed, self._owed = self._owed, []
        for _, undo in sorted(owed, key=lambda owed: owed[0]):
            undo()

    def end(self) -> None:
        """Stop all programs as an operator does, executors last."""
        for name in (*SCHEDULERS, "local"):
            if name not in self.cluster.processes:
                continue
            begun = psutil.Process(self.cluster.processes[name].pid).create_time()
            # One that was started a moment ago may be told before it listens: the kernel ends it then.
            good = (0, -signal.SIGTERM) if time.time() - begun < STARTING_S else (0,)
            if (code := self.cluster.stop(name, signal.SIGTERM)) not in good:
                self.problems.append(f"{name} ended with {code} when it was told to stop")
        self.cluster.close()


def _sorted(processes: Sequence[psutil.Process], name: str) -> list[tuple[psutil.Process, str]]:
    return [(process, name) for process in sorted(processes, key=lambda process: process.pid)]


def _title(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""

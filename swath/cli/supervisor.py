"""The parent of the laptop cluster's programs: starts them, restarts one that dies, stops them (DESIGN.md 4.10).

Run as `python -m swath.cli.supervisor PLAN.json`. It sleeps in `select` until a signal, a restart or a look at a program's
health is due, so it costs next to nothing while all is well, and it imports only the standard library, so it stays small.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.cli.plan import Plan, Program
from swath.cli.processes import ProcessRef, end, make_follow_parent
from swath.cli.var import Var, VarLockedError

EXIT_STOPPED = 0
EXIT_REFUSED = 4
EXIT_SICK = 7

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STEADY_S = 30.0  # a program that ran this long has recovered: its next restart is immediate again
_LONGEST_DELAY_S = 15.0
_PROBES = 5  # in the time after which silence means that a program hangs
_READY_POLL_S = 0.05
_LOG_LIMIT = 16 * 2**20  # bytes; a longer log is put aside when its program starts


def restart_delay_s(deaths: int) -> float:
    """How long to wait after so many deaths in a row: no time after the first, then 0.5 s, doubled each time."""
    return 0.0 if deaths <= 1 else min(0.5 * 2.0 ** (deaths - 2), _LONGEST_DELAY_S)


@dataclass(kw_only=True, slots=True)
class Child:
    """A program and the process that is it at present."""

    program: Program
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0  # monotonic seconds
    deaths: int = 0  # in a row
    restart_at: float | None = None  # monotonic seconds
    probe_at: float | None = None  # monotonic seconds; None where there is nothing to ask
    answered_at: float | None = None  # monotonic seconds; None until it has answered once


class Supervisor:
    """Runs one plan until it is told to stop."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._say = say
        self._var = Var(root=Path(plan.var))
        self._children = {program.name: Child(program=program) for program in plan.programs}
        self._stop_requests = 0
        self._wakeup = -1  # file descriptor that becomes readable with each signal
        self._follow_parent = make_follow_parent()

    def run(self) -> int:
        """Start, watch and stop the programs; returns the exit code."""
        with self._var.locked(), self._signals():
            self._end_leftovers()
            try:
                if not self._start_all():
                    return EXIT_STOPPED if self._stop_requests else EXIT_SICK
                self._write_cluster("ready")
                self._say(self._plan.greeting)
                while not self._stop_requests:
                    self._pump(None)
                self._say(
                    "stopping; what executors run goes on and is taken over at the next start; `swath down` ends it too"
                )
                return EXIT_STOPPED
            finally:
                self._stop_all()
                self._write_cluster("stopped")

    # Starting

    def _end_leftovers(self) -> None:
        """End what a killed supervisor left behind; its lock is free, so nobody owns them."""
        for process in end(self._var.find_programs().values(), self._plan.stop_s):
            self._say(f"ended process {process.pid}, left behind by an earlier `swath up`")

    def _start_all(self) -> bool:
        """Start everything; False when it did not become ready or was told to stop meanwhile."""
        self._write_cluster("starting")
        for child in self._children.values():
            if child.program.at_once:
                self._start(child)
        if not all(self._run_to_end(program) for program in self._plan.before):
            return False
        for child in self._children.values():
            if not child.program.at_once:
                self._start(child)
        if not self._wait_ready():
            return False
        for program in self._plan.after:
            self._run_to_end(program)
        return True

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        """Start a process in a session of its own, so that the terminal's Ctrl-C reaches only the supervisor."""
        with open_log(self._log_path(program)) as log:
            return subprocess.Popen(
                program.argv,
                cwd=self._plan.root,
                env={**os.environ, **program.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=self._follow_parent,  # safe: the supervisor has one thread
            )

    def _start(self, child: Child) -> None:
        """Start a program, or count a failed try like a death."""
        child.restart_at, child.started_at = None, time.monotonic()
        try:
            child.process = self._spawn(child.program)
            child.probe_at = time.monotonic() if child.program.health else None
        except OSError as error:
            self._on_death(child, f"could not start: {error}")
        self._write_cluster()

    def _run_to_end(self, program: Program) -> bool:
        """Run a one-off step while watching the others; True when it succeeded."""
        process = self._spawn(program)
        while process.poll() is None:
            if self._stop_requests:
                process.terminate()
                process.wait()
                return False
            self._pump(1.0)
        if process.returncode:
            self._say(f"{program.name} failed ({describe_exit(process.returncode)}){self._log_hint(program)}")
        return process.returncode == 0

    def _wait_ready(self) -> bool:
        """Watch until the ready address answers 200; False after `ready_s`."""
        deadline = time.monotonic() + self._plan.ready_s
        while not self._is_ready():
            if self._stop_requests:
                return False
            if time.monotonic() >= deadline:
                self._say(f"not ready after {self._plan.ready_s:g} s; the logs are in {self._var.logs}")
                return False
            self._pump(_READY_POLL_S)
        return True

    def _is_ready(self) -> bool:
        """True when the api answers, and is ours."""
        if self._plan.ready is None:
            return True
        host, port, path = self._plan.ready
        if not answers(host, port, path):
            return False
        return self._plan.own is None or answers(host, port, self._plan.own, self._var.token_file.read_text().strip())

    # Watching

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Turn signals into readable bytes: nothing happens inside a handler."""
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        self._wakeup = reader.fileno()
        before = {number: signal.signal(number, lambda *_: None) for number in (*_STOP_SIGNALS, signal.SIGCHLD)}
        previous = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(previous)
            for number, handler in before.items():
                signal.signal(number, handler)
            reader.close()
            writer.close()

    def _pump(self, timeout_s: float | None) -> None:
        """Sleep until a signal, a due restart or the time-out, then react."""
        times = [at for child in self._children.values() for at in (child.restart_at, child.probe_at) if at is not None]
        due = [at - time.monotonic() for at in times]
        waits = due if timeout_s is None else [*due, timeout_s]
        readable, _, _ = select.select([self._wakeup], [], [], max(0.0, min(waits)) if waits else None)
        if readable:
            numbers = os.read(self._wakeup, 4096)
            self._stop_requests += sum(number in numbers for number in _STOP_SIGNALS)
        if self._stop_requests:
            return
        self._reap()
        self._restart_due()
        self._probe_due()

    def _reap(self) -> None:
        """Notice who has died."""
        for child in self._children.values():
            if child.process is not None and (code := child.process.poll()) is not None:
                child.process, child.probe_at, child.answered_at = None, None, None
                self._on_death(child, f"ended ({describe_exit(code)})")

    def _probe_due(self) -> None:
        """Kill a program that runs and does not answer: it hangs, so it would not hear SIGTERM either."""
        for child in self._children.values():
            if child.process is None or child.probe_at is None or child.probe_at > time.monotonic():
                continue
            if child.program.health and answers(*child.program.health):
                child.answered_at = time.monotonic()
            # While it starts it may take as long as the whole cluster may.
            limit_s = self._plan.ready_s if child.answered_at is None else self._plan.hung_s
            silent_s = time.monotonic() - (child.answered_at or child.started_at)
            child.probe_at = time.monotonic() + self._plan.hung_s / _PROBES
            if silent_s >= limit_s:
                self._say(f"{child.program.name} has not answered for {silent_s:.0f} s: killing it")
                child.process.kill()
                child.probe_at = None

    def _on_death(self, child: Child, what: str) -> None:
        """Plan the restart of a program that is gone."""
        steady = time.monotonic() - child.started_at >= _STEADY_S
        child.deaths = 1 if steady else child.deaths + 1
        delay_s = restart_delay_s(child.deaths)
        child.restart_at = time.monotonic() + delay_s
        when = f"in {delay_s:g} s" if delay_s else "at once"
        self._say(f"{child.program.name} {what}, restarting {when}{self._log_hint(child.program)}")

    def _restart_due(self) -> None:
        """Start those whose delay is over."""
        for child in self._children.values():
            if child.restart_at is not None and child.restart_at <= time.monotonic():
                self._start(child)

    # Stopping

    def _stop_all(self) -> None:
        """Stop the programs, the last started first; a second Ctrl-C kills what is left at once."""
        for child in reversed(self._children.values()):
            if child.process is not None:
                self._stop(child.process)
                child.process = None

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        """SIGTERM, and SIGKILL after the grace."""
        process.terminate()
        deadline = time.monotonic() + self._plan.stop_s
        while process.poll() is None:
            if time.monotonic() >= deadline or self._stop_requests > 1:
                process.kill()
                process.wait()
                return
            self._pump_signals(_READY_POLL_S)

    def _pump_signals(self, timeout_s: float) -> None:
        """Sleep until a signal or the time-out, counting requests to stop."""
        if select.select([self._wakeup], [], [], timeout_s)[0]:
            numbers = os.read(self._wakeup, 4096)
            self._stop_requests += sum(number in numbers for number in _STOP_SIGNALS)

    # Telling

    def _write_cluster(self, state: str | None = None) -> None:
        """Write cluster.json; without a state the last one stands."""
        refs = {name: ProcessRef.of(child.process.pid) for name, child in self._children.items() if child.process}
        document: dict[str, Any] = {
            **self._plan.cluster,
            "state": state or self._var.read_cluster().get("state", "starting"),
            "supervisor": None if state == "stopped" else own_reference(),
            "pids": {name: ref.to_document() for name, ref in refs.items() if ref is not None},
        }
        self._var.write_cluster(document)

    def _log_path(self, program: Program) -> Path:
        return self._var.logs / f"{program.name}.log"

    def _log_hint(self, program: Program) -> str:
        """The last line of a program's log, and where the rest stands."""
        path = self._log_path(program)
        last = last_lines(path, 1)
        return f"; its log {path} ends: {last[0]}" if last else ""


def own_reference() -> dict[str, Any] | None:
    """This process, as cluster.json names it."""
    own = ProcessRef.of(os.getpid())
    return own.to_document() if own else None


def open_log(path: Path) -> Any:
    """A log opened for appending, private to its owner; one that has grown long is put aside first."""
    if path.exists() and path.stat().st_size > _LOG_LIMIT:
        path.replace(path.with_suffix(".log.1"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a text file that are not blank; nothing where it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]


def describe_exit(code: int) -> str:
    """An exit code in words; negative ones are signals, as subprocess has it."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def answers(host: str, port: int, path: str, token: str = "") -> bool:
    """True when an HTTP GET is answered with 200. By hand, for http.client would double the supervisor's memory."""
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n{bearer}Connection: close\r\n\r\n"
    try:
        with socket.create_connection((host, port), timeout=2.0) as connection:
            connection.sendall(request.encode())
            return connection.recv(64).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False


def main(arguments: Iterable[str]) -> int:
    """Run the plan in the named file."""
    plan = Plan.read(Path(next(iter(arguments))))

    def say(text: str) -> None:
        sys.stderr.write(f"swath: {text}\n")
        sys.stderr.flush()

    try:
        return Supervisor(plan, say).run()
    except VarLockedError as error:
        say(str(error))
        return EXIT_REFUSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

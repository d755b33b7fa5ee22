"""The supervisor against small real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swath.cli import processes
from swath.cli.plan import Plan, Program
from swath.cli.processes import ProcessRef
from swath.cli.supervisor import answers, restart_delay_s
from swath.cli.var import Var

SLEEPER = "import time; time.sleep(300)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(300)"
)
# A stand-in for an executor: it leaves its parent's session and lives on.
FORKING = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
pathlib.Path("executor.pid").write_text(str(child.pid))
time.sleep(300)
"""
SERVER = """
import http.server, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404); self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Ready).serve_forever()
"""


def a_program(name: str, code: str, *arguments: str, **options: Any) -> Program:
    """A program that is a line of Python."""
    return Program(name=name, argv=(sys.executable, "-c", code, *arguments), **options)


def eventually(condition: Callable[[], Any], timeout_s: float = 15.0) -> Any:
    """What the condition returns once it is true; fails the test when it does not become so."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


class Running:
    """Supervisors that a test has started."""

    def __init__(self, var: Var) -> None:
        self.var = var
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *programs: Program, **options: Any) -> subprocess.Popen[str]:
        """Start one over these programs."""
        self.var.make()
        plan = Plan(
            var=str(self.var.root), root=str(self.var.root), programs=programs, greeting="all is well", **options
        )
        self.var.plan_file.write_text(plan.to_json())
        environment = {**os.environ, "PYTHONPATH": str(Path(processes.__file__).parents[2])}
        process = subprocess.Popen(
            [sys.executable, "-m", "swath.cli.supervisor", str(self.var.plan_file)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def state(self) -> str | None:
        """What cluster.json says."""
        return self.var.read_cluster().get("state")

    def pid(self, name: str) -> int | None:
        """The pid of a program that runs now."""
        found = self.var.find_programs().get(name)
        return found.pid if found else None

    def stop(self, process: subprocess.Popen[str]) -> str:
        """Ask a supervisor to stop; returns what it said."""
        process.send_signal(signal.SIGINT)
        return process.communicate(timeout=20)[1]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A place for supervisors; whatever they leave behind is ended."""
    place = Running(Var(root=tmp_path / "var"))
    yield place
    for process in place.started:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()
    processes.end(place.var.find_programs().values(), 1.0)
    stray = tmp_path / "var" / "executor.pid"
    if stray.exists() and (ref := ProcessRef.of(int(stray.read_text()))):
        processes.end([ref], 1.0)


def test_the_first_restart_is_immediate_and_later_ones_wait_longer_and_longer() -> None:
    """Delays double from half a second to a quarter of a minute."""
    assert [restart_delay_s(deaths) for deaths in (1, 2, 3, 4, 20)] == [0.0, 0.5, 1.0, 2.0, 15.0]


def test_a_program_that_is_killed_is_started_again(running: Running) -> None:
    """Another pid stands under the same name, and the supervisor said so."""
    supervisor = running.start(a_program("worker", SLEEPER))
    eventually(lambda: running.state() == "ready")
    first = eventually(lambda: running.pid("worker"))
    os.kill(first, signal.SIGKILL)
    second = eventually(lambda: (pid := running.pid("worker")) != first and pid)
    said = running.stop(supervisor)
    assert "worker ended (signal SIGKILL), restarting at once" in said
    assert ProcessRef.of(second) is None


def test_a_program_that_hangs_is_killed_and_started_again(running: Running) -> None:
    """It runs, but its address does not answer any more; one that answers is left alone."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    server = a_program("local", SERVER, str(port), health=("127.0.0.1", port, "/readyz"))
    supervisor = running.start(server, hung_s=0.5)
    eventually(lambda: answers("127.0.0.1", port, "/readyz"))
    first = eventually(lambda: running.pid("local"))
    time.sleep(1.0)  # twice the limit
    assert running.pid("local") == first
    os.kill(first, signal.SIGSTOP)
    second = eventually(lambda: (pid := running.pid("local")) != first and pid)
    eventually(lambda: answers("127.0.0.1", port, "/readyz"))
    assert running.pid("local") == second
    said = running.stop(supervisor)
    assert "local has not answered for" in said
    assert "ended (signal SIGKILL), restarting at once" in said


def test_a_program_that_starts_slowly_is_not_taken_for_one_that_hangs(running: Running) -> None:
    """Until it has answered once it has as long as the cluster has to become ready."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    slow = a_program("local", "import time; time.sleep(1)\n" + SERVER, str(port), health=("127.0.0.1", port, "/readyz"))
    supervisor = running.start(slow, hung_s=0.2)
    eventually(lambda: answers("127.0.0.1", port, "/readyz"))
    assert "restarting" not in running.stop(supervisor)


def test_it_is_ready_only_when_the_address_answers(running: Running) -> None:
    """The greeting follows the 200."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    supervisor = running.start(a_program("api", SERVER, str(port)), ready=("127.0.0.1", port, "/readyz"))
    eventually(lambda: running.state() == "ready")
    assert "all is well" in running.stop(supervisor)
    assert supervisor.returncode == 0


def test_somebody_elses_service_on_our_port_is_not_taken_for_ours(running: Running) -> None:
    """It answers /readyz, but does not take our token: the start fails instead of leading users astray."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    other = subprocess.Popen([sys.executable, "-c", SERVER, str(port)], stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: answers("127.0.0.1", port, "/readyz"))
        ours = a_program("api", SLEEPER)
        supervisor = running.start(ours, ready=("127.0.0.1", port, "/readyz"), own="/v1/agents", ready_s=0.5)
        supervisor.communicate(timeout=20)
        assert supervisor.returncode == 7
    finally:
        other.kill()
        other.wait()


def test_what_never_becomes_ready_is_stopped_and_ends_with_7(running: Running) -> None:
    """The exit code says sick, and no process is left."""
    supervisor = running.start(a_program("api", SLEEPER), ready=("127.0.0.1", 1, "/readyz"), ready_s=0.3)
    pid = eventually(lambda: running.pid("api"))
    said = supervisor.communicate(timeout=20)[1]
    assert supervisor.returncode == 7
    assert "not ready after 0.3 s" in said
    assert ProcessRef.of(pid) is None


def test_a_step_that_fails_ends_the_start_with_its_last_words(running: Running) -> None:
    """A failing migration is shown, and nothing behind it starts."""
    migration = a_program("migrate", "import sys; sys.exit('the disk is full')")
    supervisor = running.start(a_program("api", SLEEPER), before=(migration,))
    said = supervisor.communicate(timeout=20)[1]
    assert supervisor.returncode == 7
    assert "migrate failed (exit code 1)" in said
    assert "the disk is full" in said
    assert not (running.var.logs / "api.log").exists()


def test_programs_stop_in_the_opposite_order_and_what_they_started_lives_on(running: Running) -> None:
    """SIGTERM reaches the last program first; a process in a session of its own is not touched."""
    note = "import signal, sys, time, pathlib\n"
    note += "def bye(*_):\n    open('order', 'a').write(sys.argv[1] + ' '); sys.exit(0)\n"
    note += "signal.signal(signal.SIGTERM, bye); pathlib.Path(sys.argv[1]).touch(); time.sleep(300)"
    supervisor = running.start(
        a_program("first", note, "first"), a_program("second", note, "second"), a_program("forking", FORKING)
    )
    root = running.var.root
    eventually(lambda: all((root / name).exists() for name in ("first", "second", "executor.pid")))
    eventually(lambda: (root / "executor.pid").read_text())
    running.stop(supervisor)
    assert (root / "order").read_text() == "second first "
    assert ProcessRef.of(int((root / "executor.pid").read_text())) is not None
    assert running.state() == "stopped"


def test_a_program_that_ignores_sigterm_is_killed_after_the_grace(running: Running) -> None:
    """It is gone when the supervisor is."""
    supervisor = running.start(a_program("stubborn", STUBBORN), stop_s=0.3)
    pid = eventually(lambda: running.pid("stubborn"))
    eventually(lambda: "up" in (running.var.logs / "stubborn.log").read_text())
    running.stop(supervisor)
    assert ProcessRef.of(pid) is None


def test_a_second_supervisor_in_the_same_directory_is_refused(running: Running) -> None:
    """It ends with 4, names the first one's pid, and the first is untouched."""
    first = running.start(a_program("worker", SLEEPER))
    eventually(lambda: running.state() == "ready")
    second = running.start(a_program("worker", SLEEPER))
    said = second.communicate(timeout=20)[1]
    assert second.returncode == 4
    assert f"already (pid {first.pid})" in said
    assert running.pid("worker")
    running.stop(first)


def test_a_killed_supervisor_takes_its_programs_with_it(running: Running) -> None:
    """Its programs get SIGTERM from the system; those that ignore it are ended by the next supervisor."""
    first = running.start(a_program("worker", SLEEPER), a_program("stubborn", STUBBORN), stop_s=0.3)
    eventually(lambda: running.state() == "ready")
    worker, stubborn = running.pid("worker"), running.pid("stubborn")
    assert worker is not None
    assert stubborn is not None
    eventually(lambda: "up" in (running.var.logs / "stubborn.log").read_text())
    first.kill()
    first.communicate()
    eventually(lambda: ProcessRef.of(worker) is None)
    assert ProcessRef.of(stubborn) is not None
    second = running.start(a_program("worker", SLEEPER), stop_s=0.3)
    eventually(lambda: ProcessRef.of(stubborn) is None)
    said = running.stop(second)
    assert f"ended process {stubborn}" in said


def test_a_stale_pid_of_another_process_is_left_alone(running: Running) -> None:
    """The pid in cluster.json belongs to somebody else now: its start time differs, so it is not signalled."""
    other = subprocess.Popen([sys.executable, "-c", SLEEPER])
    try:
        running.var.make()
        running.var.write_cluster({"pids": {"worker": {"pid": other.pid, "started": "1"}}, "state": "ready"})
        supervisor = running.start(a_program("fresh", SLEEPER))
        eventually(lambda: running.pid("fresh"))
        running.stop(supervisor)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_the_directory_is_closed_and_the_token_is_kept(tmp_path: Path) -> None:
    """0700 and 0600, and a second start keeps the token."""
    var = Var(root=tmp_path / "var")
    var.make()
    token = var.token_file.read_text()
    var.make()
    assert var.token_file.read_text() == token
    assert len(token.strip()) >= 32
    assert oct(var.root.stat().st_mode & 0o777) == "0o700"
    assert oct(var.token_file.stat().st_mode & 0o777) == "0o600"


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    """What is read equals what was written."""
    program = Program(name="api", argv=("a", "b"), environment={"X": "1"}, at_once=True, health=("h", 1, "/"))
    plan = Plan(var="/v", root="/r", programs=(program,), ready=("127.0.0.1", 1, "/readyz"), cluster={"api_url": "u"})
    (tmp_path / "plan.json").write_text(plan.to_json())
    assert Plan.read(tmp_path / "plan.json") == plan
    assert json.loads(plan.to_json())["programs"][0]["name"] == "api"

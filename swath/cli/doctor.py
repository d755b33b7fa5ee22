"""`swath doctor`: what is missing or sick, and the command that mends it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from swath.cli.blueprint import COMPARE, find_checkout
from swath.cli.console import err, out, print_json, shown
from swath.cli.exits import Exit
from swath.cli.machine import Engine
from swath.cli.options import AsJson
from swath.cli.supervisor import answers
from swath.cli.var import Var
from swath.client import Client
from swath.domain.errors import SwathError, UnauthorizedError

OLDEST_PYTHON = (3, 11)
_PACKAGES = ("sqlalchemy", "alembic", "pymesos", "docker", "fastapi", "uvicorn", "numpy", "psutil")
_LEAST_DISK_MIB, _SMALL_DISK_MIB = 512, 4096
_SIGNS = {"good": "[green]ok[/]", "warning": "[yellow]warn[/]", "bad": "[red]bad[/]"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    grade: str  # good, warning or bad
    text: str
    mend: str | None = None  # what to type


def add_commands(app: typer.Typer) -> None:
    """Add `doctor`."""
    app.command(rich_help_panel="The laptop cluster")(doctor)


def doctor(as_json: AsJson = False) -> None:
    """Look at this machine and its cluster: what is missing or sick, and what to type against it (exit code 7)."""
    findings = list(examine(Var.from_environment(os.environ)))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            _print(finding)
    bad = [finding for finding in findings if finding.grade == "bad"]
    if bad:
        err().print(f"{len(bad)} of {len(findings)} checks failed")
        raise typer.Exit(Exit.SICK)


def _print(finding: Finding) -> None:
    console = out()
    console.print(f"{_SIGNS[finding.grade]:<16} {finding.name}: ", end="")
    console.print(shown(finding.text))
    if finding.mend:
        console.print(shown(f"         -> {finding.mend}"))


def examine(var: Var) -> Iterator[Finding]:
    """Everything that can be looked at, the foundations first."""
    yield _python()
    if not os.environ.get("SWATH_URL"):
        yield _programs()
        yield _packages()
        yield _docker()
        yield from _directory(var)
        yield from _database(var)
        yield from _processes(var)
    yield from _service(var)


def _grade(good: bool, name: str, text: str, mend: str, otherwise: str = "bad") -> Finding:
    """A finding whose remedy is shown only where it is needed."""
    return Finding(name=name, grade="good" if good else otherwise, text=text, mend=None if good else mend)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return _grade(sys.version_info >= OLDEST_PYTHON, "python", version, "make PYTHON=python3.11 install")


def _programs() -> Finding:
    try:
        return Finding(name="programs", grade="good", text=f"in {find_checkout()}")
    except SwathError as error:
        return Finding(name="programs", grade="bad", text=str(error), mend="run swath from a checkout: make up")


def _packages() -> Finding:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    return _grade(not missing, "packages", ", ".join(missing) + " missing" if missing else "complete", "make install")


def _docker() -> Finding:
    version = Engine.from_environment(os.environ).version()
    text = (
        f"engine {version}"
        if version
        else "no engine answers; tasks run as plain processes: no limit of cpus, memory is looked at once a second"
    )
    return _grade(version is not None, "docker", text, "sudo systemctl start docker", "warning")


def _directory(var: Var) -> Iterator[Finding]:
    """The directory itself, its disk and its token."""
    place = next(path for path in (var.root, *var.root.parents) if path.exists())
    writable = os.access(place, os.W_OK)
    text = f"{var.root}, writable" if writable else f"{place} is not writable"
    yield _grade(writable, "directory", text, f"chmod u+rwx {place}, or SWATH_VAR=DIR")
    free = shutil.disk_usage(place).free // 2**20
    grade = "bad" if free < _LEAST_DISK_MIB else "warning"
    yield _grade(free >= _SMALL_DISK_MIB, "disk", f"{free} MiB free", f"rm -r {var.outputs}/*, or SWATH_VAR=DIR", grade)
    if var.token_file.exists():
        mode = var.token_file.stat().st_mode & 0o777
        text = f"{var.token_file}, mode {mode:04o}"
        yield _grade(not mode & 0o077, "token", text, f"chmod 600 {var.token_file}")


def _database(var: Var) -> Iterator[Finding]:
    """The revision of the database against that of the programs; a process of its own asks, for it imports the store."""
    if not var.database.exists():
        return
    asked = subprocess.run(
        [sys.executable, "-c", COMPARE],
        env={**os.environ, "SWATH_DATABASE_URL": f"sqlite:///{var.database}"},
        capture_output=True,
        text=True,
        check=False,
    )
    revisions = asked.stdout.split()
    if asked.returncode or len(revisions) != 2:
        text = (asked.stderr.strip().splitlines() or ["no answer"])[-1]
        yield Finding(name="database", grade="bad", text=text, mend="make install; swath up")
        return
    present, wanted = revisions
    text = f"revision {present}" + ("" if present == wanted else f", the programs want {wanted}")
    yield _grade(present == wanted, "database", text, "swath up brings it up to date")


def _processes(var: Var) -> Iterator[Finding]:
    """The programs of cluster.json."""
    if var.find_supervisor() is None:
        stray = ", ".join(var.find_programs())
        text = f"its supervisor is gone, {stray} left behind" if stray else "does not run"
        yield Finding(name="cluster", grade="bad", text=text, mend="swath down; swath up" if stray else "swath up")
        return
    state, running = var.read_cluster().get("state"), var.find_programs()
    yield _grade(state == "ready", "cluster", f"{state}", f"wait, or look into {var.logs}/supervisor.log", "warning")
    for name in ("local", "scheduler", "api"):
        text = f"pid {running[name].pid}" if name in running else "does not run; it is restarted with growing delays"
        yield _grade(name in running, name, text, f"tail {var.logs / (name + '.log')}")


def _service(var: Var) -> Iterator[Finding]:
    """What the api says of itself and of the scheduler."""
    ports = var.read_cluster().get("ports") or {}
    if not os.environ.get("SWATH_URL"):
        if var.find_supervisor() is None or "api" not in ports:
            return
        ready = answers("127.0.0.1", ports["api"], "/readyz")
        text = f"ready at port {ports['api']}" if ready else "does not answer /readyz with 200"
        yield _grade(ready, "api", text, f"tail {var.logs / 'api.log'}")
    try:
        with Client() as client:
            yield from _cluster(client, var.logs)
    except UnauthorizedError as error:
        yield Finding(name="token", grade="bad", text=str(error), mend=f"rm {var.token_file}; swath down; swath up")
    except (SwathError, OSError) as error:
        yield Finding(name="api", grade="bad", text=str(error), mend="swath down; swath up")


def _cluster(client: Client, logs: Path) -> Iterator[Finding]:
    found = client.scheduler()
    well = found["health"] == "ok"
    text = f"connected to {found['master']}" if well else f"the scheduler {found['health']}"
    mend = f"tail {logs / 'scheduler.log'}; swath down; swath up"
    yield _grade(well, "mesos", text, "swath scheduler reset-framework" if found["torn_down"] else mend)
    agents = [agent for agent in client.agents() if agent["active"]]
    yield _grade(bool(agents), "agents", f"{len(agents)} there", f"tail {logs / 'local.log'}; swath down; swath up")
    shut = [agent for agent in agents if agent["deactivated"] or agent["mode"] != "ACTIVE"]
    if agents and len(shut) == len(agents):
        text, mend = "all of them are cordoned or drained: nothing is launched", f"swath agents undrain {shut[0]['id']}"
        yield Finding(name="agents", grade="warning", text=text, mend=mend)

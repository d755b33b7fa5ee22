"""`swath up` and `swath down`: the laptop cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from swath.cli import machine
from swath.cli.blueprint import Ports, Wishes, find_checkout, make_plan
from swath.cli.console import print_json, say
from swath.cli.exits import NotReadyError
from swath.cli.options import AsJson
from swath.cli.ports import PortLocks
from swath.cli.processes import end, send, wait_ended
from swath.cli.supervisor import last_lines, open_log
from swath.cli.var import Var, VarLockedError, write_private
from swath.domain.errors import ConflictError, InternalError

NO_LIMITS = (
    "warning: {reason}, so tasks run as plain processes of this user, in this Python environment. Not enforced: limits of "
    "cpus; network isolation; read-only inputs; the image's own file system. Memory is looked at once a second."
)
_STOP_S = 40.0  # three programs with their grace each
_START_S = 90.0
_POLL_S = 0.05


def add_commands(app: typer.Typer) -> None:
    """Add `up` and `down`."""
    app.command(rich_help_panel="The laptop cluster")(up)
    app.command(rich_help_panel="The laptop cluster")(down)


def up(
    agents: Annotated[int, typer.Option(help="Number of agents.", min=1, max=64)] = 1,
    cpus: Annotated[
        float | None, typer.Option(help="Processors of each agent (default: this machine's).", min=0.1)
    ] = None,
    mem: Annotated[int | None, typer.Option(help="MiB of memory of each agent (default: 3/4 of it).", min=32)] = None,
    disk: Annotated[
        int | None, typer.Option(help="MiB of disk of each agent (default: half the free).", min=32)
    ] = None,
    resources: Annotated[
        str,
        typer.Option(
            help="More of each agent, as Mesos has it: `licences:4;ports:[31000-31999]`.",
            envvar="SWATH_LOCAL_RESOURCES",
        ),
    ] = "",
    attributes: Annotated[
        str, typer.Option(help="Of each agent, for constraints: `rack:r1;disk:ssd`.", envvar="SWATH_LOCAL_ATTRIBUTES")
    ] = "",
    port: Annotated[int | None, typer.Option(help="Port of the API (default: 8642, or a free one).", max=65535)] = None,
    master_port: Annotated[int | None, typer.Option(help="Port of the master (default: 5050 ...).", max=65535)] = None,
    agent_port: Annotated[
        int | None, typer.Option(help="First port of the agents (default: 5051 ...).", max=65535)
    ] = None,
    input_root: Annotated[
        list[str] | None, typer.Option(help="Directory that inputs may lie in; can be repeated (default: /).")
    ] = None,
    docker: Annotated[bool, typer.Option(help="Use the Docker engine where one answers.")] = True,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when it is ready, and leave it running.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start the laptop cluster: database, Mesos stand-in, scheduler and API.

    Ctrl-C stops it; tasks that run are not disturbed and are taken over at the next `swath up`. `swath down` ends them too.

    \b
      swath up                           in the foreground
      swath up --detach --agents 3       three agents, in the background
      SWATH_VAR=/scratch/me swath up     its state elsewhere than in ./var
    """
    if as_json and not detach:
        raise typer.BadParameter("goes with --detach: in the foreground there is nothing to tell", param_hint="--json")
    wishes = Wishes(
        agents=agents,
        cpus=cpus,
        mem=mem,
        disk=disk,
        resources=_checked(resources, "--resources"),
        attributes=_checked(attributes, "--attributes"),
        port=port,
        master_port=master_port,
        agent_port=agent_port,
        input_roots=tuple(str(Path(root).expanduser().absolute()) for root in input_root or ("/",)),
        docker=docker,
    )
    var = Var.from_environment(os.environ)
    locks = prepare(var, wishes)
    command = [sys.executable, "-m", "swath.cli.supervisor", str(var.plan_file)]
    if not detach:
        # The supervisor takes this process over, and the reserved ports with it: it needs none of what is loaded here.
        for descriptor in locks.descriptors:
            os.set_inheritable(descriptor, True)
        os.execve(sys.executable, command, _environment())  # noqa: S606 - there is no shell to want
    start_detached(var, locks)
    if as_json:
        print_json(var.read_cluster())
    else:
        say(f"ready at {var.read_cluster()['api_url']}; `swath down` ends it")


def _checked(text: str, option: str) -> str:
    """The text, where each of its entries has a name and a value; what the values mean, `local` judges."""
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        name, _, value = entry.partition(":")
        if not (name and value):
            raise typer.BadParameter(f"{entry!r} is not of the form NAME:VALUE", param_hint=option)
    return text


def down(as_json: AsJson = False) -> None:
    """Stop the laptop cluster, its executors and their tasks. What it has stored stays."""
    var = Var.from_environment(os.environ)
    stopped = stop(var)
    if as_json:
        print_json({"stopped": stopped, "var": str(var.root)})
    else:
        say(f"stopped {', '.join(stopped)} and their executors" if stopped else f"no cluster runs in {var.root}")


def prepare(var: Var, wishes: Wishes) -> PortLocks:
    """Check, reserve ports and write the plan; raises ConflictError where a cluster runs here already."""
    root = find_checkout()
    var.make()
    locks = PortLocks()
    try:
        with var.locked():
            ports = Ports.choose(wishes, var.read_cluster().get("ports") or {}, locks)
    except VarLockedError as error:
        raise ConflictError(str(error)) from None
    if not wishes.docker:
        say(NO_LIMITS.format(reason="Docker is not to be used"))
    elif machine.Engine.from_environment(os.environ).version() is None:
        say(NO_LIMITS.format(reason="no Docker engine answers"))
    write_private(var.plan_file, make_plan(var, root, wishes, ports).to_json())  # it holds a secret
    return locks


def start_detached(var: Var, locks: PortLocks) -> None:
    """Start the supervisor in the background and wait until all is well; ends with exit code 7 where it does not become so."""
    path = var.logs / "supervisor.log"
    with open_log(path) as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "swath.cli.supervisor", str(var.plan_file)],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=locks.descriptors,
        )
    locks.release()
    try:
        _wait_ready(var, process)
    except BaseException:
        process.terminate()
        process.wait()
        raise


def _wait_ready(var: Var, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline:
        document = var.read_cluster()
        if document.get("state") == "ready" and (document.get("supervisor") or {}).get("pid") == process.pid:
            return
        time.sleep(_POLL_S)
    words = "\n  ".join(last_lines(var.logs / "supervisor.log", 5))
    raise NotReadyError(f"the cluster did not become ready:\n  {words}")


def await_ready(var: Var) -> None:
    """Wait while a cluster that somebody else has started is on its way."""
    deadline = time.monotonic() + _START_S
    while var.find_supervisor() and var.read_cluster().get("state") == "starting" and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def stop(var: Var) -> list[str]:
    """End a cluster and its executors; returns the names of the programs that ran."""
    programs, supervisor = var.find_programs(), var.find_supervisor()
    if supervisor is not None and send(supervisor, signal.SIGTERM) and not wait_ended(supervisor, _STOP_S):
        send(supervisor, signal.SIGKILL)
        wait_ended(supervisor, 5.0)
    end(programs.values(), 8.0)
    _end_executors(var)
    _note_stopped(var)
    return list(programs)


def _end_executors(var: Var) -> None:
    """Let `local` end what its agents have started; they may be there although no cluster runs (Ctrl-C leaves them)."""
    if not var.local.is_dir():
        return
    ended = subprocess.run(
        [sys.executable, "-m", "local", "--end-executors", "--work-dir", str(var.local)],
        cwd=find_checkout(),
        env={**_environment(), "PYTHONPATH": str(find_checkout())},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        words = (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
        raise InternalError(f"could not end the executors: {words}")


def _note_stopped(var: Var) -> None:
    """Correct the cluster.json of a supervisor that was killed."""
    document: dict[str, Any] = var.read_cluster()
    if document:
        var.write_cluster({**document, "state": "stopped", "supervisor": None, "pids": {}})


def _environment() -> dict[str, str]:
    """Our own environment; the supervisor needs to find this package wherever it is started."""
    root = str(Path(__file__).resolve().parents[2])
    known = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != root]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, *known])}

"""How the laptop cluster is put together: ports, environment and command lines of its programs, as a plan."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.cli import machine
from swath.cli.hosts import name_agents
from swath.cli.plan import Plan, Program
from swath.cli.ports import HOST, PortLocks, find_problem
from swath.cli.var import Var
from swath.domain.errors import ConflictError, InvalidInputError

API_PORT, MASTER_PORT, AGENT_PORT = 8642, 5050, 5051
# What an executor holds on each agent beside its tasks. The agents are given this much more, so that a machine with two
# processors runs two tasks of one.
EXECUTOR_CPUS, EXECUTOR_MEM = 0.1, 128
# From where inputs may come (docs/data.md): the laptop's executors take it from whoever starts the cluster.
REMOTE_INPUTS = (
    "SWATH_INPUT_SCHEMES",
    "SWATH_INPUT_HOSTS",
    "SWATH_INPUT_PRIVATE",
    "SWATH_S3_FILE",
    "SWATH_INPUT_CACHE_MIB",
)
# The command line may not import the store, which the light installation does not have; a process of the cluster may.
COMPARE = """
import os
from swath.store.migrate import find_revision, get_head
print(find_revision(os.environ["SWATH_DATABASE_URL"]), get_head())
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What the user asked of `swath up`; None stands for a good default."""

    agents: int = 1
    cpus: float | None = None  # of each agent
    mem: int | None = None  # MiB, of each agent
    disk: int | None = None  # MiB, of each agent
    resources: str = ""  # further ones of each agent, as Mesos' --resources
    attributes: str = ""  # of each agent, as Mesos' --attributes
    port: int | None = None  # of the api
    master_port: int | None = None
    agent_port: int | None = None  # of the first agent; the others follow
    input_roots: tuple[str, ...] = ("/",)
    docker: bool = True  # use the engine where one answers


@dataclass(frozen=True, kw_only=True, slots=True)
class Ports:
    """Where the programs listen on the loopback."""

    api: int
    master: int
    agent: int  # the first one

    @classmethod
    def choose(cls, wishes: Wishes, former: Mapping[str, Any], locks: PortLocks) -> Ports:
        """The ports asked for, else the former ones (executors that run on look for their agent there), else the defaults.

        Where one of those is taken, any free one serves; `locks` holds them. Raises ConflictError for a port that was asked
        for and is taken, InvalidInputError for one that there is not.
        """

        def choose_one(name: str, wish: int | None, default: int, count: int = 1) -> int:
            if wish is not None and (problem := find_problem(wish, count)):
                raise InvalidInputError.at("--port" if name == "api" else f"--{name}-port", f"{wish} {problem}")
            for port in (former.get(name), default) if wish is None else (wish,):
                if isinstance(port, int) and locks.take(port, count):
                    return port
            if wish is not None:
                raise ConflictError(f"port {wish} for the {name} is taken; name another or none")
            return locks.take_any(count)

        return cls(
            api=choose_one("api", wishes.port, API_PORT),
            master=choose_one("master", wishes.master_port, MASTER_PORT),
            agent=choose_one("agent", wishes.agent_port, AGENT_PORT, wishes.agents),
        )


def find_checkout() -> Path:
    """The directory that holds the programs beside the library; raises ConflictError where only the library is installed."""
    root = Path(__file__).resolve().parents[2]
    missing = [
        name for name in ("api", "scheduler", "executor", "local") if not (root / name / "__main__.py").is_file()
    ]
    if missing:
        raise ConflictError(
            f"this installation holds the library only ({', '.join(missing)} not found beside {root / 'swath'}): "
            "run `swath up` from a checkout of Swath (`make up`), or set SWATH_URL and SWATH_TOKEN to reach a cluster"
        )
    return root


def make_plan(var: Var, root: Path, wishes: Wishes, ports: Ports) -> Plan:
    """The plan of the laptop cluster. It holds the secret of `var.make()`: keep it private."""
    principal, secret = var.read_credential() or ("", "")
    common = _common_environment(var, root, wishes, ports)
    cpus, mem, disk = _agent_size(var, wishes)
    python, agents = sys.executable, list(name_agents(wishes.agents, wishes.attributes))
    local = (
        *(python, "-m", "local", "--port", str(ports.master), "--agents", str(wishes.agents)),
        *("--agent-port", str(ports.agent), "--work-dir", str(var.local)),
        *("--credential-file", str(var.credential_file)),
        *("--cpus", f"{cpus + EXECUTOR_CPUS:g}", "--mem", str(mem + EXECUTOR_MEM), "--disk", str(disk)),
        *(("--resources", wishes.resources) if wishes.resources else ()),
        *(word for host, _ in agents for word in ("--hostname", host)),
        *(word for _, attributes in agents for word in ("--attributes", attributes)),
    )
    # Each of the two has its own way to the master or the agents, and no other program has one.
    common_key = {"SWATH_SECRETS_KEY_FILE": str(var.secrets_key_file)}
    scheduler = common | common_key | {"SWATH_PRINCIPAL": principal, "SWATH_SECRET": secret}
    api = common | common_key | {"SWATH_AGENT_PRINCIPAL": principal, "SWATH_AGENT_SECRET": secret}
    url = f"http://{HOST}:{ports.api}"
    size = f"{wishes.agents} agent{'s' if wishes.agents > 1 else ''} of {cpus:g} cpus and {mem} MiB"
    return Plan(
        var=str(var.root),
        root=str(root),
        programs=(
            Program(name="local", argv=local, environment=common, at_once=True, health=(HOST, ports.master, "/health")),
            Program(name="scheduler", argv=(python, "-m", "scheduler"), environment=scheduler),
            Program(name="api", argv=(python, "-m", "api"), environment=api),
        ),
        before=(Program(name="migrate", argv=(python, "-m", "swath.store.migrate"), environment=common),),
        after=(Program(name="register", argv=(python, "-m", "swath.cli.register", str(root)), environment=common),),
        ready=(HOST, ports.api, "/readyz"),
        own="/v1/agents",
        cluster={
            "api_url": url,
            "token_file": str(var.token_file),
            "master": f"{HOST}:{ports.master}",
            "ports": {"api": ports.api, "master": ports.master, "agent": ports.agent},
            "checkout": str(root),
        },
        greeting=f"ready at {url} with {size}; everything is kept in {var.root}",
    )


def _agent_size(var: Var, wishes: Wishes) -> tuple[float, int, int]:
    """cpus, MiB of memory and MiB of disk that each agent has for tasks."""
    count = wishes.agents
    cpus = wishes.cpus if wishes.cpus is not None else max(1, machine.processors() // count)
    mem = wishes.mem if wishes.mem is not None else machine.memory_mib() // count
    disk = wishes.disk if wishes.disk is not None else machine.disk_mib(var.root) // count
    return cpus, mem, disk


def _common_environment(var: Var, root: Path, wishes: Wishes, ports: Ports) -> dict[str, str]:
    """Settings of all programs."""
    input_roots = ":".join(wishes.input_roots)
    executor = {
        "PYTHONPATH": str(root),
        "PATH": os.environ.get("PATH", os.defpath),
        "SWATH_PROCESS_RUNTIME": "1",
        "SWATH_DOCKER": "auto" if wishes.docker else "off",
        "SWATH_INPUT_ROOTS": input_roots,
        "SWATH_INPUT_CACHE": str(var.root / "input-cache"),
        "SWATH_LOGS_ROOT": str(var.root / "task-logs"),
        **{name: os.environ[name] for name in REMOTE_INPUTS if name in os.environ},
    }
    if wishes.docker and os.environ.get("DOCKER_HOST"):
        executor["DOCKER_HOST"] = os.environ["DOCKER_HOST"]
    return {
        "PYTHONPATH": str(root),
        "SWATH_VAR": str(var.root),
        "SWATH_DATABASE_URL": f"sqlite:///{var.database}",
        "SWATH_MASTER": f"{HOST}:{ports.master}",
        "SWATH_OUTPUTS_ROOT": os.environ.get("SWATH_OUTPUTS_ROOT") or str(var.outputs),
        "SWATH_LOGS_ROOT": executor["SWATH_LOGS_ROOT"],
        "SWATH_EXECUTOR_COMMAND": f"exec {shlex.quote(sys.executable)} -m executor",  # no shell between it and signals
        "SWATH_EXECUTOR_ENV": json.dumps(executor),
        "SWATH_EXECUTOR_CPUS": str(EXECUTOR_CPUS),
        "SWATH_EXECUTOR_MEM": str(EXECUTOR_MEM),
        "SWATH_API_HOST": HOST,
        "SWATH_API_PORT": str(ports.api),
        "SWATH_PUBLIC_URL": f"http://{HOST}:{ports.api}",
        "SWATH_TOKEN_FILE": str(var.token_file),
        "SWATH_INPUT_ROOTS": input_roots,
        **{name: executor[name] for name in ("SWATH_INPUT_SCHEMES", "SWATH_S3_FILE") if name in executor},
        "SWATH_DOCKER": executor["SWATH_DOCKER"],
    }

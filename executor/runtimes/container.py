"""What the engine is asked for: one container of an attempt, as the Engine API's JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from executor.runtimes.port import Assignment
from executor.staging import to_names
from swath.domain.errors import InvalidInputError
from swath.domain.manifest import HealthCheck
from swath.domain.resources import Resources
from swath.domain.run import command, environment

ATTEMPT = "swath.attempt"
JOB = "swath.job"
TASK = "swath.task"
EXECUTOR = "swath.executor"
RUN = "swath.run"
SCRATCH = "swath.scratch"
SLOT = "swath.slot"  # of a warm container
GPUS = "swath.gpus"  # which ones of the machine, with commas between

INPUTS = PurePosixPath("/swath/inputs")
OUTPUT = PurePosixPath("/swath/output")
SECRETS = PurePosixPath("/swath/secrets")
TMP = PurePosixPath("/tmp")  # noqa: S108 - of the container
# In memory, and counted against the container's: for what expects to leave a socket or a pid somewhere.
_RUN_DIRECTORY = {"/run": "rw,nosuid,nodev,noexec,size=16m,mode=1777"}

_MIB = 2**20
_LEAST_MEM = 6  # MiB; the engine takes no less
_LEAST_CPUS_M = 10  # nor fewer CPUs
_LONGEST = (
    128 * 1024
)  # bytes of an argument, or of a variable with its name, and the one that ends it: Linux's MAX_ARG_STRLEN


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """What containers of this executor have in common."""

    label: str  # the executor's ...
    run: str  # ... and its run's
    sandbox: Path  # as the executor sees it ...
    host_sandbox: Path  # ... and as the engine does: its paths are the machine's
    pids_limit: int
    open_files: int  # of one process
    networks: frozenset[str]  # that images may ask for
    cpus: int  # of the machine
    ports_address: str  # of the machine, on which attempts' ports are published

    def to_host(self, path: Path) -> str:
        """A path as the engine knows it. As text: a container has half a dozen of them, and pathlib takes its time."""
        own, sandbox = str(path), str(self.sandbox)
        is_within = own == sandbox or own.startswith(f"{sandbox}/")
        return f"{self.host_sandbox}{own[len(sandbox) :]}" if is_within else own


@dataclass(frozen=True, kw_only=True, slots=True)
class Berth:
    """What one container is given besides what its attempt asks for."""

    image: str  # id
    user: str | None  # "uid:gid"; None for the image's own
    volumes: Mapping[str, Path]  # a path that the image declares as a volume -> a directory of the attempt
    gpus: tuple[int, ...] = ()  # which ones of the machine


def make_config(assignment: Assignment, berth: Berth, site: Site) -> dict[str, Any]:
    """The body of "create a container"; raises InvalidInputError for a command that cannot be split, or is too long, and for a
    network that this site does not allow.

    The command becomes the arguments of the image's entry point, as Seed has it.
    """
    order, spec = assignment.order, assignment.order.spec
    if order.swath_manifest.network not in site.networks:
        allowed = ", ".join(sorted(site.networks))
        message = f"{order.swath_manifest.network} is not allowed to images here, only {allowed} (SWATH_NETWORKS)"
        raise InvalidInputError.at("/network", message)
    arguments, variables = make_command(assignment, OUTPUT)
    config = {
        "Image": berth.image,
        "Cmd": arguments or None,
        "Env": [f"{name}={value}" for name, value in variables.items()],
        "Labels": _labels(assignment, berth, site),
        "AttachStdout": True,
        "AttachStderr": True,
        "OpenStdin": False,
        "Tty": False,
        "NetworkDisabled": order.swath_manifest.network == "none",
        "Healthcheck": _health_check(order.swath_manifest.health),
        "HostConfig": _host_config(assignment, Resources.from_document(spec.resources), berth, site),
    }
    if is_published(assignment):
        config["ExposedPorts"] = {_to_key(port): {} for port in spec.ports}
    return config | ({"User": berth.user} if berth.user else {})


def make_command(assignment: Assignment, output: PurePosixPath) -> tuple[list[str], dict[str, str]]:
    """The arguments of the image's entry point, and the variables; raises InvalidInputError."""
    order, spec = assignment.order, assignment.order.spec
    variables = environment(
        order.manifest,
        files=_to_paths(assignment),
        parameters=spec.parameters,
        settings=assignment.settings(lambda name, _: str(SECRETS / name)),
        resources=Resources.from_document(spec.resources),
        output_dir=str(output),
        ports=spec.ports,
    )
    arguments = command(order.manifest, variables)
    _check_lengths([*arguments, *(f"{name}={value}" for name, value in variables.items())])
    return arguments, variables


def is_published(assignment: Assignment) -> bool:
    """True where the attempt has ports and a network of its own: on the machine's, a command is there already."""
    return bool(assignment.order.spec.ports) and assignment.order.swath_manifest.network == "bridge"


def _health_check(health: HealthCheck | None) -> dict[str, Any]:
    """The manifest's. An image's own counts nothing: nobody has promised that it means what it does here."""
    if health is None:
        return {"Test": ["NONE"]}
    return {
        "Test": ["CMD", *health.command],
        "Interval": int(health.interval_s * 1e9),
        "Timeout": int(health.timeout_s * 1e9),
        "StartPeriod": int(health.start_s * 1e9),
        "Retries": health.retries,
    }


def _to_key(port: int) -> str:
    return f"{port}/tcp"


def _check_lengths(words: list[str]) -> None:
    """A container whose command the kernel refuses has started for the engine, and ends with the exit code 1."""
    longest = max((len(word.encode(errors="surrogatepass")) for word in words), default=0)
    if longest >= _LONGEST:  # which one is not told: its value may be a secret
        raise InvalidInputError.at(
            "/parameters", f"{longest} bytes in one are too long for a command, {_LONGEST} or more"
        )


def _host_config(assignment: Assignment, resources: Resources, berth: Berth, site: Site) -> dict[str, Any]:
    limits: dict[str, Any] = {"PidsLimit": site.pids_limit, "Ulimits": _ulimits(site)}
    if resources.cpus_m:
        # The engine refuses more CPUs than the machine has, while an agent may offer what it likes.
        limits["NanoCpus"] = min(max(resources.cpus_m, _LEAST_CPUS_M), site.cpus * 1000) * 10**6
        limits["CpuShares"] = max(2, resources.cpus_m * 1024 // 1000)
    if resources.mem:
        # The same for memory and swap together: no swap.
        limits["Memory"] = limits["MemorySwap"] = max(resources.mem, _LEAST_MEM) * _MIB
    if assignment.order.manifest.shared_mem:
        limits["ShmSize"] = assignment.order.manifest.shared_mem * _MIB
    if berth.gpus:
        devices = [str(number) for number in berth.gpus]
        limits["DeviceRequests"] = [{"Driver": "", "DeviceIDs": devices, "Capabilities": [["gpu"]]}]
    if is_published(assignment):
        # The same number inside and outside, so that a command can tell others where it is.
        ports = assignment.order.spec.ports
        limits["PortBindings"] = {
            _to_key(port): [{"HostIp": site.ports_address, "HostPort": str(port)}] for port in ports
        }
    return limits | {
        "NetworkMode": assignment.order.swath_manifest.network,
        "Mounts": _mounts(assignment, berth, site),
        "Tmpfs": {path: options for path, options in _RUN_DIRECTORY.items() if path not in berth.volumes},
        "Init": True,  # reaps zombies and passes SIGTERM on to a command that would ignore it as process 1
        "ReadonlyRootfs": True,  # the output and /tmp are mounts: all that is written counts against the attempt's disk
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        # The output is attached to and written to files of bounded size; the engine's own copy would have no bound.
        "LogConfig": {"Type": "none", "Config": {}},
        "RestartPolicy": {"Name": "no"},
    }


def _ulimits(site: Site) -> list[dict[str, Any]]:
    """Open files as the site says; no core files, which would fill the attempt's disk."""
    return [{"Name": name, "Soft": most, "Hard": most} for name, most in (("nofile", site.open_files), ("core", 0))]


def _labels(assignment: Assignment, berth: Berth, site: Site) -> dict[str, str]:
    spec, scratch = assignment.order.spec, assignment.places.scratch
    labels = {ATTEMPT: spec.attempt, JOB: spec.job, TASK: str(spec.task), EXECUTOR: site.label, RUN: site.run}
    labels |= {GPUS: ",".join(map(str, berth.gpus))} if berth.gpus else {}
    return labels | ({SCRATCH: str(scratch)} if scratch else {})


def _mounts(assignment: Assignment, berth: Berth, site: Site) -> list[dict[str, Any]]:
    """Mounts, not binds: a path may hold a colon."""
    places = assignment.places
    mounts = [
        make_mount(site.to_host(path), INPUTS / name / file, read_only=True)
        for name, paths in assignment.inputs.items()
        for path, file in zip(paths, to_names(paths), strict=True)
    ]
    mounts.append(make_mount(site.to_host(places.output_dir), OUTPUT))
    files = assignment.secret_files.items()
    mounts += [make_mount(site.to_host(path), SECRETS / name, read_only=True) for name, path in files]
    # Of the attempt, not the engine's own: what is written there counts against its disk, and goes with it.
    mounts += [make_mount(site.to_host(path), PurePosixPath(volume)) for volume, path in berth.volumes.items()]
    return [*mounts, make_mount(site.to_host(places.tmp), TMP)]


def make_mount(source: str, target: PurePosixPath, *, read_only: bool = False) -> dict[str, Any]:
    """A directory or file of the machine in the container."""
    return {"Type": "bind", "Source": source, "Target": str(target), "ReadOnly": read_only}


def _to_paths(assignment: Assignment) -> Mapping[str, str]:
    """Each input's path in the container: the file under its own name, or the directory that holds all of them."""
    multiple = {entry.name for entry in assignment.order.manifest.job.interface.inputs.files if entry.multiple}
    return {
        name: str(INPUTS / name if name in multiple else INPUTS / name / to_names(paths)[0])
        for name, paths in assignment.inputs.items()
    }

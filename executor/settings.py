"""What the executor is told by its environment: MESOS_* by the agent, SWATH_* by the scheduler's EXECUTOR_ENV.

A plain dataclass, not pydantic-settings: one executor runs on every agent, and its memory is taken from the tasks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from executor.bounds import Bounds, find_closed, resolve
from executor.fetching.limits import Fetching
from executor.secret_files import prefix_of
from executor.sweeping import Keeping
from swath.s3 import split_href

_DURATION = re.compile(r"(?P<number>[0-9.]+)\s*(?P<unit>ns|us|ms|secs|mins|hrs|days|weeks)")
MEMORY = Path("/dev/shm")  # noqa: S108 - a file system that no disk keeps
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "secs": 1.0, "mins": 60.0, "hrs": 3600.0, "days": 86400.0}
_SECONDS["weeks"] = 7 * _SECONDS["days"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The executor's settings; every path is absolute."""

    sandbox: Path  # this executor's, as it sees it
    host_sandbox: Path  # the same as the machine sees it: another path where the executor is a container
    label: str  # which executor of which agent this is; the mark on everything it starts
    shutdown_grace_s: float
    process_runtime: bool  # may commands run outside of containers?
    docker: Literal["auto", "off"]
    bounds: Bounds  # of inputs
    idle_s: float
    staging_s: float  # for an attempt's image and inputs to be had
    publishing_s: float  # for its outputs to be stored
    force_s: float = 60.0  # of SIGKILLs in vain, before an attempt is given up
    log_limit: int = 100 * 2**20  # bytes of stdout, and of stderr, that are kept
    kept_attempts: int = 1000  # whose logs stay: so many that have succeeded, and so many that have not
    kept_bytes: int = 2**30  # of these logs
    pids_limit: int = 1024  # processes and threads of one container
    open_files: int = 16384  # of one process in a container
    networks: frozenset[str] = frozenset({"none", "bridge"})  # that images may ask for
    allow_root: bool = False  # may images run as root where they say so?
    registry_config: Path | None = None  # credentials for registries, as `docker login` writes them
    image_cache_mib: float = 0.0  # of images that are kept; 0 for no limit
    hook_before: Path | None = None  # programs of the site's, run before and after each container
    hook_after: Path | None = None
    hook_s: float = 60.0  # for one of these
    prefetch_free_mib: float = 10 * 1024  # of disk that images which are pulled ahead leave alone
    ports_address: str = "127.0.0.1"  # of the machine, on which containers' ports are published
    python_path: str | None = None
    logs_root: str | None = (
        None  # a directory, or "s3://bucket/prefix", to which logs are shipped; None: they stay here
    )
    keeping: Keeping = field(default_factory=Keeping)  # of shipped logs
    fetching: Fetching = field(default_factory=Fetching)  # of inputs from other machines
    secrets_dir: Path = MEMORY  # for secrets that are wanted as files

    @property
    def run(self) -> str:
        """Which run of the executor this is: each has a directory of its own (".../runs/<container>")."""
        return hashlib.sha256(f"{self.label}\0{self.host_sandbox}".encode()).hexdigest()[:16]

    @property
    def secret_files(self) -> Path:
        """This run's own directory there."""
        return self.secrets_dir / f"{prefix_of(self.label)}{self.run}"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """The settings in an environment; raises ValueError that names the variable which is wrong or missing."""
        sandbox = _directory(environ, "MESOS_SANDBOX", environ.get("MESOS_DIRECTORY", ""))
        host_sandbox = _directory(environ, "MESOS_DIRECTORY", str(sandbox))
        identity = [environ.get(name, "") for name in ("MESOS_FRAMEWORK_ID", "MESOS_SLAVE_ID", "MESOS_EXECUTOR_ID")]
        docker, fetching = environ.get("SWATH_DOCKER", "auto"), Fetching.from_environ(environ)
        logs_root = _logs_root(environ)
        logs = (Path(logs_root),) if logs_root and logs_root.startswith("/") else ()
        closed = (*find_closed(environ, (sandbox, host_sandbox)), *fetching.closed, *logs)
        if docker not in ("auto", "off"):
            raise ValueError(f"SWATH_DOCKER is {docker!r}; it may be 'auto' or 'off'")
        return cls(
            sandbox=sandbox,
            host_sandbox=host_sandbox,
            label=hashlib.sha256("\0".join(identity).encode()).hexdigest()[:16],
            # "Durations in env are strings such as '15mins', '5secs'" (transcript 04i, surprise 8).
            shutdown_grace_s=to_seconds(environ.get("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "5secs")),
            process_runtime=environ.get("SWATH_PROCESS_RUNTIME", "0") == "1",
            docker="off" if docker == "off" else "auto",
            bounds=_bounds(environ, docker, closed),
            idle_s=_number(environ, "SWATH_EXECUTOR_IDLE_S", 600),
            staging_s=_number(environ, "SWATH_STAGING_S", 1800),
            publishing_s=_number(environ, "SWATH_PUBLISHING_S", 1800),
            force_s=_number(environ, "SWATH_FORCE_S", 60),
            log_limit=int(_number(environ, "SWATH_LOG_LIMIT_MIB", 100) * 2**20),
            kept_attempts=int(_number(environ, "SWATH_KEPT_ATTEMPTS", 1000)),
            kept_bytes=int(_number(environ, "SWATH_KEPT_LOGS_MIB", 1024) * 2**20),
            pids_limit=int(_number(environ, "SWATH_PIDS_LIMIT", 1024)),
            open_files=int(_number(environ, "SWATH_OPEN_FILES", 16384)),
            networks=_networks(environ),
            allow_root=environ.get("SWATH_ALLOW_ROOT", "0") == "1",
            registry_config=_file(environ, "SWATH_REGISTRY_CONFIG"),
            image_cache_mib=_number(environ, "SWATH_IMAGE_CACHE_MIB", 0),
            hook_before=_file(environ, "SWATH_HOOK_BEFORE"),
            hook_after=_file(environ, "SWATH_HOOK_AFTER"),
            hook_s=_number(environ, "SWATH_HOOK_S", 60),
            prefetch_free_mib=_number(environ, "SWATH_PREFETCH_FREE_MIB", 10 * 1024),
            ports_address=environ.get("SWATH_PORTS_ADDRESS", "127.0.0.1"),
            python_path=environ.get("PYTHONPATH"),
            logs_root=logs_root,
            keeping=Keeping(
                days=_number(environ, "SWATH_LOGS_DAYS", 90), size=int(_number(environ, "SWATH_LOGS_GIB", 100) * 2**30)
            ),
            fetching=fetching,
            secrets_dir=_directory(environ, "SWATH_SECRETS_DIR", str(MEMORY)),
        )


def _logs_root(environ: Mapping[str, str]) -> str | None:
    given = environ.get("SWATH_LOGS_ROOT")
    if not given or not given.startswith("s3://"):
        return str(_directory(environ, "SWATH_LOGS_ROOT", "")) if given else None
    try:
        split_href(given)
    except ValueError as error:
        raise ValueError(f"SWATH_LOGS_ROOT is {given!r}, which {error}") from None
    return given


def _bounds(environ: Mapping[str, str], docker: str, closed: tuple[Path, ...]) -> Bounds:
    """A command that is a process may read what it likes; containers see what they are given, so somebody has to say what."""
    roots = environ.get("SWATH_INPUT_ROOTS")
    if not roots and docker == "auto" and environ.get("SWATH_PROCESS_RUNTIME") != "1":
        raise ValueError("SWATH_INPUT_ROOTS names no directory; containers are given inputs from below these only")
    return Bounds(
        roots=tuple(resolve(Path(root)) for root in (roots or "/").split(":") if root),
        closed=tuple(dict.fromkeys(map(resolve, closed))),
    )


def to_seconds(duration: str) -> float:
    """Seconds of a duration as Mesos writes it ("5secs", "15mins"); raises ValueError for anything else."""
    match = _DURATION.fullmatch(duration.strip())
    if match is None:
        raise ValueError(f"{duration!r} is no duration such as '5secs'")
    return float(match["number"]) * _SECONDS[match["unit"]]


def _directory(environ: Mapping[str, str], name: str, default: str) -> Path:
    path = Path(environ.get(name, default))
    if not path.is_absolute():
        raise ValueError(f"{name} names no absolute directory; a Mesos agent sets it for its executors")
    return path


def _file(environ: Mapping[str, str], name: str) -> Path | None:
    path = Path(environ.get(name) or "/")
    if not path.is_absolute():
        raise ValueError(f"{name} is {environ[name]!r}; it has to be an absolute path")
    return path if environ.get(name) else None


def _networks(environ: Mapping[str, str]) -> frozenset[str]:
    found = frozenset(environ.get("SWATH_NETWORKS", "none,bridge").replace(" ", "").split(","))
    if not found <= {"none", "bridge", "host"}:
        raise ValueError(f"SWATH_NETWORKS is {environ['SWATH_NETWORKS']!r}; it may name none, bridge and host")
    return found


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    try:
        return float(environ.get(name, default))
    except ValueError:
        raise ValueError(f"{name} is {environ[name]!r}; it has to be a number") from None

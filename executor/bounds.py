"""Which paths of this machine may become inputs.

A directory is mounted with all that it holds: the one with the engine's socket would hand over the machine, the agent's
would hand over other tasks' files, and the laptop cluster's its tokens.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_ALWAYS = ("/proc", "/sys", "/dev", "/run", "/var/run")
_SOCKET = "unix:///var/run/docker.sock"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """Where inputs may lie; every path is resolved."""

    roots: tuple[Path, ...]  # below one of these ...
    closed: tuple[Path, ...]  # ... and neither in, nor above, any of these

    def complaint(self, path: Path, outputs_root: Path) -> str | None:
        """Why a resolved path may be no input; None where it may. What jobs have published is open to other jobs."""
        if not any(path.is_relative_to(root) for root in self.roots):
            return "lies outside of the directories that inputs may come from"
        for closed in self.closed:
            if closed.is_relative_to(path):
                return f"holds {closed}, which no task may see"
            published = outputs_root.is_relative_to(closed) and path.is_relative_to(outputs_root)
            if path.is_relative_to(closed) and not published:
                return f"lies in {closed}, which no task may see"
        return None


def find_closed(environ: Mapping[str, str], sandboxes: tuple[Path, ...]) -> Iterator[Path]:
    """The directories that no input may come from: the kernel's, the engine's, the agent's, the laptop cluster's."""
    yield from (Path(name) for name in _ALWAYS)
    scheme, _, socket = environ.get("DOCKER_HOST", _SOCKET).partition("://")
    if scheme == "unix":
        yield Path(socket).parent
    yield from find_credentials(environ)
    yield from (find_work_directory(sandbox) for sandbox in sandboxes)
    if environ.get("SWATH_VAR"):
        yield Path(environ["SWATH_VAR"])


def find_credentials(environ: Mapping[str, str]) -> Iterator[Path]:
    """The files from which the engine is given credentials for registries."""
    if environ.get("SWATH_REGISTRY_CONFIG"):
        yield Path(environ["SWATH_REGISTRY_CONFIG"])
    home = environ.get("DOCKER_CONFIG") or (environ.get("HOME") and f"{environ['HOME']}/.docker")
    if home and (config := Path(home, "config.json")).exists():
        yield config


def find_work_directory(sandbox: Path) -> Path:
    """The agent's work directory: `<work directory>/slaves/<agent>/frameworks/.../runs/<container>` is the sandbox's path."""
    for parent in sandbox.parents:
        if parent.name == "slaves":
            return parent.parent
    return sandbox


def resolve(path: Path) -> Path:
    """The path without links, whether it is there or not."""
    return Path(os.path.realpath(path))

"""A tiny image, and the bare cost of a container of it: what the Docker engine takes where nothing else is in between."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docker import DockerClient

COMMAND = "true"
CPUS, MEM = 1, 64  # of a container; MiB
HOST_CONFIG = {
    "NanoCpus": CPUS * 10**9,
    "Memory": MEM * 2**20,
    "MemorySwap": MEM * 2**20,
    "PidsLimit": 512,
    "NetworkMode": "none",
    "Init": True,
    "ReadonlyRootfs": True,
    "CapDrop": ["ALL"],
    "SecurityOpt": ["no-new-privileges"],
    "LogConfig": {"Type": "none", "Config": {}},
}


@contextmanager
def connected() -> Iterator[DockerClient | None]:
    """The engine, or None where none answers."""
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env()
        client.ping()
    except DockerException:
        yield None
        return
    try:
        yield client
    finally:
        client.close()


@contextmanager
def tiny_image(client: DockerClient) -> Iterator[str]:
    """The id of an image that holds `true` and the libraries that it loads; removed in the end."""
    image = _import(_archive())
    try:
        yield image
    finally:
        client.images.remove(image=image, force=True)


def _archive() -> bytes:
    program = shutil.which(COMMAND)
    if program is None:
        raise RuntimeError(f"this machine has no program `{COMMAND}`")
    libraries = re.findall(r"(/\S+) \(", subprocess.run(["ldd", program], capture_output=True, text=True).stdout)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(Path(program).resolve(), arcname=f"bin/{COMMAND}")
        for library in libraries:
            tar.add(Path(library).resolve(), arcname=library.lstrip("/"))
    return packed.getvalue()


def _import(archive: bytes) -> str:
    done = subprocess.run(["docker", "import", "-"], input=archive, capture_output=True, check=True)
    return done.stdout.decode().strip()


def bare_container_ms(client: DockerClient, image: str) -> float:
    """Milliseconds until a container that does nothing has been created and started, closed and limited as Swath's are.

    The limits matter: an engine starts a container inside of its limits, and 0.02 CPUs make that take most of a second.
    """
    api: Any = client.api  # some of what is called here has no types in its stubs
    started = time.perf_counter()
    config = {"Image": image, "Cmd": [COMMAND], "NetworkDisabled": True, "HostConfig": HOST_CONFIG}
    container = api.create_container_from_config(config)["Id"]
    api.start(container)
    elapsed = 1000 * (time.perf_counter() - started)
    api.wait(container)
    api.remove_container(container)
    return elapsed

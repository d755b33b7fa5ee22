"""What a container costs through Swath, beside the bare engine; and what a thousand of them leave behind.

Both start the same tiny image, closed and limited alike.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import statistics
import subprocess
import tarfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.cluster import laptop_cluster
from benchmarks.machine import busy_s, cpu_s, find_processes, programs
from swath.client import Client

if TYPE_CHECKING:
    from docker import DockerClient

MANIFEST = Path(__file__).parents[1] / "images" / "true" / "seed.manifest.json"
ROUNDS = 21  # of one container at a time
AT_ONCE = (2, 4, 6, 8, 12)  # containers
TASKS = 60  # at each concurrency
MANY = 1000

_UNMETERED = nullcontext()

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


def run_bare(client: DockerClient, image: str, tasks: int, at_once: int) -> float:
    """Containers a second that the engine alone starts, waits for and removes, so many of them at a time."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(lambda _: bare_container_ms(client, image), range(tasks)))
    return tasks / (time.perf_counter() - begun)


def run_swath(
    client: Client, tasks: int, at_once: int | None, meter: AbstractContextManager[None] = _UNMETERED
) -> tuple[float, list[float]]:
    """The same through Swath: tasks a second from the first launch to the last end, and milliseconds from each task's launch
    (committed, before Mesos hears of it) to its RUNNING.

    With `at_once` each has a Mesos task to itself; with None they are in slots, of which there are as many as fit.
    """
    array = {"over": "INDEX", "range": [0, tasks]}
    how = {"short": True} if at_once is None else {"max_running": at_once}
    with meter:  # not what is asked for afterwards
        job = client.submit({"image": "contained", "array": array, "resources": {"cpus": CPUS, "mem": MEM}, **how})
        ended = client.wait(job["id"])
    if ended["counts"]["succeeded"] != tasks:
        raise RuntimeError(f"of {tasks} tasks {ended['counts']['succeeded']} succeeded")
    attempts = [client.attempts(job["id"], index)[-1] for index in range(tasks)]
    moments = [[_to_s(attempt[name]) for name in ("launched_at", "started_at", "ended_at")] for attempt in attempts]
    seconds = max(ended_s for _, _, ended_s in moments) - min(launched_s for launched_s, _, _ in moments)
    return tasks / seconds, [1000 * (started_s - launched_s) for launched_s, started_s, _ in moments]


def _to_s(moment: str | None) -> float:
    if moment is None:
        raise RuntimeError("an attempt that succeeded has no times")
    return datetime.fromisoformat(moment).timestamp()


def count_left(client: DockerClient, var: Path) -> dict[str, float]:
    """What there is on the engine, and MiB below the cluster's directory."""
    api: Any = client.api
    return {
        "containers": len(api.containers(all=True)),
        "networks": len(api.networks()),
        "volumes": len(api.volumes()["Volumes"] or ()),
        "disk_mib": round(sum(path.lstat().st_blocks for path in var.rglob("*")) * 512 / 2**20, 1),
    }


@contextmanager
def cluster_for(image: str, at_once: int) -> Iterator[tuple[Client, Path]]:
    """A cluster with room for so many tasks at a time, that knows the image and has an executor."""
    with laptop_cluster("--cpus", str(at_once * CPUS)) as (client, var):
        manifest = json.loads(MANIFEST.read_text())
        manifest["job"]["name"] = "contained"
        client.register_image({"manifest": manifest, "image_id": image})
        run_swath(client, 2, 1)  # starts the executor
        yield client, var


def run() -> dict[str, object]:
    """Both ways in one run, in turns, at the concurrency that suits each best; then what a thousand tasks leave."""
    with connected() as engine:
        if engine is None:
            return {"skipped": "no Docker engine answers"}
        with tiny_image(engine) as image:
            in_slots = _run_in_slots(engine, image)
            with cluster_for(image, max(AT_ONCE)) as (client, var):
                starts = _compare_starts(engine, image, client)
                return {**starts, **in_slots, **_compare_rates(engine, image, client, var)}


def _run_in_slots(engine: DockerClient, image: str) -> dict[str, object]:
    """A fresh container each, in slots: what is short gets them. How many slots there are is a matter of the agent's size."""
    bare: dict[int, float] = {}
    through: dict[int, float] = {}
    spent: dict[str, dict[str, float]] = {}
    for at_once in AT_ONCE:
        with cluster_for(image, at_once) as (client, var):
            with metered(spent.setdefault(f"bare at {at_once}", {}), TASKS, {}):
                bare[at_once] = round(run_bare(engine, image, TASKS, at_once), 2)
            meter = metered(spent.setdefault(f"in {at_once} slots", {}), TASKS, programs(var))
            through[at_once] = round(run_swath(client, TASKS, None, meter)[0], 2)
    return {
        "bare_beside_slots_per_s": {str(at_once): rate for at_once, rate in bare.items()},
        "slots_per_s": {str(at_once): rate for at_once, rate in through.items()},
        "slots_ratio": round(max(through.values()) / max(bare.values()), 3),
        "cpu_ms_a_task": spent,
    }


@contextmanager
def metered(figures: dict[str, float], tasks: int, ours: dict[int, str]) -> Iterator[None]:
    """Milliseconds of CPU a task: of our programs, of the engine's that live on, and of the whole machine, which has the
    engine's short-lived children in it, and whatever else it does.
    """
    names = {**ours, **find_processes("dockerd", "containerd")}
    before, busy = {pid: cpu_s(pid) for pid in names}, busy_s()
    yield
    for pid, name in names.items():
        figures[name] = round(figures.get(name, 0.0) + 1000 * (cpu_s(pid) - before[pid]) / tasks, 2)
    figures["machine"] = round(1000 * (busy_s() - busy) / tasks, 1)


def _compare_starts(engine: DockerClient, image: str, client: Client) -> dict[str, object]:
    """One container at a time, on a machine that does nothing else."""
    bare, through = [], []
    for _ in range(ROUNDS):
        bare.append(bare_container_ms(engine, image))
        through += run_swath(client, 1, 1)[1]
    without, with_swath = statistics.median(bare), statistics.median(through)
    return {
        "start_bare_ms": round(without, 1),
        "start_swath_ms": round(with_swath, 1),
        "start_added_ms": round(with_swath - without, 1),
        "goal_start_added_ms": 30,
    }


def _compare_rates(engine: DockerClient, image: str, client: Client, var: Path) -> dict[str, object]:
    bare: dict[int, float] = {}
    through: dict[int, float] = {}
    for at_once in AT_ONCE:
        bare[at_once] = round(run_bare(engine, image, TASKS, at_once), 2)
        through[at_once] = round(run_swath(client, TASKS, at_once)[0], 2)
    before = count_left(engine, var)
    best = max(through, key=through.__getitem__)
    thousand, _ = run_swath(client, MANY, best)
    return {
        "bare_per_s": {str(at_once): rate for at_once, rate in bare.items()},
        "swath_per_s": {str(at_once): rate for at_once, rate in through.items()},
        "ratio": round(max(through.values()) / max(bare.values()), 3),
        "goal_ratio": 0.9,
        "many": MANY,
        "many_per_s": round(thousand, 2),
        "before_many": before,
        "after_many": count_left(engine, var),
    }

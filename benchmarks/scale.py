"""A PostgreSQL with fsync, and the programs that a large cluster consists of, for the benchmarks that need one."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import text

from benchmarks.cluster import ROOT
from benchmarks.metrics import find_port, read_metrics
from swath.domain.ids import make_ulid
from swath.domain.jobs import JobSpec
from swath.domain.resources import Resources
from swath.store import migrate
from swath.store.api_store import ApiStore
from swath.store.database import Database
from tests.fixtures.postgres import find_programs, private_postgres

ABSENT = "PostgreSQL's server programs are absent (Debian: apt-get install postgresql)"
MANIFEST = ROOT / "images" / "true" / "seed.manifest.json"


@contextmanager
def scratch() -> Iterator[tuple[str, Path] | None]:
    """The URL of a migrated database and a directory; None where there is no PostgreSQL."""
    programs = find_programs()
    if programs is None:
        yield None
        return
    with private_postgres(programs, fsync=True) as url, tempfile.TemporaryDirectory(prefix="swath-bench-") as directory:
        migrate.upgrade(url)
        yield url, Path(directory)


def submit(database: Database, size: int, resources: Resources) -> str:
    """A job of the built-in image, as the api inserts it; its id."""
    store, now = ApiStore(database), datetime.now(UTC)
    manifest = json.loads(MANIFEST.read_text())
    digest = "sha256:" + "0" * 64
    image = store.register_image(
        name="true", version="1.0.0", digest=digest, manifest=manifest, now=now, context="builtin:true"
    )
    job_id = make_ulid(now, secrets.token_bytes(10))
    document = {"image": "true", "array": {"over": "INDEX", "range": [0, size]}, "short": False}
    spec = JobSpec.from_document(document)
    store.submit(spec, image, resources=resources, job_id=job_id, now=now, user="benchmark")
    return job_id


def server_cpu_s(database: Database) -> float:
    """Seconds of CPU that a PostgreSQL of this machine has used, all its processes together, ended ones too."""
    with database.read() as session:
        backend = session.scalar(text("SELECT pg_backend_pid()"))
    server = psutil.Process(backend).parent()
    if server is None:
        raise RuntimeError("the server has ended")
    times = [process.cpu_times() for process in (server, *server.children())]
    ended = server.cpu_times()
    return sum(each.user + each.system for each in times) + ended.children_user + ended.children_system


class Programs:
    """Processes by name; all that still run are ended with the block."""

    def __init__(self, url: str, directory: Path) -> None:
        self._url = url
        self._directory = directory
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._ports: dict[str, int] = {}  # of the schedulers' metrics

    def __enter__(self) -> Programs:
        return self

    def __exit__(self, *reason: object) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()

    def start_local(self, *options: str) -> int:
        """`python -m local` with simulated agents only; the master's port."""
        work_dir = self._directory / "local"
        self._start("local", ["-m", "local", "--agents", "0", "--port", "0", "--work-dir", str(work_dir), *options], {})
        ports = work_dir / "ports.json"
        wait_until(ports.exists, 60)
        return int(json.loads(ports.read_text())["master"])

    def start_scheduler(self, name: str, master: int, **environment: str) -> int:
        """`python -m scheduler`; its process id."""
        self._ports[name] = find_port()
        settings = {
            "SWATH_DATABASE_URL": self._url,
            "SWATH_MASTER": f"127.0.0.1:{master}",
            "SWATH_OUTPUTS_ROOT": str(self._directory / "outputs"),
            "SWATH_EXECUTOR_COMMAND": "false",
            "SWATH_HTTP_PORT": str(self._ports[name]),
        }
        return self._start(name, ["-m", "scheduler"], {**settings, **environment})

    def kill(self, name: str) -> None:
        """kill -9."""
        process = self.running.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def read_metrics(self, name: str) -> dict[str, float]:
        """What a scheduler counts, by name; {} while it does not answer."""
        return read_metrics(self._ports[name])

    def port_of(self, name: str) -> int:
        """Where a scheduler's metrics are."""
        return self._ports[name]

    def read_log(self, name: str) -> str:
        """The end of what a program has said."""
        return (self._directory / f"{name}.log").read_text()[-3000:]

    def _start(self, name: str, arguments: list[str], environment: dict[str, str]) -> int:
        with (self._directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
            )
        self.running[name] = process
        return process.pid


def wait_until(condition: Callable[[], Any], timeout_s: float, every_s: float = 0.02, *, what: str = "") -> None:
    """Return when `condition` holds; raises TimeoutError, which says `what` was waited for, when it does not in time."""
    if not watch(condition, timeout_s, every_s):
        raise TimeoutError(f"{what or 'what was waited for'}: not within {timeout_s:g} s")


def watch(condition: Callable[[], Any], timeout_s: float, every_s: float = 0.02) -> bool:
    """Whether `condition` comes to hold in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True

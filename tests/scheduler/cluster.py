"""A real cluster in a temporary directory: `python -m local`, `python -m scheduler`, executors, and a database."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from swath.domain.ids import make_ulid
from swath.domain.jobs import JobSpec
from swath.domain.resources import Custom, Resources
from swath.domain.states import JobState
from swath.store.api_store import ApiStore
from swath.store.database import Database
from swath.store.migrate import upgrade
from swath.store.rows import ImageRow, JobRow

ROOT = Path(__file__).parents[2]
HERE = {"PYTHONPATH": str(ROOT), "PATH": os.environ.get("PATH", os.defpath)}


class Cluster:
    """Programs are started by name, and may be killed by name."""

    def __init__(
        self,
        directory: Path,
        *,
        url: str | None = None,
        cpus: float = 4,
        mem: int = 4096,
        interval_s: float = 1.0,
        agents: int = 1,
    ) -> None:
        """`cpus` and `mem` are each agent's."""
        self.directory = directory
        self.cpus, self.mem, self.interval_s, self.agents = cpus, mem, interval_s, agents
        self.url = url or f"sqlite:///{directory}/swath.db"
        upgrade(self.url)
        self.database = Database(self.url)
        self.store = ApiStore(self.database)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start_local(self, *more: str) -> Cluster:
        """Start (again) the master and its agent, with more options, and wait until they serve."""
        ports = self.directory / "local" / "ports.json"
        before = ports.stat().st_mtime_ns if ports.exists() else 0
        amounts = ["--cpus", str(self.cpus), "--mem", str(self.mem), "--disk", "10000"]
        amounts += ["--agents", str(self.agents)]
        where = ["--port", "0", "--agent-port", "0", "--work-dir", str(self.directory / "local")]
        self.start("local", [*where, *amounts, "--allocation-interval", str(self.interval_s), *more], {})
        self.wait_until(lambda: ports.exists() and ports.stat().st_mtime_ns != before, 20)
        return self

    def start_scheduler(self, name: str = "scheduler", *, root: Path = ROOT, **environment: str) -> Cluster:
        """Start the scheduler (again); under another `name` one more, of the version whose checkout is `root`."""
        port = json.loads((self.directory / "local" / "ports.json").read_text())["master"]
        executor = {**HERE, "SWATH_PROCESS_RUNTIME": "1", "SWATH_DOCKER": "off", "SWATH_INPUT_ROOTS": "/"}
        settings = {
            "SWATH_DATABASE_URL": self.url,
            "SWATH_MASTER": f"127.0.0.1:{port}",
            "SWATH_OUTPUTS_ROOT": str(self.directory / "outputs"),
            "SWATH_EXECUTOR_COMMAND": f"exec {sys.executable} -m executor",
            "SWATH_EXECUTOR_ENV": json.dumps(executor),
            "SWATH_LEASE_S": "3",
        }
        self.start("scheduler", [], settings | environment, name, root)
        return self

    def start(
        self,
        program: str,
        arguments: list[str],
        environment: dict[str, str],
        name: str | None = None,
        root: Path = ROOT,
    ) -> None:
        """Start a program as `python -m`, under its own name or another."""
        name = name or program
        with (self.directory / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", program, *arguments],
                cwd=root,
                env={**os.environ, **HERE, "PYTHONPATH": str(root), **environment},
                stdout=log,
                stderr=log,
            )

    def stop(self, name: str, number: int = signal.SIGTERM) -> int:
        """End a program; returns its exit code."""
        process = self.processes.pop(name)
        process.send_signal(number)
        return process.wait(20)

    def kill_executors(self) -> int:
        """kill -9 every executor of this cluster; returns how many there were."""
        mine = self.find_executors()
        for process in mine:
            process.kill()
        return len(mine)

    def find_executors(self) -> list[psutil.Process]:
        """The executors of this cluster that live."""
        return [process for process in psutil.process_iter() if self._is_executor(process)]

    def _is_executor(self, process: psutil.Process) -> bool:
        try:
            runs = process.cmdline()[1:3] == ["-m", "executor"]
            return runs and process.environ().get("MESOS_SANDBOX", "").startswith(str(self.directory))
        except psutil.Error:
            return False

    def close(self) -> None:
        """End everything, executors included."""
        for name in list(self.processes):
            self.stop(name)
        command = [sys.executable, "-m", "local", "--work-dir", str(self.directory / "local"), "--end-executors"]
        subprocess.run(command, cwd=ROOT, env={**os.environ, **HERE}, check=False, timeout=30)
        self.database.close()

    def register(
        self, name: str, command: str = "true", context: str = "builtin:true", **more: dict[str, Any]
    ) -> ImageRow:
        """Register an image that may be given an INDEX; `more` goes into its interface."""
        inputs = {"json": [{"name": "INDEX", "type": "integer", "required": False}]}
        interface = {"command": command, "inputs": inputs, **more}
        job = {
            "name": name,
            "jobVersion": "1.0.0",
            "packageVersion": "1.0.0",
            "title": name,
            "description": name,
            "maintainer": {"name": "nobody", "email": "nobody@example.org"},
            "timeout": 60,
            "interface": interface,
        }
        manifest = {"seedVersion": "1.0.0", "job": job}
        return self.store.register_image(
            name=name, version="1.0.0", digest=f"sha256:{name}", manifest=manifest, now=_now(), context=context
        )

    def submit(
        self,
        image: ImageRow,
        size: int = 1,
        *,
        cpus: float = 0.02,
        mem: int = 8,
        disk: int = 0,
        ports: int = 0,
        custom: Custom = (),
        **more: Any,
    ) -> str:
        """Insert a job as the api does."""
        array = {"array": {"over": "INDEX", "range": [0, size]}} if size > 1 else {}
        now = _now()
        job_id = make_ulid(now, secrets.token_bytes(10))
        self.store.submit(
            JobSpec.from_document({"image": image.name, **array, **more}),
            image,
            resources=Resources(cpus_m=round(cpus * 1000), mem=mem, disk=disk, ports=ports, custom=custom),
            job_id=job_id,
            now=now,
            user="tester",
        )
        return job_id

    def wait(self, job_id: str, timeout_s: float = 30) -> JobRow:
        """The job, once it has ended."""
        ended = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
        self.wait_until(lambda: self.store.get_job(job_id).state in ended, timeout_s)
        return self.store.get_job(job_id)

    def wait_until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        """Return when `condition` holds; fail with the logs' ends when it does not in time."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout_s} s\n{self.logs()}")
            time.sleep(0.01)

    def logs(self) -> str:
        """The end of each program's log."""
        return "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in self.directory.glob("*.log"))


def _now() -> datetime:
    return datetime.now(UTC)

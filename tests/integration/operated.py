"""A cluster with everything that an operator has: two agents, scheduler, api, and the `swath` command."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from swath.client import Client
from swath.documents import Scheduler
from swath.domain.errors import InternalError
from swath.domain.states import AttemptState
from swath.domain.wishes import Wishes
from swath.store.rows import AgentRow, AttemptRow
from swath.store.scheduling import SchedulerStore
from tests.integration.evidence import Diary
from tests.local.scheduler_client import request
from tests.scheduler.cluster import ROOT, Cluster

PATH = "/api/v1/scheduler"
TOKEN = "a-token-of-a-good-length"


class Operated:
    """Real programs, and short words for what is done to them."""

    def __init__(self, directory: Path) -> None:
        self.cluster = Cluster(directory, cpus=4, mem=2048, interval_s=0.2, agents=2)
        self.directory, self.store = directory, self.cluster.store
        self.diary, self.gate = Diary(directory / "diary"), directory / "gate"
        self.port = _free_port()

    def __enter__(self) -> Operated:
        """Start everything."""
        try:
            self.start_local()
            self.cluster.start_scheduler()
            self._start_api()
            self.wait(lambda: len(self.active_agents()) == 2 and self.health() == "ok")
        except BaseException:
            self.cluster.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End everything."""
        self.open_gate()
        self.cluster.close()

    def start_local(self) -> None:
        """Start (again) the master and its agents."""
        self.cluster.start_local()

    def _start_api(self) -> None:
        token = self.directory / "token"
        token.touch(mode=0o600)
        token.write_text(TOKEN)
        environment = {
            "SWATH_DATABASE_URL": self.cluster.url,
            "SWATH_TOKEN_FILE": str(token),
            "SWATH_API_PORT": str(self.port),
            "SWATH_TOKEN_USER": "ada",
        }
        self.cluster.start("api", [], environment)

    def wait(self, condition: Callable[[], Any], timeout_s: float = 40) -> None:
        """Return when `condition` holds."""
        self.cluster.wait_until(lambda: bool(condition()), timeout_s)

    def swath(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the command, without a terminal; it has to end with `code`."""
        done = subprocess.run(
            [sys.executable, "-m", "swath.cli.main", *words],
            cwd=ROOT,
            env={**os.environ, "SWATH_URL": f"http://127.0.0.1:{self.port}", "SWATH_TOKEN": TOKEN},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, (
            f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.cluster.logs()}"
        )
        return done

    def shown(self, *words: str) -> Any:
        """What the command shows, as JSON."""
        return json.loads(self.swath(*words, "--json").stdout)

    def status(self) -> Scheduler:
        """The scheduler's, as the api tells it."""
        with Client(f"http://127.0.0.1:{self.port}", TOKEN) as client:
            return client.scheduler()

    def health(self) -> str:
        """ "ok", or what is wrong; before the api serves, that it does not."""
        try:
            return self.status()["health"]
        except InternalError as error:
            return str(error)

    def leave_behind_its_back(self) -> None:
        """End the framework as somebody else would, who subscribes in its place while its scheduler is away."""
        port = json.loads((self.directory / "local" / "ports.json").read_text())["master"]
        known = request(port, "POST", "/api/v1", {"type": "GET_FRAMEWORKS"})[2]
        info = json.loads(known)["get_frameworks"]["frameworks"][0]["framework_info"]
        framework_id = info["id"]
        subscribe = {"type": "SUBSCRIBE", "framework_id": framework_id, "subscribe": {"framework_info": info}}
        stream = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        stream.request("POST", PATH, json.dumps(subscribe), {"Content-Type": "application/json"})
        headers = {
            "Content-Type": "application/json",
            "Mesos-Stream-Id": stream.getresponse().headers["Mesos-Stream-Id"],
        }
        status, _, said = request(port, "POST", PATH, {"type": "TEARDOWN", "framework_id": framework_id}, headers)
        assert status == 202, said
        stream.close()

    def active_agents(self) -> list[AgentRow]:
        """The agents that the master has."""
        return self.store.list_agents(active=True)

    def cluster_wishes(self) -> Wishes:
        """What nobody has carried out yet."""
        return SchedulerStore(self.cluster.database).read_wishes()

    def submit(self, size: int, cpus: float = 0.5) -> str:
        """Tasks that say when they begin, wait for the gate, and say when they end."""
        context = self.directory / "context"
        context.mkdir(exist_ok=True)
        begin, *_, end = filter(None, self.diary.script().splitlines())
        (context / "run.sh").write_text(f"{begin}\nwhile [ ! -e {self.gate} ]; do sleep 0.1; done\n{end}\n")
        return self.cluster.submit(self.cluster.register("waits", "sh run.sh", str(context)), size, cpus=cpus)

    def open_gate(self) -> None:
        """Let tasks end."""
        self.gate.touch()

    def attempts(self, job_id: str, *states: AttemptState) -> list[AttemptRow]:
        """Every attempt of the job, or those in `states`."""
        size = self.store.get_job(job_id).size
        found = [row for index in range(size) for row in self.store.list_attempts(job_id, index)]
        return [row for row in found if not states or row.state in states]

    def running(self, job_id: str) -> list[AttemptRow]:
        """Those whose commands have begun and not ended, by the database."""
        return self.attempts(job_id, AttemptState.RUNNING)

    def have_begun(self, job_id: str) -> bool:
        """True when the command of every task that runs has really begun."""
        begun = {line.attempt for line in self.diary.read() if line.word == "begin"}
        return {row.id for row in self.running(job_id)} <= begun

    def start(self, size: int) -> str:
        """A job whose tasks all run."""
        job_id = self.submit(size)
        self.wait(lambda: len(self.running(job_id)) == size and self.have_begun(job_id))
        return job_id

    def failures(self, job_id: str) -> int:
        """Attempts that cost the job's tasks something."""
        return sum(task.failures for task in self.store.list_tasks(job_id).items)

    def processes(self, job_id: str) -> list[int]:
        """The job's processes that are alive on this machine, whatever anybody says of them."""
        mine = {row.id for row in self.attempts(job_id)}
        return [process.pid for process in psutil.process_iter() if _attempt_of(process) in mine]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _attempt_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("SWATH_ATTEMPT")
    except psutil.Error:
        return None

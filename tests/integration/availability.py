"""A cluster with several schedulers, and the proof that nothing in it was lost or doubled."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

from swath.domain.states import AttemptState, JobState
from swath.store.leadership import Leadership
from tests.integration.evidence import Diary, find_contradictions, find_debts
from tests.scheduler.cluster import ROOT, Cluster

LEASE_S = 2
TURNS = ("leading", "leadership_lost", "standing_by", "core_stopped", "schema_unknown", "cut_off")


class Availability:
    """A cluster with several schedulers."""

    def __init__(self, directory: Path, url: str) -> None:
        self.cluster = Cluster(directory, url=url, cpus=8, interval_s=0.2)
        self.cluster.start_local()
        self.diary = Diary(directory / "diary")
        self.leadership = Leadership(self.cluster.database)
        self.stopped: set[str] = set()
        self.end = directory / "end"  # for tasks that run until this is made

    def start(self, *names: str, root: Path = ROOT, **environment: str) -> Availability:
        """Start schedulers of the version under `root`; the first one leads before the others begin."""
        settings = {"SWATH_LEASE_S": str(LEASE_S), "SWATH_LOG_FORMAT": "json"} | environment
        for name in names:
            self.cluster.start_scheduler(name, root=root, **settings)
            self.wait(lambda name=name: set(TURNS) & set(self.events(name)))
        return self

    def leader(self) -> str | None:
        """The scheduler that the database says leads."""
        term = self.leadership.find()
        if term is None or term.holder is None:
            return None
        pid = int(term.holder.rsplit(":", 2)[1])
        return next((name for name, process in self.cluster.processes.items() if process.pid == pid), "a former one")

    def wait(self, condition: Callable[[], bool], timeout_s: float = 40) -> None:
        self.cluster.wait_until(condition, timeout_s)

    def log(self, name: str) -> str:
        """What a scheduler has logged."""
        return (self.cluster.directory / f"{name}.log").read_text()

    def events(self, name: str) -> list[str]:
        """The same, by the names of the events."""
        return [json.loads(line)["event"] for line in self.log(name).splitlines() if line.startswith("{")]

    def is_leading(self, name: str) -> bool:
        """By its own account: it has begun to lead, and has not been told otherwise since."""
        turns = [event for event in self.events(name) if event in TURNS]
        return turns[-1:] == ["leading"]

    def freeze(self, name: str) -> None:
        self.stopped.add(name)
        self.cluster.processes[name].send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        while self.stopped:
            self.cluster.processes[self.stopped.pop()].send_signal(signal.SIGCONT)

    def submit(self, size: int, seconds: float = 0, *, cpus: float = 0.05, until: Path | None = None) -> str:
        context = self.cluster.directory / "context"
        context.mkdir(exist_ok=True)
        (context / "run.sh").write_text(self.diary.script(seconds, until))
        image = self.cluster.register("appends", "sh run.sh", str(context))
        return self.cluster.submit(image, size, cpus=cpus, short=False)  # a slot gives some back

    def counts(self, job_id: str) -> tuple[int, int]:
        counts = self.cluster.store.get_job(job_id).counts
        return counts.active, counts.succeeded

    def prove(self, job_id: str, size: int) -> None:
        """Each task has run exactly once, and everybody agrees that it has."""
        job = self.cluster.wait(job_id, 60)
        assert (job.state, job.counts.succeeded) == (JobState.SUCCEEDED, size)
        assert self.diary.count("begin") == self.diary.count("end") == dict.fromkeys(range(size), 1)
        ran = {line.index: line.attempt for line in self.diary.read()}
        tasks = self.cluster.store.list_tasks(job_id, limit=size).items
        assert {task.index: task.winner_attempt for task in tasks} == ran
        for task in tasks:
            others = [row for row in self.cluster.store.list_attempts(job_id, task.index) if row.id != ran[task.index]]
            assert {row.state for row in others} <= {AttemptState.LOST}, "a second attempt was alive"
        assert find_contradictions(self.cluster.database) == []
        self.wait(lambda: not find_debts(self.cluster.directory / "local"), 20)

    def close(self) -> None:
        self.thaw()
        self.cluster.close()

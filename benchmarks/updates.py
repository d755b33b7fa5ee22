"""Status updates committed and acknowledged a second, on PostgreSQL with fsync, beside what the store alone would allow."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from benchmarks.cluster import ROOT
from benchmarks.machine import cpu_s
from benchmarks.scale import ABSENT, Programs, scratch, submit
from scheduler.core import events as ev
from scheduler.core.from_mesos import to_event
from scheduler.core.reactor import Core
from scheduler.core.state import CoreSettings
from swath.domain.attempts import Attempt, AttemptReport
from swath.domain.changes import AddAttempt, ChangeJob, PutTask
from swath.domain.ids import make_ulid
from swath.domain.ranges import Ranges
from swath.domain.resources import Resources
from swath.domain.states import AttemptState, JobCounts, JobState, TaskState
from swath.store.api_store import ApiStore
from swath.store.database import Database
from swath.store.leadership import Leadership
from swath.store.scheduling import SchedulerStore
from swath.wire.calls import Message

ATTEMPTS = 20_000
UPDATES = 2 * ATTEMPTS  # RUNNING and FINISHED
AGENTS = 100
TASK = Resources(cpus_m=100, mem=64)
SETTINGS = CoreSettings(executor_id="swath-0", executor_resources=Resources())


def run() -> dict[str, object]:
    """The rate from the subscription to the last acknowledgement; then the same changes without wire, loop and core."""
    with scratch() as made:
        if made is None:
            return {"skipped": ABSENT}
        url, directory = made
        attempts = _launch_all(url)
        copies = _copy(url, "alone"), _copy(url, "bare")
        figures = _through_the_scheduler(url, directory, attempts)
        batch = max(1, round(UPDATES / figures["commits"]))
        alone, bare = _store_alone(copies[0], attempts, batch), _bare_statements(copies[1], attempts, batch)
    rate = figures["updates_per_s"]
    return {
        **figures,
        "goal_updates_per_s": 3000,
        "updates_a_commit": batch,
        "store_alone_updates_per_s": round(alone),
        "bare_executemany_updates_per_s": round(bare),
        "share_of_store_alone": round(rate / alone, 2),
    }


def _launch_all(url: str) -> list[Attempt]:
    """A job all of whose tasks have an attempt that was launched just now."""
    database, now = Database(url), datetime.now(UTC)
    job_id = submit(database, ATTEMPTS, TASK)
    attempts = [_make_attempt(job_id, index, now) for index in range(ATTEMPTS)]
    tasks = [PutTask(job_id=job_id, index=index, state=TaskState.ACTIVE, attempts=1) for index in range(ATTEMPTS)]
    job = ChangeJob(
        job_id=job_id,
        state=JobState.RUNNING,
        pending=Ranges(()),
        counts=JobCounts(total=ATTEMPTS, active=ATTEMPTS),
        observed_rev=1,
        retry_rev_done=0,
        started_at=now,
    )
    leadership = Leadership(database)
    epoch = leadership.acquire("benchmark", now, 60) or 0
    SchedulerStore(database).apply([*map(_add, attempts), *tasks, job], epoch=epoch, now=now)
    leadership.release(epoch, now)
    database.close()
    return attempts


def _make_attempt(job_id: str, index: int, now: datetime) -> Attempt:
    attempt_id = make_ulid(now, index.to_bytes(10, "big"))
    agent = f"agent-{index % AGENTS}"
    return Attempt(
        id=attempt_id,
        job_id=job_id,
        task_index=index,
        number=1,
        slot_id=attempt_id,
        agent_id=agent,
        hostname=agent,
        resources=TASK,
        executor_id=SETTINGS.executor_id,
        launched_at=now,
    )


def _add(attempt: Attempt) -> AddAttempt:
    return AddAttempt(attempt=attempt)


def _copy(url: str, name: str) -> str:
    """Another database with the same rows."""
    source = make_url(url)
    with psycopg.connect(_plain(url, "template1"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {source.database}")
    return source.set(database=name).render_as_string(hide_password=False)


def _plain(url: str, name: str | None = None) -> str:
    made = make_url(url).set(drivername="postgresql")
    return (made.set(database=name) if name else made).render_as_string(hide_password=False)


def _make_updates(attempts: Sequence[Attempt]) -> Iterator[Message]:
    """What a master would send: every attempt's RUNNING, then every attempt's FINISHED, each with its executor's report."""
    begun = datetime.now(UTC)
    running = AttemptReport(sandbox="/var/lib/mesos/sandbox", runtime="docker", started_at=begun.isoformat())
    finished = AttemptReport(
        sandbox="/var/lib/mesos/sandbox",
        runtime="docker",
        exit_code=0,
        output_dir="/eos/outputs/attempt",
        usage={"wall_s": 60.0, "cpu_s": 55.5, "max_mem": 512.0},
        started_at=begun.isoformat(),
        ended_at=(begun + timedelta(seconds=60)).isoformat(),
    )
    for state, report in (("TASK_RUNNING", running), ("TASK_FINISHED", finished)):
        for number, attempt in enumerate(attempts):
            yield _make_update(attempt, state, report, number)


def _make_update(attempt: Attempt, state: str, report: AttemptReport, number: int) -> Message:
    status = {
        "task_id": {"value": attempt.slot_id},
        "state": state,
        "source": "SOURCE_EXECUTOR",
        "agent_id": {"value": attempt.agent_id},
        "executor_id": {"value": attempt.executor_id},
        "timestamp": 1.7e9,
        "uuid": b64encode(f"{state}{number}".encode().ljust(24)).decode(),
        "data": b64encode(report.to_json().encode()).decode(),
    }
    return {"type": "UPDATE", "update": {"status": status}}


def _through_the_scheduler(url: str, directory: Path, attempts: Sequence[Attempt]) -> dict[str, float]:
    """`python -m scheduler`, subscribed to a master that has all the updates ready."""
    master_info = {"address": {"ip": "127.0.0.1", "port": 5050}, "port": 5050}
    # The stand-in sends no heartbeats: on a busy machine the scheduler would take it for dead, and be sent everything again.
    subscribed = {"framework_id": {"value": "f"}, "heartbeat_interval_seconds": 3600.0, "master_info": master_info}
    messages = [{"type": "SUBSCRIBED", "subscribed": subscribed}, *_make_updates(attempts)]
    events = directory / "events"
    events.write_bytes(b"".join(map(_encode, messages)))
    command = [sys.executable, "-m", "benchmarks.standin_master", str(events), str(UPDATES)]
    with (
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as master,
        Programs(url, directory) as programs,
    ):
        assert master.stdout is not None
        try:
            pid = programs.start_scheduler("scheduler", int(master.stdout.readline()))
            seconds, cpu = float(master.stdout.readline()), cpu_s(pid)
        finally:
            master.kill()
        metrics = programs.read_metrics("scheduler")
    database = Database(url)
    (job,) = ApiStore(database).list_jobs().items
    database.close()
    if job.counts.succeeded != ATTEMPTS:
        raise RuntimeError(f"{job.counts.succeeded} of {ATTEMPTS} tasks are written as succeeded")
    return {
        "attempts": ATTEMPTS,
        "updates_per_s": round(UPDATES / seconds),
        "scheduler_cpu_ms_an_update": round(1000 * cpu / UPDATES, 3),
        "commits": metrics["commit_seconds_count"],
        "commit_s": round(metrics["commit_seconds_sum"], 1),
    }


def _encode(message: Message) -> bytes:
    body = json.dumps(message, separators=(",", ":")).encode()
    return b"%d\n%b" % (len(body), body)


def _store_alone(url: str, attempts: Sequence[Attempt], batch: int) -> float:
    """Updates a second if the database were all that takes time: the core's changes, batch by batch, written by `apply`."""
    database = Database(url)
    now, store = datetime.now(UTC), SchedulerStore(database)
    core = Core.load(store.load(), SETTINGS, make_id=lambda at: make_ulid(at, bytes(10)), now=now)
    core.handle([ev.Subscribed(framework_id="f")], now)
    changes = [core.handle(events, now).changes for events in _batches(attempts, batch)]
    epoch = Leadership(database).acquire("benchmark", now, 600) or 0
    begun = time.perf_counter()
    for some in changes:
        store.apply(some, epoch=epoch, now=now)
    seconds = time.perf_counter() - begun
    database.close()
    return UPDATES / seconds


def _batches(attempts: Sequence[Attempt], batch: int) -> Iterator[list[ev.Event]]:
    events = (event for message in _make_updates(attempts) if (event := to_event(message)) is not None)
    while some := list(islice(events, batch)):
        yield some


def _bare_statements(url: str, attempts: Sequence[Attempt], batch: int) -> float:
    """Updates a second if each were one statement that says the attempt's new state, as psycopg's executemany sends them."""
    states = (AttemptState.RUNNING, AttemptState.SUCCEEDED)
    rows = iter([(state.value, attempt.id) for state in states for attempt in attempts])
    begun = time.perf_counter()
    with psycopg.connect(_plain(url)) as connection, connection.cursor() as cursor:
        while some := list(islice(rows, batch)):
            cursor.executemany("UPDATE attempts SET state = %s WHERE id = %s", some)
            connection.commit()
    return UPDATES / (time.perf_counter() - begun)

"""The scheduler against `python -m local`, real executors and SQLite."""

from __future__ import annotations

import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from swath.domain.retries import Cause
from swath.domain.states import AttemptState, JobState, TaskState
from tests.scheduler.cluster import HERE, ROOT, Cluster

SLEEPER = "python run.py"


def a_script(directory: Path, text: str) -> str:
    """A build context whose run.py does what `text` says."""
    context = directory / "context"
    context.mkdir()
    (context / "run.py").write_text(text)
    return str(context)


def test_a_hundred_tasks_succeed_with_every_state_committed(cluster: Cluster):
    """Counts equal rows, and every attempt has its agent, its times and its sandbox."""
    job = cluster.wait(cluster.submit(cluster.register("true"), 100, short=False))
    assert (job.state, job.counts.succeeded) == (JobState.SUCCEEDED, 100)
    tasks = cluster.store.list_tasks(job.id, limit=200).items
    assert {task.state for task in tasks} == {TaskState.SUCCEEDED}
    (attempt,) = cluster.store.list_attempts(job.id, 99)
    assert attempt.state is AttemptState.SUCCEEDED
    assert attempt.exit_code == 0
    assert attempt.started_at is not None
    assert Path(attempt.sandbox or "", "stdout").exists()
    assert attempt.agent_url is not None


@pytest.mark.postgres
def test_a_job_runs_on_postgresql_and_survives_its_scheduler(postgres_database: str, tmp_path: Path):
    """LISTEN and NOTIFY, the epoch and the bulk statements of the other database."""
    cluster = Cluster(tmp_path, url=postgres_database)
    try:
        cluster.start_local().start_scheduler()
        image = cluster.register("naps", SLEEPER, a_script(tmp_path, "import time; time.sleep(0.5)"))
        job_id = cluster.submit(image, 9, cpus=1)
        cluster.wait_until(lambda: cluster.store.get_job(job_id).counts.active == 3, 30)
        cluster.stop("scheduler", signal.SIGKILL)
        cluster.start_scheduler()
        job = cluster.wait(job_id, 60)
        assert (job.state, job.counts.succeeded) == (JobState.SUCCEEDED, 9)
    finally:
        cluster.close()


def test_a_failing_task_is_tried_again_and_then_fails_with_its_exit_code(cluster: Cluster, tmp_path: Path):
    """Two attempts, cause APP, exit code 3."""
    image = cluster.register("fails", SLEEPER, a_script(tmp_path, "raise SystemExit(3)"))
    job = cluster.wait(cluster.submit(image, retry={"max_attempts": 2, "backoff_s": 0.1}))
    assert job.state is JobState.FAILED
    task = cluster.store.get_task(job.id, 0)
    assert (task.cause, task.exit_code, task.attempts) == (Cause.APP, 3, 2)


def test_a_cancelled_job_is_killed(cluster: Cluster, tmp_path: Path):
    """What runs ends by KILL, what waits by itself."""
    image = cluster.register("sleeps", SLEEPER, a_script(tmp_path, "import time; time.sleep(600)"))
    job_id = cluster.submit(image, 10, cpus=1)
    cluster.wait_until(lambda: cluster.store.get_job(job_id).counts.active == 3, 30)
    cluster.wait_until(lambda: cluster.store.get_job(job_id).wait_reason is not None, 10)
    assert "waiting for resources: 1 agent, largest free 0.9 cpus" in str(cluster.store.get_job(job_id).wait_reason)
    cluster.store.request_cancel(job_id)
    job = cluster.wait(job_id)
    assert (job.state, job.counts.cancelled) == (JobState.CANCELLED, 10)
    assert cluster.store.list_attempts(job_id, 0)[0].state is AttemptState.KILLED


@pytest.mark.parametrize("victim", ["scheduler", "local", "executor"])
def test_a_job_survives_the_death_of_a_program(cluster: Cluster, tmp_path: Path, victim: str):
    """kill -9 in the middle: after the restart every task ends, in as many attempts as it takes."""
    image = cluster.register("naps", SLEEPER, a_script(tmp_path, "import time; time.sleep(1.5)"))
    job_id = cluster.submit(image, 6, cpus=1)
    cluster.wait_until(lambda: cluster.store.get_job(job_id).counts.active == 3, 30)
    match victim:
        case "executor":
            # Launched is not started: its process may be on its way.
            cluster.wait_until(lambda: cluster.kill_executors() == 1, 30)
        case "local":
            cluster.stop("local", signal.SIGKILL)
            cluster.start_local()
        case "scheduler":
            cluster.stop("scheduler", signal.SIGKILL)
            cluster.start_scheduler()
    job = cluster.wait(job_id, 60)
    assert (job.state, job.counts.succeeded) == (JobState.SUCCEEDED, 6)
    if victim == "scheduler":
        assert {len(cluster.store.list_attempts(job_id, index)) for index in range(6)} == {1}


def test_m04_a_scheduler_that_is_told_to_stop_leaves_its_tasks_running(cluster: Cluster, tmp_path: Path):
    """SIGTERM disconnects without TEARDOWN (M4); the next scheduler takes over under the same framework id."""
    image = cluster.register("naps", SLEEPER, a_script(tmp_path, "import time; time.sleep(2)"))
    job_id = cluster.submit(image)
    cluster.wait_until(lambda: cluster.store.get_job(job_id).counts.active == 1, 30)
    before = cluster.store.cluster_status()
    assert cluster.stop("scheduler") == 0
    assert cluster.store.cluster_status().connected is False
    cluster.start_scheduler()
    assert cluster.wait(job_id).state is JobState.SUCCEEDED
    assert len(cluster.store.list_attempts(job_id, 0)) == 1
    after = cluster.store.cluster_status()
    assert (after.framework_id, after.epoch > before.epoch) == (before.framework_id, True)


def test_an_outage_of_the_database_loses_no_result(cluster: Cluster, tmp_path: Path):
    """While nothing can be written nothing is acknowledged; afterwards the job ends as it should."""
    image = cluster.register("naps", SLEEPER, a_script(tmp_path, "import time; time.sleep(1)"))
    job_id = cluster.submit(image, 3, cpus=1)
    cluster.wait_until(lambda: cluster.store.get_job(job_id).counts.active == 3, 30)
    hostage = sqlite3.connect(tmp_path / "swath.db", isolation_level=None)
    hostage.execute("BEGIN IMMEDIATE")
    cluster.wait_until(lambda: "database_unavailable" in (tmp_path / "scheduler.log").read_text(), 30)
    hostage.execute("ROLLBACK")
    hostage.close()
    assert cluster.wait(job_id, 60).counts.succeeded == 3
    assert {len(cluster.store.list_attempts(job_id, index)) for index in range(3)} == {1}


def test_a_standby_takes_over_from_a_leader_that_was_killed(cluster: Cluster, tmp_path: Path):
    """One leads, one waits; nothing runs twice (M6)."""
    image = cluster.register("naps", SLEEPER, a_script(tmp_path, "import time; time.sleep(1)"))
    job_id = cluster.submit(image, 3, cpus=1)
    cluster.wait_until(lambda: cluster.store.get_job(job_id).counts.active == 3, 30)
    cluster.start_scheduler("standby")
    cluster.stop("scheduler", signal.SIGKILL)
    job = cluster.wait(job_id, 60)
    assert job.counts.succeeded == 3
    assert "leading" in (tmp_path / "standby.log").read_text()
    assert {len(cluster.store.list_attempts(job_id, index)) for index in range(3)} == {1}


def test_the_counters_can_be_read_over_http(tmp_path: Path):
    """Prometheus finds launches, updates and acknowledgements on loopback; the same port answers /healthz and /readyz."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    cluster = Cluster(tmp_path)
    try:
        cluster.start_local().start_scheduler(SWATH_HTTP_PORT=str(port))
        cluster.wait(cluster.submit(cluster.register("true"), 3))
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        assert "swath_scheduler_launches_total 3.0" in text
        assert "swath_scheduler_acknowledgements_total 6.0" in text
        assert 'swath_scheduler_calls_total{call="ACCEPT",outcome="SENT"}' in text
        assert 'swath_scheduler_call_seconds_count{call="ACKNOWLEDGE"} 6.0' in text
        assert "swath_scheduler_oldest_unacknowledged_update_seconds 0.0" in text
        for path in ("healthz", "readyz"):
            with urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
                assert answer.status == 200
    finally:
        cluster.close()


def test_a_scheduler_without_its_settings_says_what_is_missing(tmp_path: Path):
    """Exit code 2 and the names, no traceback."""
    ended = subprocess.run([sys.executable, "-m", "scheduler"], cwd=ROOT, env=HERE, capture_output=True, timeout=60)
    assert ended.returncode == 2
    assert b"SWATH_OUTPUTS_ROOT" in ended.stderr
    assert b"Traceback" not in ended.stderr


def test_a_failed_job_is_run_again_on_request(cluster: Cluster, tmp_path: Path):
    """retry: the failed tasks of a job that had ended, read back from the database."""
    flag = tmp_path / "works"
    script = f"import pathlib, sys; sys.exit(not pathlib.Path({str(flag)!r}).exists())"
    image = cluster.register("mends", SLEEPER, a_script(tmp_path, script))
    job_id = cluster.submit(image, 3, retry={"max_attempts": 1})
    assert cluster.wait(job_id).counts.failed == 3
    flag.touch()
    cluster.store.request_retry(job_id)
    cluster.wait_until(lambda: cluster.store.get_job(job_id).state is JobState.SUCCEEDED, 30)
    assert len(cluster.store.list_attempts(job_id, 2)) == 2


def test_tasks_succeed_on_simulated_agents_without_any_executor(tmp_path: Path):
    """Twenty agents, each with room for what nobody runs; the executor's command would fail."""
    cluster = Cluster(tmp_path)
    try:
        cluster.start_local("--agents", "0", "--simulated-agents", "20", "--task-seconds", "0.3")
        cluster.start_scheduler(SWATH_EXECUTOR_COMMAND="exit 1")
        job = cluster.wait(cluster.submit(cluster.register("true"), 200, cpus=1, short=False), 60)
        assert (job.state, job.counts.succeeded) == (JobState.SUCCEEDED, 200)
        attempts = [cluster.store.list_attempts(job.id, index)[0] for index in range(200)]
        assert {attempt.runtime for attempt in attempts} == {"simulated"}
        assert len({attempt.agent_id for attempt in attempts}) == 20
        assert cluster.kill_executors() == 0
    finally:
        cluster.close()

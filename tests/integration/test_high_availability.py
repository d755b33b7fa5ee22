"""Several schedulers on one PostgreSQL: one leads, whatever happens to the others (DESIGN.md 1; MESOS.md, M6)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from swath.domain.states import AttemptState
from swath.store.schema import SCRIPTS, read_history
from swath.wire.calls import make_framework_info, make_subscribe
from tests.integration.availability import Availability
from tests.integration.slow_wire import SlowWire
from tests.scheduler.cluster import ROOT

pytestmark = pytest.mark.postgres

NAMES = ("one", "two", "three")


@pytest.mark.parametrize("schedulers", [2, 3])
def test_m06_a_killed_leader_is_replaced_and_nothing_runs_twice(ha: Availability, schedulers: int):
    """kill -9 in the middle of a burst of launches: another leads long before the lease is over, and every task runs once."""
    ha.start(*NAMES[:schedulers], SWATH_LEASE_S="30")
    job_id = ha.submit(150)
    ha.wait(lambda: sum(ha.counts(job_id)) > 20)
    os.kill(ha.cluster.processes["one"].pid, signal.SIGKILL)
    killed_at = time.monotonic()
    ha.wait(lambda: any(ha.is_leading(name) for name in NAMES[1:schedulers]))
    assert time.monotonic() - killed_at < 10  # half a second, on a machine that has nothing else to do
    ha.prove(job_id, 150)
    assert [name for name in NAMES[1:schedulers] if ha.is_leading(name)] == [ha.leader()]


MOMENTS = {
    "idle": lambda active, succeeded: True,
    "launching": lambda active, succeeded: active > 5,
    "updating": lambda active, succeeded: succeeded > 30,
}


@pytest.mark.parametrize(("moment", "schedulers"), [("idle", 2), ("launching", 2), ("launching", 3), ("updating", 2)])
def test_m06_a_leader_that_hangs_and_comes_back_leads_no_more(ha: Availability, moment: str, schedulers: int):
    """SIGSTOP for longer than its lease, then SIGCONT: one leads in the end, and every task runs once."""
    ha.start(*NAMES[:schedulers])
    ha.wait(lambda: "subscribed" in ha.events("one"))
    job_id = ha.submit(150) if moment != "idle" else ""
    ha.wait(lambda: not job_id or MOMENTS[moment](*ha.counts(job_id)))
    ha.freeze("one")
    job_id = job_id or ha.submit(150)
    ha.wait(lambda: any(ha.is_leading(name) for name in NAMES[1:schedulers]))
    ha.wait(lambda: ha.counts(job_id)[1] > 60)
    ha.thaw()
    ha.wait(lambda: not ha.is_leading("one"))
    ha.prove(job_id, 150)
    assert [name for name in NAMES[:schedulers] if ha.is_leading(name)] == [ha.leader()] != ["one"]


def test_m06_a_launch_of_a_stopped_leader_that_arrives_late_is_refused(ha: Availability):
    """Its ACCEPT has left it and stands in a buffer while another takes over: the master refuses the old stream's id."""
    master = json.loads((ha.cluster.directory / "local" / "ports.json").read_text())["master"]
    wire = SlowWire(master)
    try:
        ha.start("one", SWATH_MASTER=f"127.0.0.1:{wire.port}")
        ha.start("two")
        wire.keep_back(b'"ACCEPT"')
        job_id = ha.submit(5)
        assert wire.caught.wait(30)
        ha.freeze("one")
        assert {row.state for row in ha.cluster.store.list_attempts(job_id, 0)} == {AttemptState.LAUNCHING}
        assert ha.cluster.wait(job_id, 60).counts.succeeded == 5
        wire.release()
        ha.wait(lambda: bool(wire.answers))
        assert wire.answers[0].startswith(b"HTTP/1.1 400")
        ha.thaw()
        ha.wait(lambda: not ha.is_leading("one"))
        ha.prove(job_id, 5)
        assert [row.state for row in ha.cluster.store.list_attempts(job_id, 0)] == [
            AttemptState.LOST,
            AttemptState.SUCCEEDED,
        ]
        assert ha.leader() == "two"
    finally:
        wire.close()


def test_m06_a_leader_that_is_told_to_stop_hands_over_at_once(ha: Availability):
    """SIGTERM releases the lease: the standby leads within about a second, and tasks run on."""
    ha.start("one", "two", SWATH_LEASE_S="30")
    job_id = ha.submit(4, until=ha.end)
    ha.wait(lambda: len(ha.diary.read()) == 4)
    ha.freeze("two")
    assert ha.cluster.stop("one") == 0
    term = ha.leadership.find()
    assert term is not None
    assert term.holder is None, "released, not found dead"
    free_at = time.monotonic()
    ha.thaw()
    ha.wait(lambda: ha.is_leading("two"))
    taken_s = time.monotonic() - free_at
    ha.end.touch()
    ha.prove(job_id, 4)
    assert taken_s < 3


def test_m05_a_subscription_that_was_taken_away_is_taken_back_by_whoever_leads(ha: Availability):
    """A dead leader's SUBSCRIBE, left in a socket, wins for a moment: who leads by the database's word is soon back."""
    ha.start("one", "two")
    job_id = ha.submit(4, until=ha.end)
    ha.wait(lambda: len(ha.diary.read()) == 4)
    framework_id = ha.cluster.store.cluster_status().framework_id
    info = make_framework_info(user="root", name="swath", role="swath")
    ports = json.loads((ha.cluster.directory / "local" / "ports.json").read_text())
    body = json.dumps(make_subscribe(info | {"id": {"value": framework_id}}))
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    with closing(HTTPConnection("127.0.0.1", ports["master"], timeout=20)) as thief:
        thief.request("POST", "/api/v1/scheduler", body, headers)
        with thief.getresponse() as stream:
            assert b"SUBSCRIBED" in stream.read1()
            ha.wait(lambda: ha.events("one").count("subscribed") == 2, 20)
            assert b"Framework failed over" in stream.read()
    ha.end.touch()
    ha.prove(job_id, 4)
    assert (ha.leader(), ha.is_leading("two")) == ("one", False)


def test_m06_a_leader_that_finds_no_master_lets_another_lead(ha: Availability):
    """Its way to the master is cut, not the one to the database: its lease alone would keep everybody else away."""
    master = json.loads((ha.cluster.directory / "local" / "ports.json").read_text())["master"]
    wire = SlowWire(master)
    try:
        ha.start("one", SWATH_MASTER=f"127.0.0.1:{wire.port}", SWATH_CUT_OFF_S="2")
        ha.start("two")
        job_id = ha.submit(4, until=ha.end)
        ha.wait(lambda: len(ha.diary.read()) == 4)
        wire.stall()
        wire.cut()
        ha.wait(lambda: ha.is_leading("two"))
        ha.end.touch()
        ha.prove(job_id, 4)
        assert (ha.leader(), "cut_off" in ha.events("one")) == ("two", True)
    finally:
        wire.close()


def a_newer_version(directory: Path) -> Path:
    """A checkout of this version with one more migration."""
    for name in ("swath", "scheduler", "migrations"):
        shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
    (directory / "migrations" / "versions" / "newer.py").write_text(
        "from alembic import op\nimport sqlalchemy as sa\n"
        f"revision = 'newer'\ndown_revision = '{read_history(SCRIPTS)[1]}'\n"
        "def upgrade():\n    op.add_column('agents', sa.Column('newer', sa.Text(), nullable=True))\n"
        "def downgrade():\n    op.drop_column('agents', 'newer')\n"
    )
    return directory


def migrate(version: Path, url: str) -> None:
    """What an operator runs, in a version's checkout."""
    environment = {**os.environ, "PYTHONPATH": str(version), "SWATH_DATABASE_URL": url}
    subprocess.run([sys.executable, "-m", "swath.store.migrate"], cwd=version, env=environment, check=True, timeout=60)


def test_an_upgrade_by_stop_migrate_start_disturbs_no_task(ha: Availability, tmp_path: Path):
    """Tasks run on while there is no scheduler and while the schema changes; the new version takes them over."""
    newer = a_newer_version(tmp_path / "newer")
    ha.start("one", "two")
    job_id = ha.submit(6, until=ha.end)
    ha.wait(lambda: len(ha.diary.read()) == 6)
    for name in ("two", "one"):
        assert ha.cluster.stop(name) == 0
    migrate(newer, ha.cluster.url)
    ha.start("three", root=newer)
    assert len(ha.diary.read()) == 6
    ha.end.touch()
    ha.prove(job_id, 6)
    ha.cluster.stop("three")


def test_m06_a_scheduler_that_does_not_know_the_schema_says_what_to_run_and_does_not_lead(
    ha: Availability, tmp_path: Path
):
    """A newer one waits for the migration; an older one, deposed by it in the middle of a job, does nothing more."""
    newer = a_newer_version(tmp_path / "newer")
    ha.start("one", "two")
    ha.start("three", root=newer)
    assert "leading" not in ha.events("three")
    assert "stop all schedulers, then run `python -m swath.store.migrate` of this version" in ha.log("three")
    job_id = ha.submit(40, 1, cpus=0.5)
    ha.wait(lambda: ha.counts(job_id)[1] > 5)
    migrate(newer, ha.cluster.url)
    ha.wait(lambda: ha.is_leading("three"))
    ha.wait(lambda: all("schema_unknown" in ha.events(name) for name in ("one", "two")))
    assert "start that version's scheduler instead of this one" in ha.log("one")
    assert not ha.is_leading("one")
    ha.prove(job_id, 40)
    assert ha.leader() == "three"
    ha.cluster.stop("three")

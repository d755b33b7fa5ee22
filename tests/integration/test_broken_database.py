"""PostgreSQL and the way to it fail in the middle of everything: nothing is lost, nothing happens twice, and it goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from sqlalchemy import make_url

from tests.fixtures.machine import skip_or_fail
from tests.fixtures.postgres import ABSENT, Server, find_programs
from tests.integration.availability import Availability
from tests.integration.slow_wire import SlowWire

pytestmark = pytest.mark.postgres

TASKS = 150
END_TRANSACTIONS = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name = 'swath' AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"
)
BEGIN = b"BEGIN\0"  # of a transaction that writes; those that read name their isolation


@pytest.fixture
def wire(ha: Availability) -> Iterator[SlowWire]:
    """A way to the database that may fail."""
    made = SlowWire(make_url(ha.cluster.url).port or 0)
    yield made
    made.close()


def through(wire: SlowWire, ha: Availability) -> str:
    """The database's URL over the wire."""
    return make_url(ha.cluster.url).set(port=wire.port).render_as_string(hide_password=False)


def test_sessions_that_are_ended_within_their_transactions_are_made_good(ha: Availability):
    """The server ends whatever session has a transaction open, again and again."""
    ha.start("one", "two")
    job_id = ha.submit(TASKS)
    url = make_url(ha.cluster.url).set(drivername="postgresql").render_as_string(hide_password=False)
    ended = 0
    with psycopg.connect(url, autocommit=True) as connection:
        until = time.monotonic() + 6
        while time.monotonic() < until:
            (count,) = connection.execute(END_TRANSACTIONS).fetchone() or (0,)
            ended += count
            time.sleep(0.05 if not count else 0.5)
    assert ended > 0
    ha.prove(job_id, TASKS)


@pytest.mark.parametrize("answer_only", [False, True], ids=["the commit is lost", "its answer is lost"])
def test_a_commit_that_breaks_off_is_read_again_before_anything_is_said(
    ha: Availability, wire: SlowWire, answer_only: bool
):
    """Whether it took place only the database knows: the next core begins from there."""
    ha.start("one", SWATH_DATABASE_URL=through(wire, ha))
    job_id = ha.submit(TASKS)
    for done in (0, 20, 60, 100):
        ha.wait(lambda done=done: ha.counts(job_id)[1] >= done)
        before = wire.lost
        wire.lose(b"COMMIT", answer_only=answer_only)
        ha.wait(lambda before=before: wire.lost > before)
    ha.prove(job_id, TASKS)
    assert "database_unavailable" in ha.events("one")


def test_m06_a_leader_whose_database_hangs_is_replaced_and_what_it_sent_late_counts_for_nothing(
    ha: Availability, wire: SlowWire
):
    """Its COMMIT stands somewhere on the way while another leads; nothing of it is written when it arrives."""
    ha.start("one", SWATH_DATABASE_URL=through(wire, ha))
    ha.start("two")
    job_id = ha.submit(TASKS)
    ha.wait(lambda: sum(ha.counts(job_id)) > 20)
    wire.stall()
    ha.wait(lambda: ha.is_leading("two"))
    ha.wait(lambda: ha.counts(job_id)[1] > 60)
    wire.resume()
    ha.wait(lambda: not ha.is_leading("one"))
    ha.prove(job_id, TASKS)
    assert ha.leader() == "two"


def test_m06_a_transaction_that_arrives_after_another_leads_writes_nothing(ha: Availability, wire: SlowWire):
    """It has begun in time and locks the leadership too late: the epoch in it is a former one."""
    ha.start("one", SWATH_DATABASE_URL=through(wire, ha))
    ha.start("two")
    job_id = ha.submit(60, 0.2, cpus=0.7)
    ha.wait(lambda: ha.counts(job_id)[1] > 5)
    term = ha.leadership.find()
    ha.wait(lambda: ha.leadership.find() != term)
    wire.keep_back(BEGIN)  # the lease has just been renewed: this one writes what has happened
    assert wire.caught.wait(20)
    ha.wait(lambda: ha.is_leading("two"))
    succeeded = ha.counts(job_id)[1]
    ha.wait(lambda: ha.counts(job_id)[1] > succeeded + 11)  # the places of all that ran have been taken by others
    wire.release()
    ha.wait(lambda: not ha.is_leading("one"))
    assert "leads no more: " in ha.log("one"), "refused by the epoch, not by what it would have written"
    ha.prove(job_id, 60)


def test_connections_that_are_reset_are_made_anew(ha: Availability, wire: SlowWire):
    """All of them at once, several times: the listener's too, which hears of the next job."""
    ha.start("one", SWATH_DATABASE_URL=through(wire, ha))
    job_id = ha.submit(TASKS)
    for done in (0, 40, 80):
        ha.wait(lambda done=done: ha.counts(job_id)[1] >= done)
        wire.cut()
    ha.prove(job_id, TASKS)


def test_a_server_that_crashes_and_recovers_has_everything_that_was_acknowledged(tmp_path: Path):
    """An immediate stop in the middle of a job, twice, and a start a moment later."""
    programs = find_programs()
    if programs is None:
        skip_or_fail(ABSENT)
    with TemporaryDirectory(prefix="swath-postgres-") as data:
        server = Server(programs, Path(data), fsync=False)
        server.start()
        ha = Availability(tmp_path, server.url)
        try:
            ha.start("one", "two")
            job_id = ha.submit(TASKS)
            for done in (20, 80):
                ha.wait(lambda done=done: ha.counts(job_id)[1] >= done)
                server.stop("immediate")
                time.sleep(1)
                server.start()
            ha.prove(job_id, TASKS)
        finally:
            ha.close()
            server.stop("immediate")

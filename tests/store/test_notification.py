"""Listeners wake up for what was committed on their channel, and for nothing that the scheduler itself wrote."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from swath.domain.changes import SetFrameworkId
from swath.domain.states import JobState
from swath.store.database import Channel, Database
from swath.store.inotify import Inotify
from swath.store.notification import Listener
from tests.store.build import figures

SOON, LONG = 0.05, 10.0


@pytest.fixture
def desired(database) -> Iterator[Listener]:
    """Listens as a scheduler does."""
    listener = Listener(database, Channel.DESIRED)
    yield listener
    listener.close()


@pytest.fixture
def observed(database) -> Iterator[Listener]:
    """Listens as an api does."""
    listener = Listener(database, "observed")
    yield listener
    listener.close()


def test_a_submission_wakes_the_scheduler(scene, desired):
    """Once the job is committed, the wait ends with news."""
    while desired.wait(SOON):
        pass

    scene.submit()

    assert desired.wait(LONG)


def test_a_quiet_database_times_out(scene, desired):
    """Without news the wait ends after its time."""
    while desired.wait(SOON):
        pass

    began = time.monotonic()
    assert not desired.wait(SOON)

    assert SOON * 0.9 <= time.monotonic() - began < LONG


def test_the_schedulers_own_writes_do_not_wake_it(scene, desired):
    """What the scheduler commits is news for followers, not for itself."""
    job = scene.submit()
    scene.apply(figures(job, JobState.PENDING))
    while desired.wait(SOON):
        pass

    scene.apply(SetFrameworkId(framework_id="f"))

    assert not desired.wait(SOON)


def test_an_observation_wakes_followers(scene, observed):
    """What the scheduler commits ends the wait of the api."""
    while observed.wait(SOON):
        pass

    scene.apply(SetFrameworkId(framework_id="f"))

    assert observed.wait(LONG)


def test_a_wait_under_way_is_ended_by_a_commit(scene, observed):
    """The news comes while the listener waits, not only before."""
    while observed.wait(SOON):
        pass
    heard: list[bool] = []
    waiter = threading.Thread(target=lambda: heard.append(observed.wait(LONG)))
    waiter.start()

    scene.apply(SetFrameworkId(framework_id="f"))

    waiter.join(LONG)
    assert heard == [True]


def test_many_commits_are_one_piece_of_news(scene, observed):
    """A listener that was away hears once of all that happened."""
    for number in range(5):
        scene.apply(SetFrameworkId(framework_id=str(number)))

    assert observed.wait(LONG)
    while observed.wait(SOON):
        pass
    assert not observed.wait(SOON)


def test_another_thread_can_end_a_wait(scene, desired):
    """`wake` ends the wait under way, and is not told twice."""
    while desired.wait(SOON):
        pass
    threading.Timer(SOON, desired.wake).start()

    assert desired.wait(LONG)
    assert not desired.wait(SOON)


def test_a_wake_before_the_wait_is_not_lost(scene, desired):
    """A wait that begins after `wake` ends at once."""
    desired.wake()

    assert desired.wait(LONG)


def test_a_transaction_that_fails_wakes_nobody(scene, database, observed):
    """Only a commit is news."""
    while observed.wait(SOON):
        pass

    with pytest.raises(RuntimeError), database.write(notify=Channel.OBSERVED):
        raise RuntimeError

    assert not observed.wait(SOON)


def test_without_inotify_the_database_is_polled(sqlite_database, monkeypatch):
    """Where the system cannot tell of writes, a commit is still news within a few hundredths of a second."""
    monkeypatch.setattr("swath.store.notification.Inotify", refuse)
    database = Database(sqlite_database)
    listener = Listener(database, Channel.OBSERVED)
    assert not listener.wait(SOON)

    with database.write() as session:
        session.execute(text("INSERT INTO framework (id, framework_id) VALUES (1, 'x')"))

    assert listener.wait(LONG)
    listener.close()
    database.close()


def test_waiting_for_sqlite_costs_next_to_nothing(sqlite_database):
    """A second of quiet asks the database a few times, not dozens of times."""
    database = Database(sqlite_database)
    listener = Listener(database, Channel.OBSERVED)
    listener.wait(SOON)
    began = time.thread_time()

    assert not listener.wait(1.0)

    assert time.thread_time() - began < 0.02
    listener.close()
    database.close()


def test_other_files_are_no_writes(tmp_path):
    """Only the watched name counts, also when the file appears later."""
    watched = Inotify(tmp_path / "db-wal")
    (tmp_path / "other").write_text("x")
    assert not watched.was_written()

    (tmp_path / "db-wal").write_text("x")

    assert watched.was_written()
    assert not watched.was_written()
    watched.close()


def test_a_directory_that_is_not_there_cannot_be_watched(tmp_path):
    """The system's refusal is an OSError, and nothing is left open."""
    with pytest.raises(FileNotFoundError):
        Inotify(tmp_path / "nowhere" / "db-wal")


def refuse(path: Path) -> Inotify:
    """A system without inotify."""
    raise OSError(f"nobody watches {path}")


@pytest.mark.postgres
def test_a_listener_survives_the_loss_of_its_connection(postgres_database):
    """After the server has ended the connection, the listener connects again and says that it may have missed something."""
    database = Database(postgres_database)
    listener = Listener(database, Channel.DESIRED)
    with database.write() as session:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'swath-listener'"
        session.execute(text(others))

    assert listener.wait(LONG)
    with database.write(notify=Channel.DESIRED):
        pass
    assert listener.wait(LONG)

    listener.close()
    database.close()


@pytest.mark.postgres
def test_a_listener_without_a_server_only_times_out():
    """While no server answers a wait lasts its time, and nothing is raised."""
    database = Database("postgresql+psycopg://nobody@127.0.0.1:1/none")
    listener = Listener(database, Channel.DESIRED)

    assert not listener.wait(SOON)

    listener.close()
    database.close()


def test_a_listener_that_may_not_listen_leaves_no_connection_behind():
    """A server that takes the connection and refuses to listen sees it closed at once, not whenever memory is tidied."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ends: list[bytes] = []
        refusing = threading.Thread(target=lambda: ends.append(refuse_to_listen(server)))
        refusing.start()
        port = server.getsockname()[1]
        database = Database(f"postgresql+psycopg://u@127.0.0.1:{port}/d?sslmode=disable&gssencmode=disable")

        listener = Listener(database, Channel.DESIRED)

        refusing.join(LONG)
        listener.close()
        database.close()
    assert ends == [b"X"]


def refuse_to_listen(server: socket.socket) -> bytes:
    """PostgreSQL's side of one connection: let it in, answer its first query that memory is out; the next message's type."""
    connection, _ = server.accept()
    with connection:
        connection.settimeout(LONG)
        connection.recv(65536)  # the start-up message
        ready = b"Z" + struct.pack("!I", 5) + b"I"
        connection.sendall(b"R" + struct.pack("!II", 8, 0) + ready)
        connection.recv(65536)  # LISTEN
        said = b"SERROR\0C53200\0Mout of memory\0\0"
        connection.sendall(b"E" + struct.pack("!I", 4 + len(said)) + said + ready)
        return connection.recv(65536)[:1]

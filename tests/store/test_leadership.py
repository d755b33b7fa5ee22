"""One scheduler leads at a time, and one that has lost the lead writes nothing."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from swath.domain.changes import SetFrameworkId
from swath.domain.errors import LeadershipLostError, StoreUnavailableError
from swath.store.database import Database, Limits
from swath.store.leadership import Leadership, Term, check_epoch
from swath.store.models import Framework
from swath.store.scheduling import SchedulerStore
from tests.store.build import NOW


def later(seconds: float):
    """So many seconds after NOW."""
    return NOW + timedelta(seconds=seconds)


def test_the_first_one_leads(database):
    """A free lease is acquired with an epoch of at least 1."""
    assert Leadership(database).acquire("a", NOW, 10) == 1


def test_a_second_one_waits_until_the_lease_ends(database):
    """While the lease runs nobody else gets it; once it has run out the next epoch begins."""
    leadership = Leadership(database)
    leadership.acquire("a", NOW, 10)

    assert leadership.acquire("b", later(9.9), 10) is None
    assert leadership.acquire("b", later(10), 10) == 2


def test_renewing_keeps_the_lead(database):
    """A renewed lease runs for its whole length again."""
    leadership = Leadership(database)
    epoch = leadership.acquire("a", NOW, 10)

    assert leadership.renew(epoch, later(8))

    assert Leadership(database).acquire("b", later(15), 10) is None


def test_a_lost_lease_cannot_be_renewed(database):
    """After another epoch has begun the old one's renewal says so, and changes nothing."""
    first, second = Leadership(database), Leadership(database)
    old = first.acquire("a", NOW, 10)
    new = second.acquire("b", later(11), 10)

    assert not first.renew(old, later(12))
    assert second.renew(new, later(12))


def test_a_late_leader_that_nobody_replaced_may_go_on(database):
    """A lease that ran out while nobody else asked for it is renewed."""
    leadership = Leadership(database)
    epoch = leadership.acquire("a", NOW, 10)

    assert leadership.renew(epoch, later(60))


def test_a_released_lease_is_free_at_once(database):
    """After a release another one leads without waiting, and the old epoch is over."""
    leadership = Leadership(database)
    epoch = leadership.acquire("a", NOW, 10)

    assert leadership.release(epoch, later(1))

    assert not leadership.renew(epoch, later(1))
    assert leadership.acquire("b", later(1), 10) == epoch + 1


def test_the_same_holder_takes_over_from_itself(database):
    """What was killed and started again in its place does not wait for its own lease, and fences its predecessor."""
    leadership = Leadership(database)
    old = leadership.acquire("a", NOW, 10)

    assert leadership.acquire("a", later(1), 10) == old + 1
    assert not leadership.renew(old, later(1))


def test_a_dead_leader_is_replaced_by_its_epoch(database):
    """Whoever knows that a leader is dead need not wait for its lease; of two that know it, one leads."""
    leadership = Leadership(database)
    dead = leadership.acquire("dead", NOW, 3600)

    assert leadership.acquire("b", NOW, 3600, instead_of=dead) == dead + 1
    assert leadership.acquire("c", NOW, 3600, instead_of=dead) is None
    assert not leadership.renew(dead, NOW)


def test_the_term_is_what_the_row_says(database):
    """None before anybody has led; then the holder, its epoch and its expiry; free once released or expired."""
    leadership = Leadership(database)
    assert leadership.find() is None
    epoch = leadership.acquire("a", NOW, 10)

    term = leadership.find()
    assert term == Term(holder="a", epoch=epoch, expires_at=later(10))
    assert (term.is_free(later(9)), term.is_free(later(10))) == (False, True)
    leadership.release(epoch, later(1))
    assert leadership.find().is_free(later(1))


def test_of_many_that_ask_at_once_one_leads(database):
    """Eight threads ask; exactly one gets an epoch."""
    found: list[int | None] = []

    def ask(name: str) -> None:
        found.append(Leadership(database).acquire(name, NOW, 10))

    threads = [threading.Thread(target=ask, args=(f"holder-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(epoch is not None for epoch in found) == [False] * 7 + [True]


@pytest.mark.parametrize("taken_over", [True, False], ids=["taken over", "released"])
def test_a_former_leader_writes_nothing(database, taken_over):
    """A transaction with an epoch that is over raises LeadershipLostError and leaves the database as it was."""
    leadership, scheduler = Leadership(database), SchedulerStore(database)
    old = leadership.acquire("a", NOW, 10)
    if taken_over:
        leadership.acquire("b", later(11), 10)
    else:
        leadership.release(old, NOW)

    with pytest.raises(LeadershipLostError, match=f"epoch {old} leads no more"):
        scheduler.apply([SetFrameworkId(framework_id="zombie")], epoch=old, now=later(12))

    assert scheduler.load().framework_id is None


def test_an_epoch_that_never_was_writes_nothing(database):
    """Without any leader a transaction is refused."""
    with pytest.raises(LeadershipLostError, match="nobody"):
        SchedulerStore(database).apply([], epoch=1, now=NOW)


def test_a_new_leader_begins_after_the_old_ones_last_transaction(database):
    """Acquiring waits for a transaction of the old epoch that is under way."""
    leadership = Leadership(database)
    old = leadership.acquire("a", NOW, 10)
    order: list[str] = []

    def take_over() -> None:
        leadership.acquire("b", later(11), 10)
        order.append("new leader")

    with database.write() as session:
        check_epoch(session, old)
        successor = threading.Thread(target=take_over)
        successor.start()
        successor.join(timeout=0.2)
        order.append("old leader commits")
    successor.join()

    assert order == ["old leader commits", "new leader"]


@pytest.mark.postgres
def test_a_leader_stopped_within_a_transaction_loses_it(postgres_database):
    """The next one asks in vain while the row is held, leads once the server has ended the session, and the rest is undone."""
    old, new = (
        Database(postgres_database, limits=Limits(idle_s=0.5)),
        Database(postgres_database, limits=Limits(lock_s=0.05)),
    )
    epoch = Leadership(old).acquire("stopped", NOW, 10)

    def stop_within_a_transaction() -> None:
        with old.write() as session:
            check_epoch(session, epoch)
            session.add(Framework(id=1, framework_id="written by the stopped one"))
            session.flush()
            answers.append(Leadership(new).acquire("next", later(11), 10))
            while answers[-1] is None:  # each waits for the lock
                answers.append(Leadership(new).acquire("next", later(11), 10))

    answers: list[int | None] = []
    with pytest.raises(StoreUnavailableError):
        stop_within_a_transaction()

    assert answers[0] is None
    assert answers[-1] == epoch + 1
    assert SchedulerStore(new).load().framework_id is None
    old.close()
    new.close()

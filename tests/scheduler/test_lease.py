"""One scheduler leads, and none takes over from one that may live (MESOS.md, M6)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scheduler.lease import is_dead, make_holder
from swath.domain.errors import LeadershipLostError
from tests.scheduler.stand_ins import FakeLeadership, a_lease
from tests.scheduler.world import NOON


def test_a_lease_that_is_not_renewed_stops_every_call():
    """M6: by its own clock, before anybody else can have taken over."""
    clock = [NOON]
    lease = a_lease(FakeLeadership(), clock)
    assert lease.acquire()
    lease.check()
    clock[0] += timedelta(seconds=15)
    with pytest.raises(LeadershipLostError):
        lease.check()


def test_a_second_scheduler_waits_until_the_first_lets_go():
    """One leads, the other stands by; a release hands over at once."""
    row, clock = FakeLeadership(), [NOON]
    first, second = a_lease(row, clock, "one"), a_lease(row, clock, "two")
    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire()
    first.epoch = 1
    with pytest.raises(LeadershipLostError):
        first.renew()


def a_holder(**changed: str) -> str:
    """This process's name with some of its parts changed."""
    parts = dict(zip(("host", "boot", "namespace", "pid", "start"), make_holder().rsplit(":", 4), strict=True))
    return ":".join((parts | changed).values())


def test_a_dead_leader_of_this_host_is_replaced_without_waiting_for_its_lease():
    """A scheduler that is killed and started again leads at once."""
    row, clock = FakeLeadership(), [NOON]
    assert a_lease(row, clock, a_holder(start="1")).acquire()
    successor = a_lease(row, clock, "successor")
    assert successor.acquire()
    assert (row.holder, successor.epoch) == ("successor", row.epoch)


@pytest.mark.parametrize("changed", [{"start": "1"}, {"pid": "4194305"}])
def test_a_process_that_is_not_there_is_dead(changed: dict[str, str]):
    """Its pid is another process's by now, or nobody's."""
    assert is_dead(a_holder(**changed))


@pytest.mark.parametrize("changed", [{}, {"namespace": "1", "pid": "4194305"}, {"boot": "another", "pid": "4194305"}])
def test_a_leader_that_may_live_is_left_alone(changed: dict[str, str]):
    """This process; a pid of another container's namespace, or of another machine, whatever the pid is here."""
    assert not is_dead(a_holder(**changed))


@pytest.mark.parametrize("holder", ["elsewhere:1:1.0", "nonsense", ""])
def test_a_leader_whose_name_says_nothing_is_left_alone(holder: str):
    """Its lease has to expire."""
    assert not is_dead(holder)

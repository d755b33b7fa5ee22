"""One scheduler leads, and none takes over from one that may live (MESOS.md, M6)."""

from __future__ import annotations

import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from scheduler.lease import Lease, is_dead, make_holder
from swath.domain.errors import LeadershipLostError
from tests.scheduler.stand_ins import FakeLeadership, a_lease
from tests.scheduler.world import NOON


def test_m06_a_lease_that_has_run_out_stops_every_call_once_somebody_else_leads():
    """Back from a stop, the former leader asks the database before it says a word."""
    row, clock = FakeLeadership(), [NOON]
    lease, successor = a_lease(row, clock, "stopped"), a_lease(row, clock, "next")
    assert lease.acquire()
    lease.check()
    clock[0] += timedelta(seconds=15)
    assert successor.acquire()
    with pytest.raises(LeadershipLostError):
        lease.check()


def test_m06_a_leader_that_nobody_has_replaced_goes_on_after_a_turn_longer_than_its_lease():
    """Loading 50,000 attempts may take longer: the lease is asked for again, not given up for ever."""
    row, clock = FakeLeadership(), [NOON]
    lease = a_lease(row, clock)
    assert lease.acquire()
    clock[0] += timedelta(seconds=40)
    assert not lease.is_current
    lease.check()
    assert lease.is_current
    assert not a_lease(row, clock, "next").acquire()


def test_m06_a_silent_leader_is_replaced_though_its_clock_was_an_hour_ahead():
    """What its clock wrote down would keep everybody waiting; what a standby has watched for a lease's time does not."""
    row, clock, uptime = FakeLeadership(), [NOON], [0.0]
    assert a_lease(row, [NOON + timedelta(hours=1)], "ahead").acquire()
    standby = Lease(row, lease_s=15, clock=lambda: clock[0], uptime=lambda: uptime[0], holder="standby")
    for seconds in (0.0, 15.0):
        uptime[0] = seconds
        assert not standby.acquire()
    uptime[0] = 15.1
    assert standby.acquire()


def test_m06_a_leader_that_renews_is_never_silent():
    """However long it is watched."""
    row, clock = FakeLeadership(), [NOON]
    leader, standby = a_lease(row, clock, "leader"), a_lease(row, clock, "standby")
    assert leader.acquire()
    for _ in range(10):
        clock[0] += timedelta(seconds=5)
        leader.renew()
        assert not standby.acquire()


def test_m06_a_step_of_the_clock_ends_no_lease():
    """Set back by an hour, it is renewed when it is due all the same."""
    clock, uptime = [NOON], [100.0]
    lease = Lease(FakeLeadership(), lease_s=15, clock=lambda: clock[0], uptime=lambda: uptime[0], holder="here")
    assert lease.acquire()
    clock[0] -= timedelta(hours=1)
    assert lease.renew_at == clock[0] + timedelta(seconds=5)
    uptime[0] += 14.9
    assert lease.is_current


def test_m06_a_second_scheduler_waits_until_the_first_lets_go():
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


def test_a_process_that_was_killed_and_not_waited_for_is_dead():
    """A zombie has its pid and its start, and does nothing any more."""
    killed = subprocess.Popen(["sleep", "60"])
    try:
        holder = a_holder(pid=str(killed.pid), start=_start_of(killed.pid))
        assert not is_dead(holder)
        killed.kill()
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
        assert is_dead(holder)
    finally:
        killed.kill()
        killed.wait()


def _start_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


@pytest.mark.parametrize("changed", [{}, {"namespace": "1", "pid": "4194305"}, {"boot": "another", "pid": "4194305"}])
def test_a_leader_that_may_live_is_left_alone(changed: dict[str, str]):
    """This process; a pid of another container's namespace, or of another machine, whatever the pid is here."""
    assert not is_dead(a_holder(**changed))


@pytest.mark.parametrize("holder", ["elsewhere:1:1.0", "nonsense", ""])
def test_a_leader_whose_name_says_nothing_is_left_alone(holder: str):
    """Its lease has to expire."""
    assert not is_dead(holder)

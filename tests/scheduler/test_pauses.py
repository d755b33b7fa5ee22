"""How long a process waits after a core's end, and what it remembers."""

from __future__ import annotations

from scheduler.core.effects import Stop, StopKind
from scheduler.pauses import GOOD_LIFE_S, LONGEST_BACKOFF_S, LONGEST_CUT_OFF_S, Pauses


def test_failures_in_a_row_are_waited_out_ever_longer():
    """Until a core has lived well."""
    pauses = Pauses(60.0)
    waits = [pauses.on_failed(1.0) for _ in range(9)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.5, LONGEST_BACKOFF_S)
    assert pauses.on_failed(GOOD_LIFE_S + 1) == waits[0]


def test_a_failed_over_framework_is_not_fought_for():
    """Another subscribed: a pause that grows. Removed or begun anew: at once, and the removed one is remembered."""
    pauses, other = Pauses(60.0), Stop(kind=StopKind.STEP_DOWN, message="Framework failed over")
    assert 0 < pauses.on_stopped(other, 1.0) < pauses.on_stopped(other, 1.0)
    removed = Stop(kind=StopKind.REMOVED, message="Framework has been removed", framework_id="f1")
    assert (pauses.on_stopped(removed, 1.0), pauses.removed) == (0.0, "f1")
    assert (pauses.on_stopped(Stop(kind=StopKind.ANEW, message=""), 1.0), pauses.removed) == (0.0, None)


def test_m05_a_removal_is_forgotten_once_another_has_led():
    """A new master may have taken the framework back since: whoever led subscribed, and attempts of it may run."""
    pauses = Pauses(60.0)
    pauses.on_leading(4)
    pauses.on_stopped(Stop(kind=StopKind.REMOVED, message="Framework has been removed", framework_id="f1"), 1.0)
    pauses.on_leading(5)
    assert pauses.removed == "f1"
    pauses.on_leading(7)
    assert pauses.removed is None


def test_a_scheduler_that_finds_no_master_lets_go_less_often_each_time():
    """As at first once it had been subscribed in between."""
    pauses = Pauses(60.0)
    assert pauses.on_cut_off(60.0) > 0
    assert pauses.cut_off_s == 120.0
    for _ in range(5):
        pauses.on_cut_off(60.0)
    assert pauses.cut_off_s == LONGEST_CUT_OFF_S
    pauses.on_cut_off(5000.0)
    assert pauses.cut_off_s == 60.0

"""What the master need not offer (M30): min_allocatable_resources, kept current by UPDATE_FRAMEWORK."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core import effects as fx
from scheduler.core import events as ev
from scheduler.core.filters import MOST, find_minimums
from swath.domain.resources import Resources
from swath.wire.channel import CallResult, Outcome
from tests.scheduler.stand_ins import Diary, a_shell
from tests.scheduler.world import NOON, World, a_job


def large_job_waits() -> World:
    """A job of 3 cpus has waited for long enough that the master was told."""
    world = World().subscribe().submit(a_job("large", cpus=3, mem=1000)).advance(11)
    assert world.called(fx.UpdateFramework) == [
        fx.UpdateFramework(minimums=(Resources(cpus_m=3000, mem=1000),), suppressed=False)
    ]
    return world


def test_m30_the_master_is_told_what_waiting_tasks_need_at_least():
    """After ten seconds, and not again while nothing changes."""
    world = large_job_waits().advance(100)
    assert len(world.called(fx.UpdateFramework)) == 1


def test_m30_a_smaller_task_is_told_of_at_once_and_before_its_revive():
    """Else the master would never offer what it could use."""
    world = large_job_waits()
    world.submit(a_job("small", cpus=0.5, mem=64))
    kinds = [type(call) for call in world.recent if isinstance(call, fx.UpdateFramework | fx.Revive)]
    assert kinds == [fx.UpdateFramework, fx.Revive]
    assert world.lately(fx.UpdateFramework)[0].minimums == (Resources(cpus_m=500, mem=64),)


def test_m30_when_only_larger_tasks_are_left_the_minimum_grows_after_a_while():
    """The small job has gone: ten seconds later small offers do not come any more."""
    world = large_job_waits().submit(a_job("small", cpus=0.5, mem=64)).offer(cpus=1, mem=300)
    assert [attempt.job_id for attempt in world.launched()] == ["small"]
    world.advance(11)
    assert world.called(fx.UpdateFramework)[-1].minimums == (Resources(cpus_m=3000, mem=1000),)


def test_m30_a_new_subscription_begins_without_a_minimum():
    """SUBSCRIBE names none: what this core told the stream before is void."""
    world = large_job_waits().happen(ev.Disconnected(reason="cut")).subscribe().advance(11)
    assert len(world.called(fx.UpdateFramework)) == 2


def test_m30_a_master_that_takes_no_minimum_is_not_asked_again():
    """An older one answers 400; everything else goes on."""
    world = large_job_waits().happen(ev.FiltersRefused()).submit(a_job("small", cpus=0.5)).advance(100)
    assert len(world.called(fx.UpdateFramework)) == 1
    world.offer()
    assert len(world.launched()) == 2
    world.happen(ev.Disconnected(reason="what it took before is void")).subscribe().submit(a_job("third")).advance(100)
    assert len(world.called(fx.UpdateFramework)) == 1


@pytest.mark.parametrize(("status", "refused"), [(400, True), (401, False), (503, False), (None, False)])
def test_m30_a_minimum_that_was_not_told_begins_a_new_subscription(status: int | None, refused: bool):
    """Else the master would keep the larger one before it, and never offer what a small task could use."""
    diary = Diary()
    diary.answer = CallResult(outcome=Outcome.FAILED, status=status)
    call = fx.UpdateFramework(minimums=(Resources(cpus_m=100),), suppressed=False)
    heard = a_shell(diary).perform(fx.Effects(calls=(call,)), NOON)
    assert "resubscribe" in diary.lines
    assert heard == ([ev.FiltersRefused()] if refused else [])


NEEDS = st.builds(
    Resources,
    cpus_m=st.integers(0, 50),
    mem=st.integers(0, 50),
    disk=st.integers(0, 5),
    gpus=st.integers(0, 2),
    ports=st.integers(0, 2),
    custom=st.sampled_from([(), (("a", 1),), (("a", 2), ("b", 1)), (("b", 3),)]),
)


@given(st.sets(NEEDS, min_size=1, max_size=40))
def test_m30_no_offer_that_a_task_could_use_is_below_the_minimum(needs: set[Resources]):
    """Whatever holds one of the needs holds one of the minimums, and those are few."""
    minimums = find_minimums(needs)
    assert 1 <= len(minimums) <= MOST
    assert all(any(least.fits_in(need) for least in minimums) for need in needs)
    assert not any(least.ports for least in minimums), "a master may not count them"

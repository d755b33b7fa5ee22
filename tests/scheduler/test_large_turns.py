"""A cluster that could take thousands of tasks at once gets them turn by turn: transactions and the lease have bounds."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scheduler.core import effects as fx
from scheduler.core import events as ev
from scheduler.core import launching, slots
from scheduler.core.launching import HOLD_S, LAUNCHES
from scheduler.core.open_jobs import Job
from scheduler.core.reactor import DUE
from scheduler.core.state import CoreSettings
from swath.domain.states import Desired
from tests.scheduler.slot_world import a_world, an_end
from tests.scheduler.world import SETTINGS, World, a_job

SMALL = {"cpus": 0.01, "mem": 1}


def a_large_world(tasks: int, agents: int, settings: CoreSettings = SETTINGS) -> World:
    """So many small tasks, and offers of agents that each have room for 400 of them."""
    world = World(settings).subscribe().submit(a_job(size=tasks, **SMALL))
    offers = tuple(world.an_offer(f"a{number}", cpus=4.1) for number in range(agents))
    return world.happen(ev.Offered(offers=offers))


def test_one_turn_launches_no_more_than_its_bound():
    """The rest waits for the turns after, which come at once."""
    world = a_large_world(3000, 10)
    assert len(world.launched()) == LAUNCHES
    assert world.wake_at == world.now


def test_the_next_turns_launch_the_rest_on_the_same_offers():
    """Nothing is declined meanwhile: these offers are used in their turn."""
    world = a_large_world(3000, 10)
    assert not world.called(fx.Decline)
    world.happen()
    world.happen()
    assert len(world.launched()) == 3000
    assert len({attempt.task_index for attempt in world.launched()}) == 3000


def test_what_is_left_of_an_agent_that_is_wanted_for_more_is_not_refused():
    """One agent takes part of its tasks: the next tick offers the rest of it again."""
    world = World().subscribe().submit(a_job(size=3000, **SMALL)).offer(cpus=64)
    (accept,) = world.called(fx.Accept)
    assert (len(accept.launches), accept.refuse_s) == (LAUNCHES, 0)
    assert not world.core.state.filtered
    world.offer(cpus=54, executor_ids=frozenset({SETTINGS.executor_id}))
    assert len(world.launched()) == 2 * LAUNCHES


def test_m29_offers_that_wait_for_their_turn_are_given_back_in_time():
    """Turns may take long: what is held for more than a few seconds is declined, to be offered again at the next tick."""
    world = a_large_world(10_000, 30)
    world.now += timedelta(seconds=HOLD_S + 1)
    world.happen()
    (decline,) = world.called(fx.Decline)
    assert decline.refuse_s == 0
    assert not world.core.state.agents_with_offers()
    assert world.core.state.held_since is None


def test_m17_an_offer_that_waits_for_its_turn_can_be_rescinded():
    """It is not used then."""
    world = a_large_world(2500, 10)
    void = [offer_id for agent in world.core.state.agents.values() for offer_id in agent.offers]
    world.happen(*(ev.Rescinded(offer_id=offer_id) for offer_id in void))
    assert len(world.launched()) == LAUNCHES


def test_offers_are_not_held_for_work_that_is_cancelled():
    """They are refused as any that nobody needs."""
    world = a_large_world(3000, 10)
    world.desire("j1", desired=Desired.CANCELLED)
    (decline,) = world.called(fx.Decline)
    assert decline.refuse_s == SETTINGS.refuse_s
    assert world.core.state.held_since is None


def test_what_has_priority_is_launched_first():
    """The bound cuts off the jobs that come last."""
    world = World().subscribe()
    world.submit(a_job("later", size=3000, priority=10, **SMALL)).submit(a_job("first", size=500, priority=90, **SMALL))
    world.happen(ev.Offered(offers=tuple(world.an_offer(f"a{number}", cpus=4.1) for number in range(10))))
    jobs = [attempt.job_id for attempt in world.launched()]
    assert (jobs.count("first"), jobs.count("later")) == (500, LAUNCHES - 500)


def a_world_with(attempts: int) -> World:
    """So many live attempts of one job."""
    world = a_large_world(attempts, attempts // 100)
    for _ in range(attempts // LAUNCHES):
        world.happen()
    assert len(world.launched()) == attempts
    return world


def test_m36_the_kills_of_a_large_job_are_spread_over_turns():
    """Thousands of calls take seconds: the lease is renewed between two turns, not within one."""
    world = a_world_with(DUE + 500)
    world.desire("j1", desired=Desired.CANCELLED)
    assert len(world.lately(fx.Kill)) == DUE
    assert world.wake_at == world.now
    world.happen()
    assert {call.task_id for call in world.called(fx.Kill)} == {attempt.slot_id for attempt in world.launched()}
    assert len(world.called(fx.Kill)) == DUE + 500


def test_m36_a_new_subscription_repeats_the_kills_of_a_large_job_over_turns():
    """Whatever was asked for on the stream before may have been lost."""
    world = a_world_with(DUE + 500)
    world.desire("j1", desired=Desired.CANCELLED)
    world.happen()
    world.happen(ev.Disconnected(reason="test"))
    world.subscribe()
    assert 0 < len(world.lately(fx.Kill)) <= DUE
    world.happen()
    assert len(world.called(fx.Kill)) == 2 * (DUE + 500)


def test_a_turn_launches_so_many_attempts_and_no_more(monkeypatch: pytest.MonkeyPatch):
    """However many slots they are divided among: a bound on the size of its transaction."""
    monkeypatch.setattr(launching, "LAUNCHES", 100)
    world = World().subscribe().submit(a_job(size=1000, short=True, expected_s=0.01))
    offers = tuple(world.an_offer(f"a{number}", cpus=2.2) for number in range(20))
    world.happen(ev.Offered(offers=offers))
    attempts = [launch.attempt for call in world.lately(fx.Accept) for launch in call.launches]
    assert len({attempt.slot_id for attempt in attempts}) == 40
    assert len(attempts) == 80


def test_who_else_waits_is_asked_once_a_turn(monkeypatch: pytest.MonkeyPatch):
    """And not once for each slot in which an attempt has ended: there may be thousands of both."""
    asked: list[Job] = []
    monkeypatch.setattr(slots, "_wants_room", lambda job: asked.append(job) is not None)
    world = a_world(cpus=4.4, size=100)
    first = world.launched()
    assert len({attempt.slot_id for attempt in first}) == 4
    asked.clear()
    told = {slot_id: [one.id for one in first if one.slot_id == slot_id][:2] for slot_id in {a.slot_id for a in first}}
    world.happen(*(an_end(world, slot_id, ids) for slot_id, ids in told.items()))
    assert len(world.lately(fx.HandOver)) == 4
    assert len(asked) == 1

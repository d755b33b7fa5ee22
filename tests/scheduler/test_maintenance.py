"""Maintenance windows and inverse offers (M32), through the core."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from scheduler.core import effects as fx
from scheduler.core import events as ev
from scheduler.core.from_mesos import to_event
from tests.scheduler.world import NOON, World, a_job


def window(begins_s: float, lasts_s: float | None = 3600.0) -> dict[str, Any]:
    """The fields of an offer whose agent goes away `begins_s` after noon."""
    begins = NOON + timedelta(seconds=begins_s)
    return {
        "unavailable_from": begins,
        "unavailable_until": None if lasts_s is None else begins + timedelta(seconds=lasts_s),
    }


def inverse(world: World, begins_s: float, agent: str = "a1") -> World:
    """The master asks whether an agent may go."""
    offer = ev.InverseOffer(id=f"i-{agent}", agent_id=agent, **window(begins_s))
    return world.happen(ev.InverseOffered(offers=(offer,)))


def test_m32_no_task_is_placed_that_would_outlast_the_start_of_a_window():
    """A task may take its time-out of 600 s: not on an agent that goes in 500 s, but on one that goes in 700 s."""
    world = World().subscribe().submit(a_job()).offer(**window(500))
    assert world.launched() == []
    world.advance(1)
    assert world.job().wait_reason == (
        "waiting for maintenance: a task may take 10 min, and on 1 agent with room it begins in 8 min"
    )
    world.offer(agent="a2", **window(700))
    assert [attempt.agent_id for attempt in world.launched()] == ["a2"]


def test_m32_after_the_window_the_agent_serves_again():
    """Within it nothing is placed, however short; afterwards the window says nothing."""
    world = World().subscribe().submit(a_job(timeout_s=1)).offer(**window(-10, 60))
    assert world.launched() == []
    world.advance(120).offer(**window(-10, 60))
    assert len(world.launched()) == 1


def test_m32_a_window_without_an_end_is_never_over():
    """The duration may be missing."""
    world = World().subscribe().submit(a_job(timeout_s=1)).offer(**window(-10, None))
    assert world.advance(90_000).launched() == []


def test_m32_how_long_tasks_take_is_learned_from_those_that_succeeded():
    """Tasks of 20 s fit before a window in 60 s although their time-out is 600 s."""
    world = World()
    attempt_id = world.running(a_job(size=3, max_running=1))
    world.advance(20).say(attempt_id, "FINISHED").offer(**window(80))
    assert len(world.launched()) == 2
    world.say(world.launched()[1].id, "RUNNING").advance(20).say(world.launched()[1].id, "FINISHED")
    world.offer(**window(60))
    assert len(world.launched()) == 2, "30 s may be needed, 20 s are left"


def test_m32_a_new_job_is_expected_to_take_as_long_as_those_of_its_image_and_project():
    """Those that ran under this core and those that the database knows of; a job of another project takes its time-out."""
    world = World()
    world.say(world.advance(20).running(a_job()), "FINISHED")
    for name, project in (("j2", "default"), ("j3", "other")):
        world.submit(replace(a_job(name), project=project))
    world.offer(**window(80))
    assert [attempt.job_id for attempt in world.launched()] == ["j1", "j2"]
    for known_s, launched in ((20.0, 1), (None, 0)):
        world = World().subscribe().submit(replace(a_job(), alike_s=known_s)).offer(**window(60))
        assert len(world.launched()) == launched


def test_m32_a_job_may_say_how_long_its_tasks_are_expected_to_run():
    """Before there is experience; never longer than they are let."""
    assert len(World().subscribe().submit(a_job(expected_s=50)).offer(**window(60)).launched()) == 1
    assert World().subscribe().submit(a_job(expected_s=70)).offer(**window(60)).launched() == []
    assert len(World().subscribe().submit(a_job(expected_s=9000)).offer(**window(700)).launched()) == 1


def test_m32_an_inverse_offer_is_accepted_where_nothing_of_ours_would_still_run():
    """An idle agent may go; so may one whose tasks end in time."""
    world = World().subscribe().list_agents()
    inverse(world, 100)
    assert world.lately(fx.AnswerInverse) == [fx.AnswerInverse(accept=True, offer_ids=("i-a1",), refuse_s=30.0)]
    assert world.store.agents["a1"].unavailable_from == NOON + timedelta(seconds=100)
    busy = World()
    busy.running()
    inverse(busy, 700)
    assert busy.lately(fx.AnswerInverse)[0].accept


def test_m32_an_inverse_offer_is_declined_while_a_task_would_outlast_its_start():
    """It comes again after its filter (surprise 46), and is accepted once the task has ended."""
    world = World()
    attempt_id = world.running()
    inverse(world, 300)
    assert [answer.accept for answer in world.lately(fx.AnswerInverse)] == [False]
    world.say(attempt_id, "FINISHED")
    inverse(world, 300)
    assert [answer.accept for answer in world.lately(fx.AnswerInverse)] == [True]


def recorded(folder: Path, kind: str) -> Iterator[dict[str, Any]]:
    """The events of a kind in a transcript."""
    for line in (folder / "sched-stream.jsonl").read_text().splitlines():
        if (event := json.loads(line).get("event", {})).get("type") == kind:
            yield event


def test_m32_a_recorded_inverse_offer_is_understood(transcripts_folder: Path):
    """09c: nanoseconds since the epoch, and a duration."""
    folder = transcripts_folder / "09c-maintenance-inverse-offers"
    heard = to_event(next(recorded(folder, "INVERSE_OFFERS")))
    assert isinstance(heard, ev.InverseOffered)
    (offer,) = heard.offers
    assert offer.unavailable_until - offer.unavailable_from == timedelta(seconds=60)
    offered = next(
        offer
        for event in recorded(folder, "OFFERS")
        for offer in to_event(event).offers
        if offer.unavailable_from is not None
    )
    assert offered.unavailable_from == offer.unavailable_from


def test_m32_a_task_that_should_have_ended_is_not_counted_on_to_end_now():
    """It has run over for a minute and a half, and may for as long again: the inverse offer is for after that, or declined."""
    world = World()
    world.running(a_job(expected_s=10, timeout_s=3600))
    world.advance(100)
    inverse(world, 160)
    assert [answer.accept for answer in world.lately(fx.AnswerInverse)] == [False]
    inverse(world, 200)
    assert [answer.accept for answer in world.lately(fx.AnswerInverse)] == [True]

"""Which agents are asked to pull an image ahead, and when nobody is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from scheduler.core import effects as fx
from scheduler.core import events as ev
from scheduler.core.prefetch import ALIVE_S, ASKED_S, LOOK_S, PULLING_S
from swath.domain.images import HeldImage, PrefetchOrder, read_message
from swath.domain.resources import Resources
from swath.domain.states import Desired
from swath.domain.wishes import AgentMode, AgentWish, Wishes
from swath.store.rows import JobRecord
from tests.scheduler.world import IMAGE, World, a_job

NDVI = replace(IMAGE, id=2, name="ndvi", reference="registry/ndvi@sha256:1", context=None)
OTHER = replace(NDVI, id=3, name="other", reference="registry/other@sha256:2")
HELD = HeldImage(names=("sha256:9", str(NDVI.reference)), size=100, layers={"0" * 16: 90, "1" * 16: 10})
AGENTS = ("a1", "a2", "a3", "a4")
FOUR_CPUS = Resources(cpus_m=4000, mem=8192, disk=10_000)


def a_big_job(name: str = "j1", size: int = 100, **spec: Any) -> JobRecord:
    """A job of single CPUs: three of its tasks go on an agent of `list_agents`."""
    image = spec.pop("image", NDVI)
    return replace(a_job(name, size, **spec), image=image)


def a_world(record: JobRecord | None = None, **settings: Any) -> World:
    """Four agents with an executor each, of which the first runs three tasks of a job in an image that it alone holds."""
    world = World(**settings).subscribe().list_agents(*AGENTS).submit(record or a_big_job())
    world.offer("a1")
    for attempt in world.launched():
        world.say(attempt.id, "RUNNING")
    world.hold(HELD)
    for agent in AGENTS[1:]:
        world.hold(agent=agent)
    return world


def asked(world: World) -> list[tuple[str, str]]:
    """The agents that were asked so far, and for what."""
    orders = [(call.agent_id, read_message(call.data)) for call in world.called(fx.Message)]
    return [(agent, order.reference) for agent, order in orders if isinstance(order, PrefetchOrder)]


def agents_asked(world: World) -> set[str]:
    return {agent for agent, _ in asked(world)}


def test_agents_without_the_image_are_asked_once():
    """By a MESSAGE to the executor that has spoken there; the one that holds it is not, and nobody is asked again soon."""
    world = a_world().advance(LOOK_S)
    assert sorted(asked(world)) == [(agent, NDVI.reference) for agent in AGENTS[1:]]
    assert {call.executor_id for call in world.called(fx.Message)} == {world.settings.executor_id}
    assert len(asked(world.advance(10 * LOOK_S))) == 3


def test_nobody_is_asked_before_a_task_runs():
    """The image may not be there at all."""
    world = World().subscribe().list_agents(*AGENTS).submit(a_big_job()).offer("a1")
    for agent in AGENTS:
        world.hold(agent=agent)
    assert asked(world.advance(5 * LOOK_S)) == []
    world.say(world.launched()[0].id, "RUNNING")
    assert agents_asked(world.advance(LOOK_S)) == set(AGENTS[1:])  # the first has pulled it, whatever it has said


@pytest.mark.parametrize(
    "record",
    [
        a_big_job(size=3),  # all of it runs
        a_big_job(max_running=3),
        a_big_job(image=IMAGE),  # a build context
        a_big_job(image=replace(NDVI, reference=None, image_id="sha256:9")),  # nowhere to pull it from
    ],
)
def test_nobody_is_asked_where_it_would_be_of_no_use(record: JobRecord):
    """No task waits for room, or there is nothing that could be pulled."""
    assert asked(a_world(record).advance(5 * LOOK_S)) == []


def test_no_more_agents_are_asked_than_the_tasks_could_fill():
    """Three tasks an agent: of eight tasks three run on one agent, so two more are enough."""
    assert len(asked(a_world(a_big_job(size=8)).advance(5 * LOOK_S))) == 2
    assert len(asked(a_world(a_big_job(max_running=6)).advance(5 * LOOK_S))) == 1


def test_so_many_agents_pull_at_the_same_time_and_no_more():
    """The next ones are asked as those are done, or have had their time."""
    world = a_world(prefetch_agents=1).advance(LOOK_S)
    assert len(asked(world.advance(3 * LOOK_S))) == 1
    first = asked(world)[0][0]
    assert len(asked(world.hold(HELD, agent=first).advance(LOOK_S))) == 2
    assert len(asked(world.advance(PULLING_S - 2 * LOOK_S))) == 2
    for agent in AGENTS:
        world.hold(*((HELD,) if agent in ("a1", first) else ()), agent=agent)
    assert len(asked(world.advance(3 * LOOK_S))) == 3


def test_an_operator_may_forbid_it():
    """SWATH_PREFETCH_AGENTS=0."""
    assert asked(a_world(prefetch_agents=0).advance(5 * LOOK_S)) == []


def test_who_was_asked_in_vain_is_asked_again_in_half_an_hour():
    """The request may have been lost."""
    world = a_world(a_big_job(size=6)).advance(LOOK_S)
    ((agent, _),) = asked(world)
    others = [name for name in AGENTS[1:] if name != agent]
    for _ in range(int(ASKED_S / LOOK_S)):
        world.hold(agent=agent).advance(LOOK_S)
        world.core.state.agents[others[0]].told_at = world.core.state.agents[others[1]].told_at = None
    assert asked(world.advance(LOOK_S)) == [(agent, NDVI.reference)] * 2


def test_agents_that_take_no_tasks_are_not_asked():
    """Cordoned, resting, about to be taken away, too small, without the attribute or an engine, silent, failing with it."""
    rack = [{"attribute": "rack", "operator": "equals", "value": "r1"}]
    agents = tuple(f"a{number}" for number in range(1, 11))
    world = World(prefetch_agents=100).subscribe().list_agents(*agents)
    state = world.core.state
    for agent in state.agents.values():
        agent.info = replace(agent.info, attributes={"rack": "r1"})
    world.submit(a_big_job(constraints=rack)).offer("a1", attributes={"rack": "r1"})
    world.say(world.launched()[0].id, "RUNNING").hold(HELD)
    for name in agents[1:]:
        world.hold(agent=name, engine=name != "a7")
    wish = AgentWish(agent_id="a2", mode=AgentMode.CORDONED, rev=1)
    world.store.agent_wishes["a2"] = wish
    world.happen(ev.WishesSeen(wishes=Wishes(agents=(wish,))))
    state.agents["a3"].rests_until = world.now + timedelta(hours=1)
    state.agents["a4"].info = replace(state.agents["a4"].info, unavailable_from=world.now + timedelta(minutes=5))
    state.agents["a5"].info = replace(state.agents["a5"].info, total=Resources(cpus_m=900, mem=8192, disk=10_000))
    state.agents["a6"].info = replace(state.agents["a6"].info, attributes={"rack": "r2"})
    state.agents["a8"].told_at = world.now - timedelta(seconds=ALIVE_S)
    state.cooling[NDVI.id] = frozenset({"a10"})
    assert agents_asked(world.advance(3 * LOOK_S)) == {"a9"}


def test_an_executor_that_has_ended_is_not_asked():
    """Nobody would hear."""
    world = a_world()
    for agent in AGENTS[1:]:
        world.happen(ev.Failure(agent_id=agent, executor_id=world.settings.executor_id, status=0))
    assert asked(world.advance(3 * LOOK_S)) == []
    world.hold(agent="a3")
    assert agents_asked(world.advance(LOOK_S)) == {"a3"}


def test_the_largest_agents_are_asked_first_and_of_these_the_ones_with_most_of_its_layers():
    """Most tasks will run there, and a small pull is soon done."""
    world = a_world(prefetch_agents=1)
    world.core.state.agents["a4"].info = replace(world.core.state.agents["a4"].info, total=FOUR_CPUS.scaled(2))
    assert asked(world.advance(LOOK_S)) == [("a4", NDVI.reference)]
    part = HeldImage(names=("base",), size=90, layers={"0" * 16: 90})
    world.hold(HELD, agent="a4").hold(part, agent="a3")
    assert asked(world.advance(LOOK_S))[1:] == [("a3", NDVI.reference)]


def test_several_images_take_turns():
    """However many there are: the ones that were not looked at for the longest time, the most urgent of these first."""
    images = [replace(NDVI, id=number, reference=f"registry/i{number}@sha256:1") for number in range(10, 15)]
    world = World(prefetch_agents=100).subscribe().list_agents(*AGENTS)
    for number, image in enumerate(images):
        world.submit(a_big_job(f"j{number}", image=image, priority=number))
        world.offer("a1", cpus=1.1)
        world.say(world.launched()[-1].id, "RUNNING")
    for agent in AGENTS:
        world.hold(agent=agent)
    world.advance(LOOK_S)
    assert {reference for _, reference in asked(world)} == {images[4].reference, images[3].reference}
    world.advance(2 * LOOK_S)
    assert {reference for _, reference in asked(world)} == {image.reference for image in images}


def test_nothing_is_said_while_there_is_nobody_to_say_it_to():
    """Not connected: the messages would be lost."""
    world = a_world().happen(ev.Disconnected(reason="test"))
    assert asked(world.advance(5 * LOOK_S)) == []
    assert len(asked(world.subscribe().advance(2 * LOOK_S))) == 3


def test_what_is_asked_for_is_forgotten_with_its_job():
    """No memory of images that nobody waits with."""
    world = a_world().advance(LOOK_S)
    world.desire("j1", desired=Desired.CANCELLED)
    world.submit(a_job("j2", 100)).advance(ASKED_S + LOOK_S)
    prefetched = world.core.state.prefetched
    assert (prefetched.asked_at, prefetched.looked_at) == ({}, {})

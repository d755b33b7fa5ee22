"""When freed resources are asked for by a REVIVE, which drops all filters, and when the master's tick has to do (M28)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from scheduler.core import effects as fx
from scheduler.core import events as ev
from scheduler.core.limit import Limit
from swath.domain.changes import PutAgent
from swath.domain.resources import Resources
from tests.scheduler.world import NOON, SETTINGS, World, a_job


def a_busy_world(declining: int, most: int = 20) -> World:
    """A job whose first task runs on a1 while more wait, and so many agents of which everything was refused."""
    world = World(replace(SETTINGS, largest_revive=most))
    world.subscribe().submit(a_job(size=10, constraints=[{"attribute": "big", "operator": "equals", "value": "yes"}]))
    world.offer(cpus=1.1, attributes={"big": "yes"})
    offers = tuple(world.an_offer(f"b{number}") for number in range(declining))
    return world.happen(ev.Offered(offers=offers)).advance(5)


def revived_by_an_end(world: World) -> bool:
    """Whether the end of the running task leads to a REVIVE."""
    live = next(iter(world.core.state.attempts))
    world.say(live, "FINISHED")
    return bool(world.lately(fx.Revive))


def test_m28_freed_resources_are_asked_for_while_few_agents_are_filtered():
    """Nineteen declined agents and the one whose rest was refused with the launch, below a limit of 21."""
    assert revived_by_an_end(a_busy_world(19, most=21))


def test_m28_the_tick_serves_once_many_agents_are_filtered():
    """One more, and a REVIVE would bring the offers of all of them."""
    assert not revived_by_an_end(a_busy_world(20, most=21))


def test_m28_agents_of_which_nothing_was_refused_do_not_count():
    """A cluster may be large: what matters is how many offers a REVIVE would bring."""
    world = a_busy_world(3)
    world.list_agents("a1", *(f"c{number}" for number in range(50)))
    assert revived_by_an_end(world)


def test_m28_filters_that_have_ended_do_not_count():
    """After refuse_s the master offers again by itself."""
    world = a_busy_world(30)
    world.now += timedelta(seconds=SETTINGS.refuse_s)
    assert revived_by_an_end(world)


def test_m28_a_revive_for_new_work_ends_all_filters():
    """Work that came may fit where nothing fitted before: it is asked for whatever it brings."""
    world = a_busy_world(30)
    world.submit(a_job("j2"))
    assert world.lately(fx.Revive)
    assert revived_by_an_end(world)


def test_m28_a_new_subscription_begins_without_filters():
    """The master has forgotten them, too."""
    world = a_busy_world(30)
    world.happen(ev.Disconnected(reason="test"))
    world.subscribe().advance(2)
    assert revived_by_an_end(world)


def test_m28_no_second_has_more_than_five_wishes_granted():
    """Five at once, the next when the first of them is older than a second for whoever got it late, too."""
    limit = Limit(per_s=5)
    tenth = timedelta(milliseconds=100)
    assert [limit.take(NOON + number * tenth) for number in range(5)] == [None] * 5
    next_at = limit.take(NOON + 10 * tenth)
    assert next_at == NOON + timedelta(seconds=1.25)
    assert limit.take(next_at) is None
    assert limit.take(next_at) == next_at + tenth


def test_a_clock_that_is_set_back_does_not_stop_the_wishes():
    """What was granted in a future that has not come does not count."""
    limit = Limit(per_s=1)
    assert limit.take(NOON + timedelta(hours=1)) is None
    assert limit.take(NOON) is None


def test_an_agent_that_comes_back_has_its_attempts_still():
    """What runs on it is not offered: the estimate of what is free leaves it out."""
    world = World()
    world.running(a_job(size=2))
    world.advance(1).happen(ev.AgentsListed(agents=()))
    assert not world.core.state.agents
    world.happen(ev.AgentsListed(agents=(an_agent("a1"),)))
    use = world.core.state.agents["a1"].use
    assert (len(use.slots), use.resources) == (2, Resources(cpus_m=2000, mem=200))


def test_what_is_used_of_an_agent_that_is_gone_is_forgotten_with_its_last_attempt():
    """Nothing grows for ever."""
    world = World()
    world.running(a_job(size=1))
    world.advance(1).happen(ev.AgentsListed(agents=()))
    assert set(world.core.state.uses) == {"a1"}
    world.say(world.launched()[0].id, "FINISHED")
    assert not world.core.state.uses


def an_agent(name: str) -> PutAgent:
    return PutAgent(agent_id=name, hostname=name, url=f"http://{name}:5051", total=Resources(cpus_m=4000, mem=8192))

"""The agents that the core knows: from the master's list and from their offers, whichever is newer."""

from __future__ import annotations

from dataclasses import replace

from scheduler.core import effects as fx
from scheduler.core import events as ev
from tests.scheduler.world import World, a_job


def test_agents_are_listed_soon_after_subscribing_and_then_at_leisure():
    """GET_AGENTS: at once, then every two minutes while idle and every ten seconds while work waits."""
    world = World().subscribe().advance(1)
    assert len(world.called(fx.ListAgents)) == 1
    world.advance(119)
    assert len(world.called(fx.ListAgents)) == 1
    world.submit(a_job(cpus=64)).offer().advance(30)
    assert len(world.called(fx.ListAgents)) >= 3


def test_an_agent_that_the_master_no_longer_lists_is_deactivated():
    """But not one that the new master still waits for."""
    world = World().subscribe().submit(a_job(cpus=64)).offer("a1").offer("a2")
    world.advance(1).happen(ev.AgentsListed(agents=(), recovered=frozenset({"a2"})))
    assert set(world.store.agents) == {"a2"}


def test_an_agent_that_offers_while_the_list_does_not_know_it_yet_is_kept():
    """The list was made a moment before it registered."""
    world = World().subscribe().submit(a_job())
    world.happen(ev.Offered(offers=(world.an_offer(),)), ev.AgentsListed(agents=()))
    assert len(world.launched()) == 1
    assert set(world.store.agents) == {"a1"}


def test_an_agent_that_comes_and_goes_in_one_turn_is_written_and_deactivated():
    """The row has to be there to be changed."""
    world = World().subscribe().submit(a_job(cpus=64))
    gone = replace(world.list_agents("a2").store.agents["a2"], agent_id="a1", active=False)
    world.happen(ev.Offered(offers=(world.an_offer(),)), ev.AgentsListed(agents=(gone,)))
    assert "a1" not in world.store.agents


def test_an_agent_that_offered_after_the_list_was_asked_for_is_kept():
    """It registered while the list was on its way; the next list has it, or else it is gone."""
    world = World().subscribe().submit(a_job(cpus=64)).advance(1)
    asked_at = world.now
    world.advance(1).offer().advance(1).happen(ev.AgentsListed(agents=(), asked_at=asked_at))
    assert set(world.store.agents) == {"a1"}
    world.happen(ev.AgentsListed(agents=(), asked_at=world.now))
    assert world.store.agents == {}

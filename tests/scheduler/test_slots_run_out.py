"""When a slot takes no more tasks, so that others have its resources."""

from __future__ import annotations

from dataclasses import replace

from scheduler.core import effects as fx
from scheduler.core import events as ev
from scheduler.core.slots import ALONE_S, AMONG_OTHERS_S
from swath.domain.projects import Project
from swath.domain.wishes import AgentMode, AgentWish, ProjectTree, Wishes
from tests.scheduler.slot_world import a_world, tell
from tests.scheduler.world import World, a_job


def _finish_half(world: World) -> bool:
    """Whether more work follows when half of the first slot's attempts have ended."""
    slot = world.launched()
    tell(world, (slot[0], "FINISHED"), (slot[1], "FINISHED"), taken=slot)
    return bool(world.lately(fx.HandOver))


def test_a_slot_runs_out_sooner_where_others_wait():
    """Ten seconds among others, five minutes alone; then the matcher decides anew."""
    for others, age_s, goes_on in (
        (False, AMONG_OTHERS_S + 1, True),
        (False, ALONE_S + 1, False),
        (True, AMONG_OTHERS_S - 1, True),
        (True, AMONG_OTHERS_S + 1, False),
    ):
        world = a_world()
        if others:
            world.submit(a_job("j2", cpus=1))
        world.advance(age_s)
        assert _finish_half(world) is goes_on, (others, age_s)


def test_a_slot_runs_out_where_somebody_waits_at_a_screen():
    """Its resources are free within moments."""
    world = a_world(preemptible=False).submit(a_job("j2", cpus=1, **{"class": "interactive"}))
    assert not _finish_half(world)


def test_a_slot_goes_on_where_others_wait_for_what_it_does_not_have():
    """No agent will ever have three cpus for them."""
    world = a_world(preemptible=False).submit(a_job("j2", cpus=3, **{"class": "interactive"})).advance(3)
    assert _finish_half(world)


def test_a_slot_goes_on_where_others_wait_for_their_own_quota():
    """Somebody at a screen, whose project may not have what he asks for: what the slot holds would not help him."""
    world = World().subscribe()
    tree = ProjectTree(projects={"small": Project(name="small", quota={"cpus": 500})}, rev=1)
    world.happen(ev.ProjectsSeen(tree=tree)).submit(a_job(size=20, short=True, expected_s=0.5, preemptible=False))
    theirs = replace(a_job("j2", cpus=1, **{"class": "interactive"}), project="small")
    world.offer(cpus=1.1).submit(theirs).advance(3)
    assert _finish_half(world)


def test_a_slot_of_the_executor_before_runs_out():
    """After an upgrade, which gives executors another id: what is launched now belongs to the new one."""
    world = a_world()
    world.core.state.settings = replace(world.core.state.settings, executor_id="swath-1")
    assert not _finish_half(world)


def test_a_slot_runs_out_on_an_agent_that_takes_no_tasks():
    """A cordon ends it."""
    world = a_world()
    wish = AgentWish(agent_id="a1", mode=AgentMode.CORDONED, rev=1)
    world.happen(ev.WishesSeen(wishes=Wishes(agents=(wish,))))
    assert not _finish_half(world)


def test_a_slot_that_a_new_leader_finds_runs_out():
    """Nobody remembers under which quotas it was opened."""
    assert not _finish_half(a_world().restart().subscribe())


def test_a_slot_runs_out_where_projects_have_changed():
    """It was launched under other quotas."""
    world = a_world()
    tree = ProjectTree(projects={"default": Project(name="default", max_running=1)}, rev=1)
    world.happen(ev.ProjectsSeen(tree=tree))
    assert not _finish_half(world)

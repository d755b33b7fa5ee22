"""A framework that leaves Mesos, and one that Mesos has removed (M4, M5)."""

from __future__ import annotations

from scheduler.core import effects as fx
from scheduler.core import events as ev
from scheduler.core import outside
from swath.domain.changes import ChangeAttempt, ObserveFrameworkWish
from swath.domain.states import AttemptState, TaskState
from swath.domain.wishes import FrameworkDesire, FrameworkWish, Wishes
from tests.scheduler.world import World, a_job


def desire(world: World, desire: FrameworkDesire, rev: int = 1) -> FrameworkWish:
    """An operator wants something of the framework."""
    wish = FrameworkWish(desire=desire, rev=rev)
    world.happen(ev.WishesSeen(wishes=Wishes(framework=wish)))
    return wish


def test_m04_a_teardown_is_made_only_on_an_operators_wish_and_leaves_mesos():
    """The attempts are LOST for free, the framework id is forgotten, and the core stops to begin anew outside."""
    world = World()
    attempt_id = world.running(a_job(size=3, retry={"max_attempts": 1}))
    assert world.called(fx.Teardown) == []
    desire(world, FrameworkDesire.TEARDOWN)
    assert len(world.lately(fx.Teardown)) == 1
    world.offer(agent="a2")
    assert all(attempt.agent_id == "a1" for attempt in world.launched()), "nothing is launched to be killed"
    world.happen(ev.TornDown())
    assert world.attempt(attempt_id).state is AttemptState.LOST
    assert world.store.framework_id is None
    assert world.written(ObserveFrameworkWish) == [ObserveFrameworkWish(rev=1, torn_down=True)]
    assert world.lately(fx.Stop)[0].kind is fx.StopKind.ANEW
    assert world.task().state is TaskState.PENDING
    assert world.task().failures == 0


def test_m04_the_end_of_very_many_attempts_is_written_by_slices():
    """5,000 attempts are three transactions; the id is forgotten with the last, so that a crash before it repeats the rest."""
    world = World().subscribe().submit(a_job(size=5000, cpus=0.001, mem=1))
    for agent in ("a1", "a2", "a3", "a4", "a5"):
        world.offer(agent, cpus=8)
    desire(world, FrameworkDesire.TEARDOWN)
    slices = []
    world.happen(ev.TornDown())
    while lost := world.written(ChangeAttempt):
        slices.append(len(lost))
        assert (world.store.framework_id is None) == (sum(slices) == 5000)
        world.happen()
    assert slices == [2000, 2000, 1000]


def test_m04_a_teardown_that_was_not_taken_is_sent_again():
    """After a while, and after each subscription."""
    world = World().subscribe()
    desire(world, FrameworkDesire.TEARDOWN)
    world.advance(11)
    assert len(world.called(fx.Teardown)) == 2
    world.happen(ev.Disconnected(reason="cut")).advance(60)
    assert len(world.called(fx.Teardown)) == 2
    world.subscribe()
    assert len(world.called(fx.Teardown)) == 3


def test_m04_a_teardown_whose_scheduler_died_is_known_by_the_masters_word():
    """The next one subscribes, hears that the framework is gone, and writes down what the operator wanted."""
    world = World()
    world.running()
    wish = desire(world, FrameworkDesire.TEARDOWN)
    world.restart().happen(ev.WishesSeen(wishes=Wishes(framework=wish)))
    world.happen(ev.MasterError(message="Framework has been removed"))
    assert world.written(ObserveFrameworkWish) == [ObserveFrameworkWish(rev=1, torn_down=True)]
    assert world.lately(fx.Stop)[0].kind is fx.StopKind.ANEW


def test_m04_outside_of_mesos_jobs_are_taken_in_and_wait_with_a_reason():
    """Nothing is launched until a RESET, which takes effect at once, for there is nothing to tear down."""
    world = World()
    world.store.framework_wish = FrameworkWish(desire=FrameworkDesire.TEARDOWN, rev=1, observed_rev=1, torn_down=True)
    world.restart().submit(a_job()).advance(1)
    assert world.job().wait_reason == outside.TORN_DOWN
    desire(world, FrameworkDesire.RESET, rev=2)
    assert world.written(ObserveFrameworkWish) == [ObserveFrameworkWish(rev=2, torn_down=False)]
    assert world.lately(fx.Stop)[0].kind is fx.StopKind.ANEW
    assert world.called(fx.Teardown) == []


def test_m05_a_reset_tears_down_what_the_master_still_knows():
    """Under another id nobody could end what runs under the old one."""
    world = World()
    world.running()
    desire(world, FrameworkDesire.RESET)
    assert len(world.lately(fx.Teardown)) == 1
    world.happen(ev.TornDown())
    assert world.written(ObserveFrameworkWish) == [ObserveFrameworkWish(rev=1, torn_down=False)]
    assert world.store.framework_id is None


def test_m05_a_removed_framework_waits_for_its_operator():
    """The id is kept until somebody decides; jobs say why they wait; a RESET forgets it."""
    world = World()
    attempt_id = world.running()
    world.happen(ev.MasterError(message="Framework has been removed"))
    assert world.lately(fx.Stop)[0].kind is fx.StopKind.REMOVED
    assert world.store.framework_id == "f1"
    world.restart(removed="f1").submit(a_job("j2")).advance(1)
    assert world.job("j2").wait_reason == outside.REMOVED
    assert world.store.status is not None
    assert (world.store.status.connected, world.store.status.data["outside"]) == (False, outside.REMOVED)
    desire(world, FrameworkDesire.RESET)
    assert world.store.framework_id is None
    assert world.attempt(attempt_id).state is AttemptState.LOST


def test_m05_a_removal_says_nothing_of_the_framework_that_came_after_it():
    """Another scheduler led when the operator decided; this one leads again, and the new framework is not outside."""
    world = World()
    world.running()
    world.happen(ev.MasterError(message="Framework has been removed"))
    gone = world.lately(fx.Stop)[0].framework_id
    world.store.framework_id = "f2"
    world.restart(removed=gone)
    assert world.core.state.outside is None


def test_m05_registering_anew_by_policy_asks_nobody():
    """SWATH_REGISTER_ANEW=1."""
    world = World(register_anew=True)
    attempt_id = world.running()
    world.happen(ev.MasterError(message="Framework has been removed"))
    assert world.lately(fx.Stop)[0].kind is fx.StopKind.ANEW
    assert world.store.framework_id is None
    assert world.attempt(attempt_id).state is AttemptState.LOST


def test_m05_a_wish_seen_twice_is_carried_out_once():
    """The database is read at every notification."""
    world = World().subscribe()
    wish = desire(world, FrameworkDesire.TEARDOWN)
    world.happen(ev.WishesSeen(wishes=Wishes(framework=wish)))
    assert len(world.called(fx.Teardown)) == 1

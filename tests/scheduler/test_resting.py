"""A broken agent does not eat an array: what fails on it is tried elsewhere, and it rests."""

from __future__ import annotations

from scheduler.core import effects as fx
from scheduler.core import events as ev
from swath.domain.attempts import AttemptReport
from swath.domain.retries import Cause
from swath.domain.states import JobState, TaskState
from tests.scheduler.world import World, a_job

BROKEN = {"source": "SOURCE_AGENT", "reason": "REASON_EXECUTOR_TERMINATED"}


def fail_on_offers(world: World, times: int) -> World:
    """The agent offers everything again and again, and ends all that is launched on it."""
    for _ in range(times):
        before = len(world.launched())
        world.offer().advance(0.1)
        world.happen(*(world.an_update(attempt.id, "FAILED", **BROKEN) for attempt in world.launched()[before:]))
        world.advance(4.9)
    return world


def test_an_agent_that_ends_three_launches_in_a_row_gets_no_more_for_a_while():
    """Its offers are declined for as long as it rests, and the job says why it waits."""
    world = fail_on_offers(World().subscribe().submit(a_job(size=20)).list_agents(), 3)
    launches = len(world.launched())
    world.offer().advance(3)
    assert len(world.launched()) == launches
    assert world.called(fx.Decline)[-1].refuse_s == 25.1
    assert world.job().wait_reason == (
        "waiting for resources: 1 agent with room, not used for now because attempts kept failing there"
    )


def test_an_agent_that_has_rested_is_tried_again_and_rests_twice_as_long():
    """After 30 s offers are asked for; one more bad end means 60 s."""
    world = fail_on_offers(World().subscribe().submit(a_job(size=20)).list_agents(), 3)
    revives = len(world.called(fx.Revive))
    world.advance(26)
    assert len(world.called(fx.Revive)) > revives
    launches = len(fail_on_offers(world, 1).launched())
    world.advance(50).offer()
    assert len(world.launched()) == launches
    world.advance(10).offer()
    assert len(world.launched()) > launches


def test_other_agents_go_on_while_one_rests():
    """The whole array succeeds on the agent that works."""
    world = fail_on_offers(World().subscribe().submit(a_job(size=20)).list_agents("a1", "a2"), 3)
    for _ in range(30):
        before = len(world.launched())
        world.happen(ev.Offered(offers=(world.an_offer("a1"), world.an_offer("a2"))))
        world.advance(1)
        for attempt in world.launched()[before:]:
            told = {"agent_id": attempt.agent_id} | (BROKEN if attempt.agent_id == "a1" else {})
            world.say(attempt.id, "FAILED" if attempt.agent_id == "a1" else "FINISHED", **told)
        world.advance(10)
    assert world.job().state is JobState.SUCCEEDED
    world.store.check_counts()


def test_tasks_that_fall_with_one_executor_are_one_bad_end():
    """Many tasks of an agent end together when its executor is killed: no reason to shun it."""
    world = World().subscribe().submit(a_job(size=20, cpus=0.1)).offer().advance(60)
    world.happen(*(world.an_update(attempt.id, "FAILED", **BROKEN) for attempt in world.launched())).advance(2)
    before = len(world.launched())
    assert before == 20
    world.offer()
    assert len(world.launched()) == 40


def test_an_attempt_that_ends_by_itself_clears_its_agent():
    """Two bad ends, a failing command, two bad ends: the agent works."""
    world = World().subscribe().submit(a_job(size=2, cpus=3, retry={"max_attempts": 9, "backoff_s": 1})).list_agents()
    fail_on_offers(world, 2).offer()
    world.say(world.launched()[-1].id, "FAILED", AttemptReport(cause=Cause.APP)).advance(5)
    launches = len(fail_on_offers(world, 2).launched())
    world.offer()
    assert len(world.launched()) > launches


def test_only_free_ends_in_a_row_count_against_a_task():
    """A run that ended by itself in between begins the count anew."""
    world = World().subscribe().submit(a_job(retry={"max_attempts": 9, "backoff_s": 1})).list_agents()
    fail_on_offers(world, 2).offer()
    assert world.task().free_retries == 2
    world.say(world.launched()[-1].id, "FAILED", AttemptReport(cause=Cause.APP)).advance(5)
    assert (world.task().state, world.task().free_retries, world.task().failures) == (TaskState.PENDING, 0, 1)

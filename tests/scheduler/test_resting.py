"""A broken agent does not eat an array: what fails on it is tried elsewhere, and it rests."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest

from scheduler.core import effects as fx
from scheduler.core import events as ev
from scheduler.core import resting
from swath.domain.attempts import AttemptReport
from swath.domain.changes import CordonAgent
from swath.domain.retries import Cause
from swath.domain.states import Desired, JobState, TaskState
from swath.domain.wishes import AgentMode, AgentWish, Wishes
from tests.scheduler.world import IMAGE, World, a_job

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


# Agents on which everything fails

_serial = count()


def an_attempt(world: World, agent: str, cause: Cause | None, image: int, job: str | None = None) -> bool:
    """A job of one task meets the agent, and ends there for good; False when nothing was launched on it."""
    name = job or f"j{next(_serial)}"
    record = a_job(name, retry={"max_attempts": 1, "on": {"AGENT": "fail", "DROPPED": "fail"}})
    before = len(world.launched())
    world.submit(replace(record, image=replace(IMAGE, id=image, name=f"image{image}"))).offer(agent).advance(1)
    for attempt in world.launched()[before:]:
        report = None if cause is None else AttemptReport(cause=cause)
        world.say(attempt.id, "FINISHED" if cause is None else "FAILED", report, agent_id=agent)
    if len(world.launched()) == before:
        world.desire(name, desired=Desired.CANCELLED)
    return len(world.launched()) > before


def a_world_where_all_is_well(agents: int = 2, images: int = 3, times: int = 20) -> World:
    """Agents, and images that have succeeded so many times each on the last of them."""
    world = World().subscribe().list_agents(*(f"a{number}" for number in range(1, agents + 1)))
    for number in range(times * images):
        assert an_attempt(world, f"a{agents}", None, 1 + number % images)
    return world


def keep_failing(world: World, cause: Cause, agent: str = "a1", images: int = 3, hours: float = 0.5) -> int:
    """Whenever the agent takes something it fails, while all is well on the last one; how often it was tried."""
    tried, end, last = 0, world.now + timedelta(hours=hours), list(world.core.state.agents)[-1]
    while world.now < end:
        tried += an_attempt(world, agent, cause, 1 + tried % images)
        assert an_attempt(world, last, None, 1 + tried % images)
        world.advance(20)
    return tried


def is_cordoned(world: World, agent: str = "a1") -> bool:
    """By the scheduler itself."""
    wish = world.store.agent_wishes.get(agent)
    return wish is not None and wish.mode is AgentMode.CORDONED and wish.is_our_own


@pytest.mark.parametrize("cause", [Cause.APP, Cause.AGENT, Cause.DROPPED, Cause.IMAGE, Cause.INPUT, Cause.TIMEOUT])
def test_an_agent_that_fails_everything_is_cordoned_after_its_rests(cause):
    """Three images fail there and nowhere else: it rests four times, then it takes nothing, also after a restart."""
    world = a_world_where_all_is_well()
    tried = keep_failing(world, cause)
    assert is_cordoned(world)
    assert not is_cordoned(world, "a2")
    assert resting.BAD_ENDS + resting.RESTS <= tried <= 12
    assert not an_attempt(world.restart().subscribe(), "a1", None, 1)
    assert world.called(fx.Operate) == [], "Mesos' other frameworks judge for themselves"


def test_who_is_cordoned_is_told_with_the_figures():
    """In the turn in which the last straw falls: for the database, the log, and whoever waits."""
    world = a_world_where_all_is_well()
    told = []
    while not told:
        an_attempt(world, "a1", Cause.APP, 1 + len(world.launched()) % 3)
        told = world.written(CordonAgent)
        world.advance(300)
        an_attempt(world, "a2", None, 1)
    assert told[0].agent_id == "a1"
    assert re.fullmatch(
        r"\d+ bad ends of [23] images and \d+ jobs since 2026-06-01T\S+Z, and no good one, while others succeed elsewhere",
        told[0].message,
    )
    world.list_agents("a1").submit(a_job("waits")).advance(3)
    assert "nothing succeeded there any more, and Swath has cordoned it" in str(world.job("waits").wait_reason)


def test_an_operator_lifts_it_and_the_agent_begins_anew():
    """ACTIVE, as after any cordon: the agent is asked for offers, and has to fail as often again."""
    world = a_world_where_all_is_well()
    keep_failing(world, Cause.APP)
    lifted = AgentWish(agent_id="a1", mode=AgentMode.ACTIVE, rev=2, observed_rev=1)
    world.store.agent_wishes["a1"] = lifted
    world.happen(ev.WishesSeen(wishes=Wishes(agents=(lifted,)))).happen(ev.Operated(agent_id="a1", rev=2))
    assert an_attempt(world, "a1", Cause.APP, 1)
    assert an_attempt(world.advance(60), "a1", None, 2)
    assert keep_failing(world, Cause.APP) >= resting.BAD_ENDS + resting.RESTS
    assert is_cordoned(world)


def test_an_operator_who_has_said_something_is_not_overruled():
    """A drain that came first stays a drain."""
    world = a_world_where_all_is_well()
    drained = AgentWish(agent_id="a1", mode=AgentMode.DRAINED, rev=1)
    world.store.agent_wishes["a1"] = drained
    world.store.apply([CordonAgent(agent_id="a1", message="it fails everything")])
    assert world.store.agent_wishes["a1"] is drained


def test_an_agent_that_fails_one_job_is_not_to_blame():
    """The job may be: its image cools down there, and the agent takes others."""
    world = a_world_where_all_is_well()
    job = a_job("one", 200, cpus=3, retry={"max_attempts": 90, "backoff_s": 1, "max_backoff_s": 1})
    world.submit(job)
    for _ in range(100):
        before = len(world.launched())
        world.offer("a1").advance(60)
        for attempt in world.launched()[before:]:
            world.say(attempt.id, "FAILED", AttemptReport(cause=Cause.APP), agent_id="a1")
    assert world.core.state.agents["a1"].records[1].rests > 0
    world.desire("one", desired=Desired.CANCELLED)
    assert an_attempt(world, "a1", None, 2)
    assert world.store.agent_wishes == {}


def test_an_agent_where_something_succeeds_is_not_cordoned():
    """One of three images does: the others cool down."""
    world = a_world_where_all_is_well()
    for number in range(100):
        an_attempt(world, "a1", Cause.APP if number % 3 else None, 1 + number % 3)
        an_attempt(world.advance(20), "a2", None, 1 + number % 3)
    assert world.store.agent_wishes == {}


def test_where_everything_fails_everywhere_nobody_is_cordoned():
    """A registry that is down, a new executor that does not start: however well all went before, they are tried again."""
    world = a_world_where_all_is_well(times=90)
    for number in range(120):
        for agent in ("a1", "a2"):
            an_attempt(world, agent, (Cause.IMAGE, Cause.AGENT)[number % 2], 1 + number % 3)
        world.advance(60)
    assert world.store.agent_wishes == {}


def test_an_agent_that_does_hardly_worse_than_others_only_rests():
    """Every other attempt fails elsewhere as well: ten in a row are no proof, however long it rests."""
    world = World().subscribe().list_agents("a1", "a2")
    for _ in range(60):
        image = 1 + len(world.launched()) % 3
        an_attempt(world, "a1", Cause.AGENT, image)
        an_attempt(world, "a2", Cause.AGENT, image)
        an_attempt(world, "a2", None, image)
        world.advance(60)
    assert world.core.state.agents["a1"].rests > resting.RESTS
    assert world.store.agent_wishes == {}


def test_the_only_agent_is_never_cordoned():
    """There is nothing to compare it with."""
    world = World().subscribe().list_agents("a1")
    for number in range(100):
        an_attempt(world, "a1", Cause.AGENT, 1 + number % 3)
        world.advance(60)
    assert world.store.agent_wishes == {}


def test_no_more_than_a_tenth_of_the_agents_are_cordoned():
    """Of ten one: if more are bad, something else is the matter, and the others rest for ever longer."""
    world = a_world_where_all_is_well(agents=10)
    for agent in ("a1", "a2", "a3"):
        keep_failing(world, Cause.APP, agent)
    assert [is_cordoned(world, agent) for agent in ("a1", "a2", "a3")] == [True, False, False]
    assert world.core.state.agents["a3"].rests > resting.RESTS
    world.list_agents(*(f"a{number}" for number in range(2, 11)))
    keep_failing(world, Cause.APP, "a3", hours=1)
    assert is_cordoned(world, "a3"), "one that is gone counts no more"

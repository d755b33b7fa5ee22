"""Agents that do not answer: whose attempts are waited for, replaced, and killed when they return (M23, M26)."""

from __future__ import annotations

from datetime import timedelta

from scheduler.core import effects as fx
from scheduler.core import events as ev
from swath.domain.attempts import AttemptReport
from swath.domain.changes import ChangeAttempt
from swath.domain.retries import Cause
from swath.domain.states import AttemptState, JobState, TaskState
from tests.scheduler.world import World, a_job


def history(world: World) -> list[str]:
    """The lines about attempts, in order: the state where there is one, else the kind of the line."""
    return [str(e.data.get("state", e.kind)) for e in world.store.events if e.kind.startswith("attempt.")]


def test_m26_an_unreachable_attempt_is_waited_for_and_goes_on_when_it_returns():
    """No second attempt while the first may be running."""
    world = World()
    attempt_id = world.running()
    world.say(attempt_id, "UNREACHABLE", uuid=None).advance(290).offer()
    assert len(world.launched()) == 1
    world.say(attempt_id, "RUNNING", uuid=None).advance(800)
    assert world.attempt(attempt_id).state is AttemptState.RUNNING


def test_m23_an_update_that_is_told_again_after_a_partition_is_news():
    """The agent repeats what was not acknowledged, with its uuid; the master has said UNREACHABLE and STAGING meanwhile."""
    world = World()
    attempt_id = world.running()
    world.say(attempt_id, "UNREACHABLE", uuid=None).say(attempt_id, "STAGING", uuid=None)
    assert world.attempt(attempt_id).state is AttemptState.STAGING
    world.say(attempt_id, "RUNNING", uuid="u1")
    assert world.attempt(attempt_id).state is AttemptState.RUNNING
    assert len(world.lately(fx.Acknowledge)) == 1


def test_m23_an_attempt_is_found_again_by_an_update_that_is_repeated():
    """No other word of it may come: it is waited for no longer, whether it was UNREACHABLE or UNKNOWN."""
    for doubt in ("UNREACHABLE", "UNKNOWN"):
        world = World()
        attempt_id = world.running()
        world.say(attempt_id, doubt, uuid=None).advance(10).say(attempt_id, "RUNNING", uuid="u1").advance(2000).offer()
        assert world.attempt(attempt_id).state is AttemptState.RUNNING
        assert len(world.launched()) == 1


def test_m23_an_attempt_that_stays_away_is_lost_and_replaced_and_killed_when_it_returns():
    """After five minutes another attempt runs; the old one, back again, is ended, and the history tells all of it."""
    world = World()
    attempt_id = world.running()
    world.say(attempt_id, "UNREACHABLE", uuid=None).advance(302).offer()
    assert world.attempt(attempt_id).state is AttemptState.LOST
    assert "not heard of for 300 s" in world.details(attempt_id)["message"]
    assert len(world.launched()) == 2
    world.say(attempt_id, "RUNNING").say(attempt_id, "RUNNING", uuid=None)
    assert world.called(fx.Kill)[0] == fx.Kill(task_id=attempt_id, agent_id="a1")
    world.say(attempt_id, "KILLED")
    assert history(world) == ["RUNNING", "UNREACHABLE", "attempt.returned", "attempt.ended_late"]


def test_m23_the_policy_is_the_jobs():
    """With unreachable_s = 0 the next attempt starts as soon as the back-off of a free retry is over."""
    world = World()
    attempt_id = world.running(a_job(retry={"unreachable_s": 0}))
    world.say(attempt_id, "UNREACHABLE", uuid=None).advance(2).offer()
    assert [attempt.number for attempt in world.launched()] == [1, 2]

    patient = World()
    attempt_id = patient.running(a_job(retry={"unreachable_s": 7200}))
    patient.say(attempt_id, "UNREACHABLE", uuid=None).advance(7100).offer()
    assert len(patient.launched()) == 1
    patient.advance(200).offer()
    assert len(patient.launched()) == 2


def test_m23_an_agent_that_is_gone_is_not_waited_for():
    """GONE is an end: the next attempt may start at once."""
    for observation in ("GONE", "GONE_BY_OPERATOR"):
        world = World()
        attempt_id = world.running()
        world.say(attempt_id, observation, uuid=None, source="SOURCE_MASTER").advance(2).offer(agent="a2")
        assert world.attempt(attempt_id).state is AttemptState.LOST
        assert world.details(attempt_id)["cause"] is Cause.LOST
        assert len(world.launched()) == 2


def test_m23_the_losers_outputs_never_replace_the_winners():
    """The replaced attempt finishes with outputs of its own: the task keeps the winner's."""
    world = World()
    loser = world.running()
    world.say(loser, "UNREACHABLE", uuid=None).advance(302).offer(agent="a2")
    winner = world.launched()[1].id
    world.say(winner, "FINISHED", AttemptReport(output_dir="/out/winner"), agent_id="a2")
    world.say(loser, "FINISHED", AttemptReport(output_dir="/out/loser"))
    assert (world.job().state, world.task().winner_attempt) == (JobState.SUCCEEDED, winner)
    assert "output_dir" not in world.details(loser)
    assert world.attempt(loser).state is AttemptState.LOST


def test_m23_a_loser_that_finishes_first_wins_nothing_either():
    """What was declared LOST stays so, and its task waits for the attempt that replaced it."""
    world = World()
    loser = world.running()
    world.say(loser, "UNREACHABLE", uuid=None).advance(302).offer(agent="a2")
    world.say(loser, "FINISHED", AttemptReport(output_dir="/out/loser"))
    assert world.task().state is TaskState.ACTIVE
    assert len(world.lately(fx.Acknowledge)) == 1


def test_m23_the_wait_goes_on_where_the_scheduler_before_was():
    """The time without news is in the database: a restart begins no new wait."""
    world = World()
    attempt_id = world.running()
    world.say(attempt_id, "UNREACHABLE", uuid=None).advance(200).restart().subscribe()
    assert world.attempt(attempt_id).unreachable_at == world.now - timedelta(seconds=200)
    world.say(attempt_id, "UNREACHABLE", uuid=None, reason="REASON_RECONCILIATION").advance(102).offer()
    assert len(world.launched()) == 2


def test_m26_what_was_heard_before_this_subscription_replaces_nothing():
    """The wait has ended while the scheduler was away: it asks first, for the agent may be back since."""
    world = World()
    attempt_id = world.running()
    world.say(attempt_id, "UNREACHABLE", uuid=None).happen(ev.Disconnected(reason="cut")).advance(4000)
    assert world.attempt(attempt_id).state is AttemptState.UNREACHABLE
    world.subscribe().advance(60).offer()
    assert len(world.launched()) == 1, "silence is no answer"
    world.say(attempt_id, "RUNNING", uuid=None, reason="REASON_RECONCILIATION").advance(4000)
    assert world.attempt(attempt_id).state is AttemptState.RUNNING


def test_m23_unknown_may_still_be_running():
    """UNKNOWN is waited out for longer than an agent may stay away after a master's failover."""
    world = World()
    attempt_id = world.running()
    world.say(attempt_id, "UNKNOWN", uuid=None).advance(800).offer()
    assert len(world.launched()) == 1
    world.advance(110).offer()
    assert world.attempt(attempt_id).state is AttemptState.LOST
    assert len(world.launched()) == 2


def test_m23_an_unreachable_attempt_that_nobody_asked_about_again_keeps_its_first_time():
    """Repeated news of the same silence do not begin the wait anew."""
    world = World()
    attempt_id = world.running()
    for _ in range(4):
        world.say(attempt_id, "UNREACHABLE", uuid=None).advance(90)
    world.offer()
    assert world.attempt(attempt_id).state is AttemptState.LOST


def test_m36_the_kill_of_an_attempt_that_returned_is_repeated_until_it_has_ended():
    """KILL is at-most-once here, too: two runs of one task do not live on because one message was lost."""
    world = World()
    attempt_id = world.running()
    world.say(attempt_id, "UNREACHABLE", uuid=None).advance(302).say(attempt_id, "RUNNING", uuid=None)
    for wait_s, kills in ((4, 1), (2, 2), (10, 3), (20, 4)):
        world.advance(wait_s)
        assert world.called(fx.Kill) == [fx.Kill(task_id=attempt_id, agent_id="a1")] * kills
    world.say(attempt_id, "KILLED").advance(3600)
    assert len(world.called(fx.Kill)) == 4


def test_m23_a_partition_of_very_many_attempts_is_written_by_slices():
    """6,000 waits that end in the same moment are some transactions, one turn after the other."""
    world = World().subscribe().submit(a_job(size=6000, cpus=0.001, mem=1))
    for agent in ("a1", "a2", "a3", "a4", "a5", "a6"):
        world.offer(agent, cpus=8)
    gone = [world.an_update(attempt.id, "UNREACHABLE", uuid=None) for attempt in world.launched()]
    world.happen(*gone)
    world.now += timedelta(seconds=301)
    slices = []
    while lost := [attempt for attempt in world.happen().changes if isinstance(attempt, ChangeAttempt)]:
        slices.append(len(lost))
    assert sum(slices) == 6000
    assert max(slices) <= 2000

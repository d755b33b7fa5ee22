"""Slots in the scheduler's core: what is handed over when, and what becomes of it whatever happens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scheduler.core import effects as fx
from scheduler.core import events as ev
from scheduler.core.slot_news import divide
from scheduler.core.slots import FIRST, MOST, SEEN
from swath.domain.attempts import AttemptReport
from swath.domain.changes import AddUsage
from swath.domain.ranges import Ranges
from swath.domain.retries import Cause
from swath.domain.slots import SlotReport, Told
from swath.domain.states import AttemptState, Desired, Observation, TaskState
from tests.scheduler.slot_world import DONE, a_world, states_of, tell
from tests.scheduler.world import World, a_job


def test_a_slot_holds_what_one_task_asks_for_and_begins_with_some_of_them():
    """One Mesos task, four attempts of half a second: two seconds' worth."""
    world = a_world()
    attempts = world.launched()
    assert len(attempts) == 4
    assert len({attempt.slot_id for attempt in attempts}) == 1
    assert attempts[0].slot_id not in {attempt.id for attempt in attempts}
    assert [attempt.task_index for attempt in attempts] == [0, 1, 2, 3]
    state = world.core.state
    assert state.uses["a1"].resources == attempts[0].resources
    assert state.held["default", "me"].tasks == 1


@pytest.mark.parametrize(
    ("cpus", "size", "depths"), [(4.2, 20, [4, 4, 4, 4]), (4.2, 6, [2, 2, 1, 1]), (4.2, 2, [1, 1])]
)
def test_few_tasks_are_divided_among_as_many_slots_as_there_is_room_for(cpus: float, size: int, depths: list[int]):
    """Nobody waits behind another one while a cpu is idle."""
    attempts = a_world(size=size, cpus=cpus).launched()
    slots = {attempt.slot_id: 0 for attempt in attempts}
    for attempt in attempts:
        slots[attempt.slot_id] += 1
    assert sorted(slots.values(), reverse=True) == depths


@pytest.mark.parametrize(
    "spec",
    [
        {"short": False},
        {"max_running": 5},
        {"class": "interactive"},
        {"expected_s": 60},
        {"ports": 1},
        {"constraints": [{"attribute": "hostname", "operator": "unique"}]},
        {"size": 1},
    ],
)
def test_who_does_not_share_has_a_mesos_task_to_himself(spec: dict[str, Any]):
    """Its id is the attempt's."""
    job = a_job(**{"size": 4, "short": True, **spec})
    attempts = World().subscribe().submit(job).offer(ports=Ranges.of(9)).launched()
    assert attempts
    assert all(attempt.slot_id == attempt.id for attempt in attempts)


@pytest.mark.parametrize(("spec", "took_s", "shares"), [({}, 2, True), ({}, 20, False), ({"short": False}, 2, False)])
def test_a_job_that_says_nothing_shares_once_its_tasks_were_seen_to_be_short(
    spec: dict[str, Any], took_s: float, shares: bool
):
    """Ten that have succeeded; a few lucky ones are none, and whoever wants none gets none."""
    world = World().subscribe().submit(a_job(size=40, **spec)).offer(cpus=SEEN - 1 + 0.1)
    world.offer(agent="a2", cpus=1.1)
    first = world.launched()
    for attempt in first:
        world.say(attempt.id, "RUNNING", agent_id=attempt.agent_id)
    world.advance(took_s)
    assert len(first) == SEEN
    for attempt in first[1:]:
        world.say(attempt.id, "FINISHED", DONE, agent_id=attempt.agent_id)
    world.offer(agent="a3", cpus=1.1)
    world.say(first[0].id, "FINISHED", DONE, agent_id=first[0].agent_id)
    world.offer(agent="a4", cpus=1.1)
    later = [(attempt.agent_id, attempt.slot_id != attempt.id) for attempt in world.launched()[SEEN:]]
    assert later[0] == ("a3", False)
    assert {shared for agent, shared in later if agent == "a4"} == {shares}


def test_without_experience_a_few_are_handed_over():
    """Nobody knows how long they take."""
    assert len(a_world(expected_s=None).launched()) == FIRST


def test_what_ends_makes_room_for_more_and_that_is_written_before_it_is_said():
    """Half of a slot's attempts have ended: as many follow by message, each with its row."""
    world = a_world()
    first = world.launched()
    tell(world, (first[0], "FINISHED"), taken=first)
    assert world.called(fx.HandOver) == []
    tell(world, (first[1], "RUNNING"), (first[1], "FINISHED"))
    (call,) = world.lately(fx.HandOver)
    assert [launch.attempt.task_index for launch in call.launches] == [4, 5]
    assert (call.slot_id, call.agent_id) == (first[0].slot_id, "a1")
    assert {world.attempt(launch.attempt.id).state for launch in call.launches} == {AttemptState.LAUNCHING}
    assert states_of(world, first) == [(AttemptState.SUCCEEDED, None)] * 2 + [(AttemptState.LAUNCHING, None)] * 2
    assert world.lately(fx.Acknowledge)
    assert world.job().counts.succeeded == 2


def test_nothing_is_handed_over_that_would_come_too_late():
    """Two attempts of a hundredth of a second are over before a message arrives: a new slot is launched, with more."""
    world = a_world(size=500, expected_s=None)
    slot = world.launched()
    report = replace(DONE, started_at="2026-06-01T11:59:59.990Z", ended_at="2026-06-01T12:00:00Z")
    again = replace(report, ended_at="2026-06-01T12:00:00.010Z")
    tell(world, *((one, "FINISHED") for one in slot[:2]), report=report)
    tell(world, *((one, "FINISHED") for one in slot[2:6]), report=again)
    assert world.called(fx.HandOver) == []
    tell(world, *((one, "FINISHED") for one in slot[6:]), report=again, state="FINISHED")
    world.offer(cpus=1.1)
    assert len(world.lately(fx.Accept)[0].launches) == MOST


def test_what_nobody_has_taken_is_handed_over_again_and_no_more_once_it_is():
    """Later and later; each time the slot itself is asked for, too."""
    world = a_world(size=4)
    slot = world.launched()
    tell(world, taken=slot[:3])
    world.advance(5)
    assert [[launch.attempt.id for launch in call.launches] for call in world.called(fx.HandOver)] == [[slot[3].id]]
    assert (slot[0].slot_id, "a1") in world.called(fx.Reconcile)[-1].tasks
    world.advance(11)
    assert len(world.called(fx.HandOver)) == 2
    tell(world, taken=slot[3:])
    world.advance(300)
    assert len(world.called(fx.HandOver)) == 2


def test_a_new_leader_hands_over_again_what_may_not_have_arrived():
    """What has begun it leaves alone."""
    world = a_world(size=4)
    slot = world.launched()
    tell(world, (slot[0], "RUNNING"), taken=slot)
    world.calls.clear()
    world.restart().subscribe().advance(6)
    assert [[launch.attempt.id for launch in call.launches] for call in world.called(fx.HandOver)] == [
        [attempt.id for attempt in slot[1:]]
    ]
    world.offer(cpus=4)
    assert world.called(fx.Accept) == []


def test_a_slots_end_settles_what_nobody_told_of():
    """It never began: free, tried again at once, and nothing is said against the agent."""
    world = a_world(size=4)
    slot = world.launched()
    tell(world, (slot[0], "FINISHED"), taken=slot, state="FINISHED")
    assert states_of(world, slot) == [(AttemptState.SUCCEEDED, None), *[(AttemptState.LOST, Cause.UNBEGUN)] * 3]
    assert [world.task(index).state for index in range(4)] == [TaskState.SUCCEEDED, *[TaskState.PENDING] * 3]
    assert {(world.task(index).failures, world.task(index).free_retries) for index in (1, 2, 3)} == {(0, 0)}
    assert world.core.state.slots == {}
    assert world.core.state.agents["a1"].bad_ends == 0
    world.happen().offer(cpus=1.1)
    assert [attempt.task_index for attempt in world.launched()[4:]] == [1, 2, 3]


def test_an_executor_that_ends_a_slot_without_a_word_is_to_blame():
    """Else it would be given the same for ever: it counts, and the next try waits."""
    world = a_world(size=2)
    slot = world.launched()
    world.happen(world.an_update(slot[0].slot_id, "FAILED", AttemptReport(cause=Cause.SPEC, message="what is that")))
    assert states_of(world, slot) == [(AttemptState.FAILED, Cause.AGENT)] * 2
    assert world.task(0).free_retries == 1


def test_work_that_crosses_the_end_of_a_slot_never_began_whoever_leads_by_then():
    """What an earlier leader had heard of the slot does not matter: its executor knows slots, and has ended this one."""
    world = a_world(size=4)
    slot = world.launched()
    world.restart().subscribe()
    tell(world, state="FINISHED")
    assert states_of(world, slot) == [(AttemptState.LOST, Cause.UNBEGUN)] * 4


def test_when_an_executor_dies_its_present_attempt_is_its_agents_failure_and_the_rest_never_began():
    """The agent tells the end, behind the reports that it has stored."""
    world = a_world()
    slot = world.launched()
    tell(world, (slot[0], "FINISHED"), (slot[1], "RUNNING"), taken=slot)
    world.say(slot[0].slot_id, "FAILED", source="SOURCE_AGENT", reason="REASON_EXECUTOR_TERMINATED")
    assert states_of(world, slot)[1:] == [(AttemptState.FAILED, Cause.AGENT), *[(AttemptState.LOST, Cause.UNBEGUN)] * 2]


def test_an_attempt_that_fails_costs_only_itself():
    """The slot goes on."""
    world = a_world()
    slot = world.launched()
    tell(world, (slot[0], "FAILED"), (slot[1], "FINISHED"), report=AttemptReport(cause=Cause.APP, exit_code=3))
    assert states_of(world, slot)[:2] == [(AttemptState.FAILED, Cause.APP), (AttemptState.SUCCEEDED, None)]
    assert world.task(0).failures == 1
    assert world.lately(fx.HandOver)


def test_repeated_news_changes_nothing():
    """Mesos tells twice; what has ended stays as it is, and both are acknowledged."""
    world = a_world()
    slot = world.launched()
    for _ in range(2):
        tell(world, (slot[0], "RUNNING"), (slot[0], "FINISHED"), uuid="same")
        assert len(world.lately(fx.Acknowledge)) == 1
    assert world.job().counts.succeeded == 1
    world.store.check_usage()


def test_nobody_tells_of_another_slots_attempts():
    """What an executor says of attempts that are not in the slot is passed over."""
    world = a_world(cpus=2.2, size=4)
    mine, other = (next(a for a in world.launched() if a.task_index == index) for index in (0, 1))
    assert mine.slot_id != other.slot_id
    tell(world, (other, "FINISHED"), (mine, "FINISHED"))
    assert states_of(world, [mine, other]) == [(AttemptState.SUCCEEDED, None), (AttemptState.LAUNCHING, None)]


def test_all_of_a_slot_is_in_doubt_together_and_lost_together():
    """Nothing is handed over meanwhile; what comes back of it is killed."""
    world = a_world()
    slot = world.launched()
    tell(world, (slot[0], "RUNNING"), taken=slot)
    told = {"source": "SOURCE_MASTER", "uuid": None}
    world.say(slot[0].slot_id, "UNREACHABLE", **told)
    assert {state for state, _ in states_of(world, slot)} == {AttemptState.UNREACHABLE}
    world.say(slot[0].slot_id, "RUNNING", reason="REASON_RECONCILIATION", **told)
    assert [state for state, _ in states_of(world, slot)] == [AttemptState.RUNNING, *[AttemptState.STAGING] * 3]
    world.say(slot[0].slot_id, "UNREACHABLE", **told)
    world.advance(301)
    assert {state for state, _ in states_of(world, slot)} == {AttemptState.LOST}
    assert world.called(fx.HandOver) == []
    tell(world, (slot[1], "FINISHED"))
    assert world.attempt(slot[1].id).state is AttemptState.LOST
    assert [call.task_id for call in world.lately(fx.Kill)] == [slot[0].slot_id]


def test_a_cancelled_job_kills_each_slot_once():
    """One KILL for all of its attempts; those that never began are cancelled with the others."""
    world = a_world(size=4)
    slot = world.launched()
    tell(world, (slot[0], "RUNNING"), taken=slot)
    world.desire("j1", desired=Desired.CANCELLED)
    world.happen()
    assert [call.task_id for call in world.called(fx.Kill)] == [slot[0].slot_id]
    tell(world, (slot[0], "KILLED"), state="KILLED", report=AttemptReport(cause=Cause.KILLED))
    assert states_of(world, slot) == [(AttemptState.KILLED, Cause.KILLED)] * 4
    assert world.job().counts.cancelled == 4


def test_a_preempted_slot_is_preempted_as_a_whole():
    """An interactive task takes its place; why is written before the KILL, for all of them."""
    world = a_world()
    slot = world.launched()
    tell(world, (slot[0], "RUNNING"), taken=slot)
    world.submit(a_job("j2", **{"class": "interactive"})).list_agents_as(
        world.core.state.agents["a1"].info, total=slot[0].resources + world.settings.executor_resources
    )
    world.advance(5)
    assert {world.attempt(one.id).kill_cause for one in slot} == {Cause.PREEMPTED}
    assert {call.task_id for call in world.called(fx.Kill)} == {slot[0].slot_id}
    tell(world, (slot[0], "KILLED"), state="KILLED", report=AttemptReport(cause=Cause.KILLED))
    assert states_of(world, slot) == [(AttemptState.KILLED, Cause.PREEMPTED)] * 4


def test_usage_counts_an_attempts_own_time_and_not_its_wait():
    """Half an hour in a queue is somebody else's time."""
    world = a_world(size=2)
    slot = world.launched()
    world.advance(1800)
    report = replace(DONE, started_at="2026-06-01T12:29:50Z", ended_at="2026-06-01T12:30:00Z")
    tell(world, (slot[0], "FINISHED"), taken=slot, state="FINISHED", report=report)
    assert {use.outcome: use.amounts.held_s for use in world.written(AddUsage)} == {"SUCCEEDED": 10.0, "UNBEGUN": 0.0}


def test_what_the_database_refuses_is_divided_until_one_attempt_bears_it():
    """The others' results are kept, and the update is acknowledged with the last part."""
    world = a_world()
    slot = world.launched()
    told = tuple(Told(attempt=one.id, state=Observation.FINISHED, report=DONE.to_value()) for one in slot)
    update = world.an_update(slot[0].slot_id, "FINISHED")
    parts = divide(replace(update, data=SlotReport(told=told).to_json().encode()))
    assert len(parts) == 5
    assert [part.uuid for part in parts if isinstance(part, ev.Update)] == [*[None] * 4, update.uuid]
    for place, part in enumerate(parts):
        assert isinstance(part, ev.Update)
        world.happen(ev.Unstorable(update=part, reason="no column") if place == 2 else part)
    found = states_of(world, slot)
    assert found[1] == (AttemptState.FAILED, Cause.OUTPUT)
    assert [state for state, _ in (found[0], *found[2:])] == [AttemptState.SUCCEEDED] * 3
    assert len(world.called(fx.Acknowledge)) == 1


def test_an_unreadable_report_of_a_success_is_a_failure_of_the_agent():
    """Where its outputs are is in there."""
    world = a_world()
    slot = world.launched()
    data = SlotReport(told=(Told(attempt=slot[0].id, state=Observation.FINISHED, report={"usage": 3}),))
    world.happen(replace(world.an_update(slot[0].slot_id, "RUNNING"), data=data.to_json().encode()))
    assert states_of(world, slot)[0] == (AttemptState.FAILED, Cause.AGENT)


def test_a_launch_that_cannot_be_put_into_words_fails_alone():
    """The others of its slot are launched."""
    world = a_world()
    slot = world.launched()
    world.happen(ev.LaunchRefused(attempt_id=slot[1].id, message="no words"))
    assert states_of(world, slot)[1] == (AttemptState.FAILED, Cause.SPEC)
    assert slot[1].id not in world.core.state.slots[slot[0].slot_id].untaken

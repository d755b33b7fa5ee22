"""What updates mean: duplicates, late ones, lies and silence (MESOS.md, M19 to M27 and the list of surprises)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.core import effects as fx
from scheduler.core import events as ev
from swath.domain.attempts import AttemptReport
from swath.domain.retries import Cause
from swath.domain.states import AttemptState, Desired, JobState, TaskState
from tests.scheduler.world import World, a_job


def test_m20_an_update_with_a_uuid_is_acknowledged_in_the_turn_that_writes_it():
    """M20: the acknowledgement is a call, and calls follow the commit."""
    world = World()
    attempt_id = world.running()
    (ack,) = world.lately(fx.Acknowledge)
    assert (ack.task_id, ack.agent_id, ack.uuid) == (attempt_id, "a1", "u1")
    assert world.attempt(attempt_id).state is AttemptState.RUNNING


def test_m20_an_update_without_a_uuid_is_never_acknowledged():
    """Surprise 14: what the master made has none."""
    world = World()
    attempt_id = world.running()
    world.say(attempt_id, "RUNNING", uuid=None)
    assert world.lately(fx.Acknowledge) == []


def test_m21_a_repeated_update_is_acknowledged_again_and_changes_nothing():
    """Surprise 12: each pending update comes twice, with the same uuid."""
    world = World()
    attempt_id = world.running()
    written = len(world.store.events)
    world.say(attempt_id, "RUNNING", uuid="u1")
    assert len(world.lately(fx.Acknowledge)) == 1
    assert len(world.store.events) == written


def test_m21_a_repeated_terminal_update_is_acknowledged_again_and_nothing_is_killed():
    """The attempt has left the memory by then."""
    world = World()
    attempt_id = world.running()
    world.say(attempt_id, "FINISHED", uuid="x").say(attempt_id, "FINISHED", uuid="x")
    assert len(world.lately(fx.Acknowledge)) == 1
    assert world.called(fx.Kill) == []


def test_m21_an_unknown_task_that_runs_is_killed_and_acknowledged():
    """M21."""
    world = World().subscribe()
    world.say("stranger", "RUNNING")
    assert world.lately(fx.Kill) == [fx.Kill(task_id="stranger", agent_id="a1")]
    assert len(world.lately(fx.Acknowledge)) == 1


def test_m21_an_ended_attempt_that_comes_back_is_killed():
    """M23: two runs must not go on side by side."""
    world = World()
    attempt_id = world.running()
    world.say(attempt_id, "GONE_BY_OPERATOR", uuid=None).say(attempt_id, "RUNNING")
    assert world.lately(fx.Kill)[0].task_id == attempt_id
    assert world.attempt(attempt_id).state is AttemptState.LOST


@pytest.mark.parametrize("observation", ["UNKNOWN", "GONE", "UNREACHABLE", "FINISHED"])
def test_m21_an_unknown_task_that_does_not_run_for_certain_is_left_alone(observation: str):
    """A KILL of it would be answered with the same again, for ever."""
    world = World().subscribe().say("stranger", observation, uuid=None)
    assert world.called(fx.Kill) == []


def test_m19_an_error_about_a_duplicate_id_does_not_end_the_running_attempt():
    """Surprise 15: it carries the id of the task that runs on."""
    world = World()
    attempt_id = world.running()
    lie = {"uuid": None, "source": "SOURCE_MASTER", "reason": "REASON_TASK_INVALID"}
    world.say(attempt_id, "ERROR", message=f"Task has duplicate ID: {attempt_id}", **lie)
    assert world.attempt(attempt_id).state is AttemptState.RUNNING
    assert world.job().state is JobState.RUNNING


def test_m19_an_error_of_a_launch_fails_the_task_without_another_try():
    """M19: the specification is wrong."""
    world = World().subscribe().submit(a_job()).offer()
    attempt_id = world.launched()[0].id
    world.say(attempt_id, "ERROR", uuid=None, source="SOURCE_MASTER", message="Task uses invalid resources")
    assert (world.task().state, world.task().cause) == (TaskState.FAILED, Cause.SPEC)


@pytest.mark.parametrize(
    "message",
    [
        "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID.",
        "Total resources cpus:0.6 required by task and its executor is more than available cpus:0.5",
    ],
)
def test_m19_an_error_that_is_our_own_doing_is_tried_again_for_free(message: str):
    """M19: an executor came or went between the offer and the launch."""
    world = World().subscribe().submit(a_job(retry={"max_attempts": 1})).offer()
    world.say(world.launched()[0].id, "ERROR", uuid=None, source="SOURCE_MASTER", message=message).advance(2).offer()
    assert len(world.launched()) == 2
    assert world.task().failures == 0


def test_m19_a_dropped_launch_is_tried_again_for_free():
    """REASON_INVALID_OFFERS: it never started (surprise 41)."""
    world = World().subscribe().submit(a_job(retry={"max_attempts": 1})).offer()
    world.say(world.launched()[0].id, "DROPPED", uuid=None, source="SOURCE_MASTER", reason="REASON_INVALID_OFFERS")
    world.advance(2).offer()
    assert [attempt.number for attempt in world.launched()] == [1, 2]


def test_m23_a_lost_task_is_tried_again_although_we_are_partition_aware():
    """Surprise 16: agents that unregister still give TASK_LOST."""
    world = World()
    attempt_id = world.running()
    world.say(attempt_id, "LOST", uuid=None, source="SOURCE_MASTER").advance(2).offer()
    assert world.attempt(attempt_id).state is AttemptState.LOST
    assert len(world.launched()) == 2


def test_m22_a_reconciled_end_without_a_report_waits_for_the_real_update():
    """M22: the outputs are in the update that the agent still holds."""
    world = World()
    attempt_id = world.running()
    world.say(attempt_id, "FINISHED", uuid=None, source="SOURCE_MASTER", reason="REASON_RECONCILIATION")
    assert world.attempt(attempt_id).state is AttemptState.RUNNING
    world.say(attempt_id, "FINISHED", AttemptReport(output_dir="/out/1"))
    assert world.details(attempt_id)["output_dir"] == "/out/1"


def test_m22_reconciliation_never_erases_what_was_reported():
    """M22: updates of a reconciliation carry no data."""
    world = World()
    attempt_id = world.running()
    world.say(attempt_id, "RUNNING", uuid=None, reason="REASON_RECONCILIATION")
    assert world.details(attempt_id)["sandbox"] == "/s"


def test_m32_a_kill_that_nobody_asked_for_is_tried_again_for_free():
    """Draining an agent kills its tasks (M32)."""
    world = World()
    attempt_id = world.running(a_job(retry={"max_attempts": 1}))
    world.say(attempt_id, "KILLED").advance(2).offer()
    assert world.attempt(attempt_id).state is AttemptState.KILLED
    assert len(world.launched()) == 2


@pytest.mark.parametrize(("observation", "state"), [("RUNNING", AttemptState.RUNNING), ("KILLED", AttemptState.KILLED)])
def test_a_report_that_cannot_be_read_does_not_hold_the_update_up(observation: str, state: AttemptState):
    """The state counts, and it is acknowledged."""
    world = World()
    attempt_id = world.running()
    world.happen(replace(world.an_update(attempt_id, observation), data=b"\xffnot json"))
    assert world.attempt(attempt_id).state is state
    assert len(world.lately(fx.Acknowledge)) == 1


def test_a_finished_attempt_whose_report_cannot_be_read_has_not_succeeded():
    """Nobody knows where its outputs are: it runs again, for free."""
    world = World()
    attempt_id = world.running()
    world.happen(replace(world.an_update(attempt_id, "FINISHED"), data=b'{"outputs": 7}'))
    assert world.attempt(attempt_id).state is AttemptState.FAILED
    assert (world.task().state, world.task().cause, world.task().failures) == (TaskState.PENDING, Cause.AGENT, 0)
    assert len(world.lately(fx.Acknowledge)) == 1


def test_a_launch_that_could_not_be_put_into_words_fails_its_task_alone():
    """The shell refuses one attempt; the job's others go on."""
    world = World().subscribe().submit(a_job(size=2)).offer()
    refused, other = world.launched()
    world.happen(ev.LaunchRefused(attempt_id=refused.id, message="/array/items: must be {...}"))
    assert (world.task(0).state, world.task(0).cause) == (TaskState.FAILED, Cause.SPEC)
    assert world.attempt(other.id).state is AttemptState.LAUNCHING
    world.store.check_counts()


# What hangs


def test_an_attempt_that_runs_far_beyond_its_timeout_is_killed_and_has_timed_out():
    """Its executor hangs: the kill is asked for until it is heard, and the task is tried again as the policy says."""
    world = World()
    attempt_id = world.running(a_job(timeout_s=60, retry={"max_attempts": 2}))
    world.advance(70)
    assert world.called(fx.Kill) == []
    world.advance(2110)
    assert world.called(fx.Kill)[0].task_id == attempt_id
    world.say(attempt_id, "KILLED")
    assert (world.task().state, world.task().cause, world.task().failures) == (TaskState.PENDING, Cause.TIMEOUT, 1)


def test_an_attempt_that_stages_for_more_than_an_hour_is_killed_and_tried_again_for_free():
    """The file system of its agent is dead, say; a restart of the scheduler begins the hour anew."""
    world = World().subscribe().submit(a_job(timeout_s=60)).offer()
    attempt_id = world.launched()[0].id
    world.say(attempt_id, "STARTING").advance(3000).restart().subscribe().advance(3599)
    assert world.called(fx.Kill) == []
    world.advance(1)
    assert world.called(fx.Kill)[0].task_id == attempt_id
    world.say(attempt_id, "KILLED")
    assert (world.task().state, world.task().cause, world.task().failures) == (TaskState.PENDING, Cause.AGENT, 0)


# Reconciliation


def test_m25_after_subscribing_every_open_attempt_is_asked_for_with_its_agent():
    """M24, M25."""
    world = World()
    attempt_id = world.running()
    world.restart().subscribe().advance(0)
    assert world.called(fx.Reconcile)[-1].tasks == ((attempt_id, "a1"),)


def test_m24_an_attempt_without_an_answer_is_asked_for_again_later_and_later():
    """Truncated exponential back-off, until it is answered (M24)."""
    world = World()
    attempt_id = world.running()
    world.restart().subscribe().advance(300)
    asked = len(world.called(fx.Reconcile))
    assert 6 <= asked <= 14
    world.say(attempt_id, "RUNNING", uuid=None, reason="REASON_RECONCILIATION").advance(100)
    assert len(world.called(fx.Reconcile)) == asked


def test_m24_an_attempt_without_an_answer_is_asked_for_for_days():
    """A round a minute: the thousandth is as good as the tenth."""
    world = World()
    world.running()
    world.restart().subscribe().advance(20 * 3600)
    assert len(world.called(fx.Reconcile)) > 1100


def test_m27_many_attempts_are_asked_for_in_batches_of_a_thousand():
    """M27: the next batch follows when the last is answered, or after a second."""
    world = World().subscribe().submit(a_job(size=2500, cpus=0.01, mem=1))
    for agent in ("a1", "a2", "a3"):
        world.offer(agent, cpus=64, mem=64_000)
    world.restart().subscribe().advance(0)
    (first,) = world.called(fx.Reconcile)
    assert len(first.tasks) == 1000
    world.happen(*(world.an_update(task_id, "RUNNING", uuid=None) for task_id, _ in first.tasks)).advance(0)
    assert [len(call.tasks) for call in world.called(fx.Reconcile)] == [1000, 1000]
    world.advance(1.5)
    assert [len(call.tasks) for call in world.called(fx.Reconcile)] == [1000, 1000, 500]


def test_m24_every_twelve_minutes_the_master_is_asked_for_all_it_knows():
    """The implicit reconciliation finds orphans (M24)."""
    world = World().subscribe().advance(1500)
    assert [call.tasks for call in world.called(fx.Reconcile)].count(()) == 2


def test_m16_a_launch_without_any_update_is_asked_for_and_replaced_only_when_it_is_gone():
    """M16: 202 means queued, nothing more."""
    world = World().subscribe().submit(a_job()).offer().advance(31)
    attempt_id = world.launched()[0].id
    assert world.called(fx.Reconcile)[-1].tasks == ((attempt_id, "a1"),)
    world.offer()
    assert len(world.launched()) == 1
    world.say(attempt_id, "GONE", uuid=None, reason="REASON_RECONCILIATION").advance(2).offer()
    assert len(world.launched()) == 2


def test_m36_the_kill_of_a_cancelled_job_survives_a_restart():
    """The wish is in the database, so the kill is repeated by whoever comes next."""
    world = World()
    attempt_id = world.running()
    world.desire("j1", desired=Desired.CANCELLED).restart().happen()
    world.calls.clear()
    world.subscribe()
    assert [kill.task_id for kill in world.called(fx.Kill)] == [attempt_id]


def test_a_disconnected_core_makes_no_calls():
    """Offers are void, kills wait."""
    world = World()
    world.running(a_job(size=2, cpus=3))
    world.happen(ev.Disconnected(reason="gone"))
    world.calls.clear()
    world.desire("j1", desired=Desired.CANCELLED).advance(30)
    assert world.calls == []
    assert world.store.status is not None
    assert world.store.status.connected is False


def test_m05_a_framework_that_failed_over_steps_down():
    """M5: another instance took over; do not fight."""
    world = World().subscribe().happen(ev.MasterError(message="Framework failed over"))
    assert world.lately(fx.Stop)[0].kind is fx.StopKind.STEP_DOWN


def test_m05_a_removed_framework_stops_and_keeps_its_id_unless_told_otherwise():
    """M5: register anew only by policy."""
    world = World().subscribe().happen(ev.MasterError(message="Framework has been removed"))
    assert world.lately(fx.Stop)[0].kind is fx.StopKind.REMOVED
    assert world.store.framework_id == "f1"


def test_m24_the_answers_that_are_still_to_come_are_counted():
    """For whoever watches a failover: none is missing once each attempt has been heard of."""
    world = World()
    world.running(a_job(size=3))
    world.restart().subscribe()
    assert world.core.handle([], world.now).outstanding == 3
    for attempt in world.launched():
        world.say(attempt.id, "RUNNING", uuid=None, reason="REASON_RECONCILIATION", source="SOURCE_MASTER")
    assert world.core.handle([], world.now).outstanding == 0

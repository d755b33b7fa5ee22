"""The core's life of a job: submitted, placed, run, retried, cancelled, ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from scheduler.core import effects as fx
from scheduler.core import events as ev
from swath.domain.attempts import AttemptReport, OutputFile
from swath.domain.resources import Resources
from swath.domain.retries import JITTER, Cause
from swath.domain.states import AttemptState, Desired, JobState, TaskState
from tests.scheduler.world import NOON, World, a_job


def test_a_job_runs_from_submission_to_success():
    """One task: launched on the first offer, RUNNING, SUCCEEDED with its outputs official."""
    world = World()
    attempt_id = world.running()
    assert world.task().state is TaskState.ACTIVE
    assert world.job().state is JobState.RUNNING
    report = AttemptReport(output_dir="/out/1", outputs=[OutputFile(name="ndvi", path="n.tif", size=3)], exit_code=0)
    world.say(attempt_id, "FINISHED", report)
    assert world.attempt(attempt_id).state is AttemptState.SUCCEEDED
    assert world.details(attempt_id)["output_dir"] == "/out/1"
    assert world.details(attempt_id)["outputs"][0]["path"] == "n.tif"
    assert world.task().winner_attempt == attempt_id
    assert world.job().state is JobState.SUCCEEDED
    assert world.job().ended_at == NOON
    world.store.check_counts()


def test_m15_an_attempt_is_in_the_database_before_its_accept_leaves():
    """M15: the turn that makes the ACCEPT also writes the attempt, and changes are committed before calls are made."""
    world = World().subscribe().submit(a_job()).offer()
    accept = world.lately(fx.Accept)[0]
    assert world.attempt(accept.launches[0].attempt.id).state is AttemptState.LAUNCHING


def test_m17_all_offers_of_an_agent_go_into_one_accept():
    """M17: two offers of one agent are merged for a task that needs both."""
    world = World().subscribe().submit(a_job(cpus=5))
    world.happen(ev.Offered(offers=(world.an_offer(cpus=3), world.an_offer(cpus=3))))
    (accept,) = world.lately(fx.Accept)
    assert len(accept.offer_ids) == 2


def test_m17_many_tasks_go_into_one_accept_and_leave_room_for_the_executor():
    """Of four cpus 3.9 are for tasks where the executor is not there yet."""
    world = World().subscribe().submit(a_job(size=10)).offer()
    (accept,) = world.lately(fx.Accept)
    assert len(accept.launches) == 3


def test_an_executor_that_runs_already_takes_no_further_room():
    """Surprise list 02: "Offers list executor_ids"."""
    world = World().subscribe().submit(a_job(size=10)).offer(executor_ids=frozenset({"swath-abc"}))
    assert len(world.lately(fx.Accept)[0].launches) == 4


def test_m29_an_offer_that_nothing_can_use_is_declined_at_once_and_for_long():
    """M29."""
    world = World().subscribe().submit(a_job(cpus=64)).offer()
    (decline,) = world.lately(fx.Decline)
    assert decline.refuse_s == world.settings.refuse_s
    assert world.core.state.agents_with_offers() == []


def test_m17_a_rescinded_offer_is_not_used():
    """An offer that comes and goes in one batch leads to no launch."""
    world = World().subscribe().submit(a_job())
    offer = world.an_offer()
    world.happen(ev.Offered(offers=(offer,)), ev.Rescinded(offer_id=offer.id))
    assert world.called(fx.Accept) == []


def test_m17_an_offer_that_is_told_twice_is_used_once():
    """A repeated OFFERS event would make an ACCEPT of an offer that is gone."""
    world = World().subscribe().submit(a_job(size=10))
    offer = world.an_offer()
    world.happen(ev.Offered(offers=(offer,))).happen(ev.Offered(offers=(offer,)))
    assert len(world.called(fx.Accept)) == 1
    assert world.called(fx.Decline) == []


def test_m17_an_offer_whose_rescission_comes_first_is_not_used():
    """Events may overtake each other; the offer is void either way."""
    world = World().subscribe().submit(a_job())
    offer = world.an_offer()
    world.happen(ev.Rescinded(offer_id=offer.id)).happen(ev.Offered(offers=(offer,)))
    assert world.called(fx.Accept) == []


def test_m01_the_framework_id_is_written_when_it_is_first_heard():
    """M1: in the turn of SUBSCRIBED, before anything is launched."""
    world = World().subscribe()
    assert world.store.framework_id == "f1"


def test_the_status_tells_what_the_executor_takes_of_an_agent():
    """A job as large as an agent could never run: the api has to know."""
    world = World().subscribe()
    assert world.store.status is not None
    assert world.store.status.data["executor"] == {"cpus": 0.1, "mem": 128, "disk": 0, "gpus": 0}


def test_m28_offers_are_suppressed_while_nothing_is_runnable_and_revived_for_work():
    """M28."""
    world = World().subscribe()
    assert world.lately(fx.Suppress)
    world.submit(a_job())
    assert world.lately(fx.Revive)
    world.offer()
    assert world.lately(fx.Suppress)


def test_m28_freed_resources_are_asked_for_at_once_while_work_waits():
    """M28: REVIVE in the turn of the terminal update, without waiting for the master's tick."""
    world = World()
    attempt_id = world.running(a_job(size=10))
    world.advance(5).say(attempt_id, "FINISHED")
    assert world.lately(fx.Revive)


def test_m28_revives_are_at_most_five_a_second_in_the_long_run():
    """A token bucket: a burst is granted, then one each 200 ms."""
    world = World().subscribe().submit(a_job(size=100)).offer(cpus=64)
    world.advance(60)
    begun = len(world.called(fx.Revive))
    for attempt in world.launched()[:30]:
        world.say(attempt.id, "FINISHED").advance(0.01)
    assert len(world.called(fx.Revive)) - begun <= 5 + 0.3 * 5 + 1
    world.advance(1)
    assert world.core.state.wants_offers is False


def test_a_failed_task_is_tried_again_after_its_backoff():
    """The second attempt has another id and number; the task ends FAILED after the last."""
    world = World()
    world.running(a_job(retry={"max_attempts": 2, "backoff_s": 10}))
    first, report = world.launched()[0], AttemptReport(cause=Cause.APP, exit_code=3, message="exit code 3")
    world.say(first.id, "FAILED", report)
    assert world.task().state is TaskState.PENDING
    assert "1 task failed and will be tried again" in (world.job().wait_reason or "")
    world.advance(9.9).offer()
    assert len(world.launched()) == 1
    world.advance(10 * JITTER + 0.1).offer()
    second = world.launched()[1]
    assert (second.number, second.task_index) == (2, 0)
    world.say(second.id, "RUNNING").say(second.id, "FAILED", report)
    assert world.task().state is TaskState.FAILED
    assert (world.task().cause, world.task().exit_code) == (Cause.APP, 3)
    assert world.job().state is JobState.FAILED
    world.store.check_counts()


def test_memory_grows_after_the_engine_ran_out_of_it():
    """OOM: the next attempt asks for half as much again."""
    world = World()
    attempt_id = world.running(a_job(mem=1000, retry={"backoff_s": 1}))
    world.say(attempt_id, "FAILED", AttemptReport(cause=Cause.OOM)).advance(1 + JITTER).offer()
    assert world.launched()[1].resources == Resources(cpus_m=1000, mem=1500)


def test_a_task_that_no_agent_has_enough_memory_for_fails_and_says_so():
    """It grows up to the largest agent, its executor's share aside, and not beyond, where it would wait for ever."""
    world = World().subscribe().submit(a_job(mem=6000, retry={"max_attempts": 5, "backoff_s": 1})).list_agents().offer()
    for _ in range(2):
        world.say(world.launched()[-1].id, "FAILED", AttemptReport(cause=Cause.OOM, message="killed")).advance(
            5
        ).offer()
    assert [attempt.resources.mem for attempt in world.launched()] == [6000, 8064]
    assert (world.job().state, world.task().cause) == (JobState.FAILED, Cause.OOM)
    assert world.task().message == "killed; no agent has more memory for a task than 8064 MiB"


def test_a_task_whose_executor_died_is_tried_again_for_free():
    """What the platform does to a task is not the task's failure."""
    world = World()
    attempt_id = world.running(a_job(retry={"max_attempts": 1}))
    world.say(attempt_id, "FAILED", source="SOURCE_AGENT", reason="REASON_EXECUTOR_TERMINATED").advance(2).offer()
    assert len(world.launched()) == 2
    assert world.task().failures == 0


def test_a_cancelled_job_ends_what_waits_and_kills_what_runs():
    """Pending tasks are CANCELLED at once and without rows; the kill is repeated until the attempt ends."""
    world = World()
    world.running(a_job(size=1_000_000))
    world.restart().subscribe().offer(cpus=4.1)
    attempt_id = world.launched()[0].id
    world.desire("j1", desired=Desired.CANCELLED)
    live = [attempt.id for attempt in world.store.attempts.values()]
    assert {kill.task_id for kill in world.lately(fx.Kill)} == set(live)
    assert world.job().counts.cancelled == 1_000_000 - len(live)
    assert len(world.store.tasks) == len(live)
    world.advance(20)
    assert len([kill for kill in world.called(fx.Kill) if kill.task_id == attempt_id]) >= 3
    for each in live:
        world.say(each, "KILLED")
    assert world.job().state is JobState.CANCELLED
    assert world.task().state is TaskState.CANCELLED
    world.store.check_counts()


def test_a_task_that_succeeds_before_its_kill_arrives_has_succeeded():
    """The end that happened counts."""
    world = World()
    attempt_id = world.running(a_job(size=2, cpus=3))
    world.desire("j1", desired=Desired.CANCELLED).say(attempt_id, "FINISHED")
    assert world.task().state is TaskState.SUCCEEDED
    assert world.job().state is JobState.CANCELLED
    world.store.check_counts()


def test_retrying_a_failed_job_runs_its_failed_tasks_again():
    """retry_rev: the failed task is PENDING again, with its attempts counted on."""
    world = World()
    attempt_id = world.running(a_job(retry={"max_attempts": 1}))
    world.say(attempt_id, "FAILED", AttemptReport(cause=Cause.APP))
    assert world.job().state is JobState.FAILED
    world.desire("j1", retry_rev=1).offer()
    assert world.launched()[1].number == 2
    assert world.job().retry_rev_done == 1
    assert world.job().state is JobState.RUNNING
    world.say(world.launched()[1].id, "FINISHED")
    assert world.job().state is JobState.SUCCEEDED
    world.store.check_counts()


def test_a_task_that_fails_as_a_retry_is_asked_for_stays_failed_and_counted():
    """Its row was not FAILED when the failed ones were read: it is not run again, and the job still ends."""
    world = World().subscribe().submit(a_job(size=2, retry={"max_attempts": 1})).offer()
    first, second = (attempt.id for attempt in world.launched())
    world.say(first, "FAILED", AttemptReport(cause=Cause.APP))
    record = replace(world.job(), desired_rev=2, retry_rev=1)
    world.happen(
        world.an_update(second, "FAILED", AttemptReport(cause=Cause.APP)),
        ev.JobSeen(record=record, failed=(world.task(0),)),
    )
    world.store.check_counts()
    world.offer().say(world.launched()[-1].id, "FINISHED")
    assert (world.job().state, world.job().counts.failed, world.job().counts.pending) == (JobState.FAILED, 1, 0)


def test_max_running_bounds_the_tasks_of_a_job():
    """The next starts when one ends, and the reason names the limit."""
    world = World().subscribe().submit(a_job(size=10, max_running=2)).offer(cpus=64)
    assert len(world.launched()) == 2
    world.advance(1)
    assert world.job().wait_reason == "2 tasks run, as many as max_running allows"
    world.say(world.launched()[0].id, "FINISHED")
    assert world.lately(fx.Revive)
    world.offer(cpus=64)
    assert len(world.launched()) == 3


def test_a_job_waits_for_its_time():
    """not_before: the reason says it, and offers are asked for when it comes."""
    world = World().subscribe().submit(a_job(not_before="2026-06-01T13:00:00Z"))
    assert world.job().wait_reason == "not to start before 2026-06-01T13:00:00Z"
    assert world.called(fx.Revive) == []
    world.advance(3600)
    assert world.called(fx.Revive)


def test_a_deadline_fails_what_waits_and_lets_run_what_runs():
    """Only the tasks that never started fail."""
    world = World()
    attempt_id = world.running(a_job(size=3, cpus=3, deadline="2026-06-01T13:00:00Z"))
    world.advance(3600)
    assert world.job().counts.failed == 2
    world.say(attempt_id, "FINISHED")
    assert (world.job().state, world.job().counts.succeeded) == (JobState.FAILED, 1)
    world.store.check_counts()


def test_tasks_that_a_deadline_ended_stay_ended_for_a_scheduler_whose_clock_is_behind():
    """What failed unlaunched at the deadline is not launched by the next leader, for whom it lies ahead, until a retry."""
    world = World()
    late = (NOON + timedelta(seconds=60)).isoformat()
    attempt_id = world.running(a_job(size=5, max_running=1, deadline=late, retry={"backoff_s": 1}))
    world.advance(61)
    assert world.job().counts.failed == 4
    world.now = NOON + timedelta(seconds=30)
    world.restart().subscribe().say(attempt_id, "FAILED").advance(2).offer()
    assert [attempt.task_index for attempt in world.launched()] == [0, 0]
    world.store.check_counts()
    again = world.launched()[-1].id
    world.say(again, "FINISHED").desire("j1", retry_rev=1).offer()
    assert world.launched()[-1].task_index == 1
    world.store.check_counts()


def test_a_waiting_job_says_why():
    """The sentence has the numbers, first with the agents' totals from the master's list."""
    world = World().subscribe().submit(a_job(mem=64 * 1024)).offer(mem=48 * 1024 + 128).advance(1)
    assert world.job().wait_reason == "needs 64 GiB memory; largest agent has 48 GiB"


def test_a_job_that_is_cancelled_when_its_reason_is_due_needs_none():
    """Both come in one turn: there is nothing left to explain."""
    world = World().subscribe().submit(a_job(mem=64 * 1024)).offer().advance(1)
    world.now += timedelta(seconds=30)
    world.desire("j1", desired=Desired.CANCELLED)
    assert (world.job().state, world.job().wait_reason) == (JobState.CANCELLED, None)


def test_a_job_of_a_disconnected_scheduler_says_why():
    """Not the cluster but the connection is missing."""
    world = World().submit(a_job()).advance(1)
    assert world.job().wait_reason == "the scheduler is not connected to a Mesos master"


def test_a_reason_goes_when_the_task_starts():
    """Nothing waits any more."""
    world = World().subscribe().submit(a_job()).advance(1)
    assert world.job().wait_reason == "no agent is registered"
    world.offer()
    assert world.job().wait_reason is None


def test_a_range_of_a_million_stays_compact():
    """One launch of three tasks leaves one range and three rows."""
    world = World().subscribe().submit(a_job(size=1_000_000)).offer()
    assert world.job().pending.to_document() == [[3, 1_000_000]]
    assert len(world.store.tasks) == 3


def test_a_higher_priority_goes_first():
    """Both wait; the offer has room for one."""
    world = World().subscribe().submit(a_job("low", priority=10)).submit(a_job("high", priority=90)).offer(cpus=1.1)
    assert [attempt.job_id for attempt in world.launched()] == ["high"]


def test_a_job_seen_twice_is_taken_in_once():
    """A lost or repeated notification does no harm."""
    world = World().subscribe().submit(a_job(size=2))
    world.happen(ev.JobSeen(record=a_job(size=2)))
    assert world.job().counts.pending == 2
    assert len([event for event in world.store.events if event.kind == "job.state"]) == 1


@pytest.mark.parametrize("size", [1, 5])
def test_a_restart_in_any_moment_goes_on_where_the_database_stands(size: int):
    """Every turn the scheduler dies and comes back; the job ends as if it had not."""
    world = World()
    world.restart().submit(a_job(size=size)).restart().subscribe().offer(cpus=64)
    for attempt in world.launched():
        world.restart().subscribe().say(attempt.id, "RUNNING").restart().subscribe().say(attempt.id, "FINISHED")
    assert world.job().state is JobState.SUCCEEDED
    world.store.check_counts()


def test_a_retry_waits_for_its_time_across_a_restart():
    """retry_at is in the database."""
    world = World()
    attempt_id = world.running(a_job(retry={"backoff_s": 100}))
    world.say(attempt_id, "FAILED", AttemptReport(cause=Cause.APP)).advance(50).restart().subscribe().offer()
    assert len(world.launched()) == 1
    assert NOON + timedelta(seconds=100) <= world.task().retry_at <= NOON + timedelta(seconds=100 * (1 + JITTER))
    world.advance(50 + 100 * JITTER).offer()
    assert len(world.launched()) == 2

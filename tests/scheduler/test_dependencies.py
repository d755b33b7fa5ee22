"""Jobs that wait for others: when they start, why they wait, and that no restart forgets anything of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from scheduler.core import effects as fx
from swath.domain.changes import ChangeJob
from swath.domain.retries import Cause
from swath.domain.states import Desired, JobState, TaskState
from tests.scheduler.chains import FAIL_ONCE, a_second, a_world, after, end, launched
from tests.scheduler.world import NOON, a_job


def test_a_job_starts_once_the_one_before_it_has_succeeded() -> None:
    """Not while a task of that one runs, and at once with the next offer after its end."""
    world = a_world(a_job("first", 2), a_second()).offer(cpus=9)
    assert launched(world) == [("first", 0), ("first", 1)]
    end(world, "first", 0).offer(cpus=9)
    assert len(launched(world)) == 2

    end(world, "first", 1).offer(cpus=9)

    assert launched(world)[2:] == [("second", 0)]
    end(world, "second")
    assert world.job("second").state is JobState.SUCCEEDED
    world.store.check_counts()


def test_the_end_of_the_one_before_asks_for_offers() -> None:
    """What is released is work that no offer has covered: the filters of before would hide the agents."""
    world = a_world(a_job("first"), a_second()).offer(cpus=1.1)
    world.advance(5)
    end(world, "first").advance(2)
    assert world.called(fx.Revive)


def test_why_it_waits_is_told_with_numbers() -> None:
    """The job, its id, and how many of its tasks are done; written now and then, not at every end."""
    world = a_world(a_job("first", 12, **FAIL_ONCE), a_second()).offer(cpus=19)
    assert world.job("second").wait_reason == "waits for job first (first): 0 of 12 tasks done"
    for index in range(3):
        end(world, "first", index)
        assert not [row for row in world.written(ChangeJob) if row.job_id == "second"]
    end(world, "first", 3, "FAILED").advance(20)
    expected = "waits for job first (first): 4 of 12 tasks done, 1 of them in vain"
    assert world.job("second").wait_reason == expected


def test_two_jobs_before_one_have_to_end_both() -> None:
    """The reason names the first that is not done, and counts the others."""
    world = a_world(a_job("first"), a_job("other"), a_second(after(), after("other", "ended"))).offer(cpus=9)
    assert world.job("second").wait_reason == ("waits for job first (first): 0 of 1 task done, and for 1 more job")
    end(world, "first").offer(cpus=9)
    assert len(launched(world)) == 2
    end(world, "other", how="FAILED").advance(60).offer(cpus=9)
    assert launched(world)[-1] == ("other", 0)
    for _ in range(2):
        end(world, "other", how="FAILED").advance(60).offer(cpus=9)
    assert launched(world)[-1] == ("second", 0)


@pytest.mark.parametrize("how", ["FAILED", "cancelled"])
def test_an_end_in_vain_ends_what_waits_for_success_down_the_chain(how: str) -> None:
    """In the same transaction, whatever the length; each says which job it waited for. `ended` goes on."""
    chain = [a_second(after(f"c{number - 1}" if number else "first"), name=f"c{number}") for number in range(50)]
    world = a_world(a_job("first", **FAIL_ONCE), *reversed(chain[1:1]), *chain, a_second(after(condition="ended")))
    world.offer(cpus=9)
    if how == "cancelled":
        world.desire("first", desired=Desired.CANCELLED)
    end(world, "first", how="FAILED")

    job = world.job("c0")
    assert (job.state, job.counts.failed, job.ended_at) == (JobState.FAILED, 1, world.now)
    verb = "was cancelled" if how == "cancelled" else "has failed"
    assert job.message == f"job first (first), which had to succeed before, {verb}: 0 of 1 tasks succeeded"
    assert world.job("c49").message.startswith("job c48 (c48), which had to succeed before, has failed")
    told = [entry.data for entry in world.store.events if entry.job_id == "c0" and entry.kind == "task.state"]
    assert [(entry["state"], entry["cause"], entry["tasks"]) for entry in told] == [
        (TaskState.FAILED, Cause.DEPENDENCY, 1)
    ]
    world.offer(cpus=9)
    assert launched(world)[-1] == ("second", 0)
    assert not world.store.load().jobs or [job.id for job in world.store.load().jobs] == ["second"]
    world.store.check_counts()


def test_a_job_submitted_after_the_end_of_another_knows_it() -> None:
    """What ended long ago is read with the job: it starts, or fails, at once."""
    world = a_world(a_job("first"), a_job("bad", **FAIL_ONCE)).offer(cpus=9)
    end(world, "first")
    end(world, "bad", how="FAILED")
    world.restart().subscribe().submit(a_second()).submit(a_second(after("bad"), name="never")).offer(cpus=9)
    assert launched(world)[-1] == ("second", 0)
    assert world.job("never").state is JobState.FAILED


def test_task_after_task_in_arrays_of_equal_length() -> None:
    """Each task starts once its counterpart has succeeded, in whatever order those end."""
    world = a_world(a_job("first", 4), a_second(after(elementwise=True), size=4)).offer(cpus=9)
    assert launched(world) == [("first", index) for index in range(4)]
    assert world.job("second").wait_reason == (
        "each task waits for its counterpart in job first (first): 0 of 4 tasks done"
    )
    end(world, "first", 2).offer(cpus=9)
    end(world, "first", 0).offer(cpus=9)
    assert launched(world)[4:] == [("second", 2), ("second", 0)]
    assert world.job("second").pending.to_document() == [[1, 2], [3, 4]]
    end(world, "first", 1)
    end(world, "first", 3).offer(cpus=9)
    assert launched(world)[6:] == [("second", 1), ("second", 3)]
    world.store.check_counts()


def test_a_task_has_to_wait_for_its_counterparts_in_all_arrays() -> None:
    """Two arrays before one: the indices that both have done."""
    both = after("left", elementwise=True), after("right", "ended", elementwise=True)
    world = a_world(a_job("left", 3), a_job("right", 3, **FAIL_ONCE), a_second(*both, size=3)).offer(cpus=19)
    end(world, "left", 0)
    end(world, "left", 1)
    end(world, "right", 1, "FAILED")
    end(world, "right", 2).offer(cpus=9)
    assert launched(world)[6:] == [("second", 1)]


def test_a_failed_counterpart_is_waited_for_until_its_job_has_ended() -> None:
    """Until then a retry may help; then the task fails, and the others have run."""
    world = a_world(a_job("first", 3, **FAIL_ONCE), a_second(after(elementwise=True), size=3)).offer(cpus=9)
    end(world, "first", 1, "FAILED")
    end(world, "first", 0).offer(cpus=9)
    end(world, "second", 0)
    assert world.job("second").counts.failed == 0

    end(world, "first", 2).offer(cpus=9)

    job = world.job("second")
    assert (job.counts.failed, job.dropped.to_document(), job.pending.to_document()) == (1, [[1, 2]], [[1, 2]])
    end(world, "second", 2)
    assert world.job("second").state is JobState.FAILED
    world.store.check_counts()


def test_a_deadline_ends_what_waits_for_another_job() -> None:
    """And the job that waits for that one in turn."""
    deadline = (NOON + timedelta(seconds=60)).isoformat()
    world = a_world(a_job("first"), a_second(deadline=deadline), a_second(after("second"), name="third")).offer(cpus=9)
    world.advance(61)
    assert (world.job("second").state, world.job("third").state) == (JobState.FAILED, JobState.FAILED)
    assert world.job("second").message == "the job's deadline has passed"
    end(world, "first").offer(cpus=9)
    assert len(launched(world)) == 1
    world.store.check_counts()


def test_what_a_deadline_has_ended_stays_ended_where_the_next_clock_is_behind() -> None:
    """The counts say what holds: no task of it is released, whatever the clock shows."""
    deadline = (NOON + timedelta(seconds=60)).isoformat()
    elementwise = a_second(after(elementwise=True), size=2, deadline=deadline)
    world = a_world(a_job("first", 2), elementwise).offer(cpus=9)
    end(world, "first", 0).offer(cpus=9)
    world.advance(61)
    world.now = NOON + timedelta(seconds=30)
    world.restart().subscribe()
    end(world, "first", 1).offer(cpus=9)
    assert launched(world)[2:] == [("second", 0)]
    world.store.check_counts()


def test_a_time_before_which_it_must_not_start_holds_beside_the_job_before_it() -> None:
    """Both are told, and both have to be over; a clock that is set back lets it wait again after a restart."""
    not_before = (NOON + timedelta(seconds=60)).isoformat()
    world = a_world(a_job("first"), a_second(not_before=not_before)).offer(cpus=9)
    assert world.job("second").wait_reason == (
        "not to start before 2026-06-01T12:01:00Z; waits for job first (first): 0 of 1 task done"
    )
    end(world, "first").offer(cpus=9)
    assert len(launched(world)) == 1
    world.now = NOON - timedelta(seconds=60)
    world.restart().subscribe().offer(cpus=9)
    assert len(launched(world)) == 1
    world.advance(121).offer(cpus=9)
    assert launched(world)[-1] == ("second", 0)


def test_once_started_a_job_is_past_the_jobs_before_it() -> None:
    """A retry of one that had only to end does not hold back the rest of an array that runs already."""
    world = a_world(a_job("first", **FAIL_ONCE), a_second(after(condition="ended"), size=3, max_running=1)).offer(
        cpus=9
    )
    end(world, "first", how="FAILED").offer(cpus=9)
    assert launched(world)[-1] == ("second", 0)
    world.desire("first", retry_rev=1)
    end(world, "second", 0).offer(cpus=9)
    assert ("second", 1) in launched(world)


def test_cancelling_what_waits_frees_what_was_remembered_for_it() -> None:
    """And ends it at once; the job before it goes on."""
    world = a_world(a_job("first", 2), a_second(after(elementwise=True), size=2)).offer(cpus=9)
    end(world, "first", 0)
    world.desire("second", desired=Desired.CANCELLED)
    assert world.job("second").state is JobState.CANCELLED
    assert (world.core.state.followed, world.core.state.unsettled) == ({}, {})
    end(world, "first", 1)
    assert world.job("first").state is JobState.SUCCEEDED
    world.store.check_counts()


def test_a_restart_at_any_step_changes_nothing() -> None:
    """Whoever takes over launches the same tasks in the same order, and every job ends the same way."""

    def play(restart_at: int | None) -> tuple[Any, ...]:
        diamond = (
            a_job("first", 4, **FAIL_ONCE),
            a_second(after(elementwise=True), name="left", size=4, **FAIL_ONCE),
            a_second(after(condition="ended", elementwise=True), name="right", size=4),
            a_second(after("left", "ended"), after("right"), name="last"),
            a_second(after("left"), name="never"),
        )
        world, step = a_world(*diamond), 0
        while world.store.load().jobs:
            assert step < 40
            if step == restart_at:
                world.restart().subscribe()
            world.offer(cpus=3)
            live = sorted(world.core.state.attempts.values(), key=lambda live: live.attempt.id)
            attempt = live[0].attempt
            bad = (attempt.job_id, attempt.task_index) in {("first", 1), ("left", 2)}
            world.say(attempt.id, "FAILED" if bad else "FINISHED")
            world.store.check_counts()
            step += 1
        states = {name: (job.state, job.counts, job.message) for name, job in world.store.jobs.items()}
        return launched(world), states, step

    undisturbed = play(None)
    assert undisturbed[1]["last"][0] is JobState.SUCCEEDED
    assert undisturbed[1]["never"][0] is JobState.FAILED
    for step in range(undisturbed[2]):
        assert play(step) == undisturbed


def test_an_array_of_a_million_stays_compact() -> None:
    """A few ranges in memory and in the row, whatever the length."""
    size, tiny = 1_000_000, {"cpus": 0.001, "mem": 1}
    second = a_second(after(elementwise=True), size=size, priority=90, **tiny)
    world = a_world(a_job("first", size, **tiny), second).offer(cpus=1)
    for index in range(200):
        end(world, "first", index)
    world.offer(cpus=0.25)
    for _ in range(2):
        job = world.core.state.jobs["second"]
        assert (job.pending.spans, job.blocked.spans) == (((150, 200),), ((200, size),))
        assert world.job("second").pending.to_document() == [[150, size]]
        world.restart()

    world.subscribe().desire("first", desired=Desired.CANCELLED)
    for live in list(world.core.state.attempts.values()):
        world.say(live.attempt.id, "FINISHED")

    assert world.job("second").dropped.to_document() == [[900, size]]
    assert world.job("second").counts.pending == 750
    world.store.check_counts()

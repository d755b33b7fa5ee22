"""Attempts that we have decided to end ourselves: why outlives the scheduler that decided it, and costs their tasks nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scheduler.core import effects as fx
from scheduler.core import kills
from scheduler.core.turn import Turn
from swath.domain.attempts import AttemptReport
from swath.domain.changes import ChangeAttempt
from swath.domain.retries import FREE_LIMIT, Cause
from swath.domain.states import AttemptState, Desired, JobState, TaskState
from tests.scheduler.world import World, a_job


def decide(world: World, what: Callable[[Turn], None]) -> World:
    """Something in the core decides in a turn of its own; what it wants done is carried out with the next."""
    turn = Turn(world.core.state, world.now)
    what(turn)
    world.store.apply(turn.make_effects().changes)
    return world.happen()


def preempt(world: World, attempt_id: str) -> World:
    """The matcher takes the attempt's resources back."""
    return decide(world, lambda turn: kills.preempt(turn, attempt_id))


def test_a_preempted_attempt_is_killed_and_its_task_pending_again_at_once_for_free():
    """One KILL; the task could start in the very turn in which the end is heard of, with all of its attempts left."""
    world = World()
    attempt_id = world.running(a_job(retry={"max_attempts": 1}))
    preempt(world, attempt_id)
    assert world.lately(fx.Kill) == [fx.Kill(task_id=attempt_id, agent_id="a1")]
    assert world.core.state.attempts[attempt_id].preempted
    world.say(attempt_id, "KILLED")
    assert world.details(attempt_id)["cause"] is Cause.PREEMPTED
    task = world.task()
    assert (task.state, task.failures, task.free_retries) == (TaskState.PENDING, 0, 0)
    world.offer()
    assert [attempt.number for attempt in world.launched()] == [1, 2]


def test_a_preempted_attempt_that_succeeds_in_its_grace_has_succeeded():
    """Its outputs count, and no cause is left."""
    world = World()
    attempt_id = world.running()
    preempt(world, attempt_id).say(attempt_id, "FINISHED")
    assert world.job().state is JobState.SUCCEEDED
    assert "cause" not in world.details(attempt_id)


def test_a_preempted_attempt_that_fails_by_itself_has_failed():
    """Its exit code counts, and costs an attempt."""
    world = World()
    attempt_id = world.running(a_job(retry={"max_attempts": 1}))
    preempt(world, attempt_id).say(attempt_id, "FAILED", AttemptReport(cause=Cause.APP, exit_code=2))
    assert (world.details(attempt_id)["cause"], world.job().state) == (Cause.APP, JobState.FAILED)


def test_why_an_attempt_is_preempted_is_written_before_the_kill_leaves():
    """Commit, then speak: no KILL without the cause in the database."""
    world = World()
    attempt_id = world.running()
    turn = Turn(world.core.state, world.now)
    kills.preempt(turn, attempt_id)
    effects = turn.make_effects()
    assert effects.calls == ()
    assert [
        (change.attempt_id, change.kill_cause) for change in effects.changes if isinstance(change, ChangeAttempt)
    ] == [(attempt_id, Cause.PREEMPTED)]


@pytest.mark.parametrize("cause", [Cause.PREEMPTED, Cause.DRAINED, Cause.AGENT, Cause.TIMEOUT])
def test_a_scheduler_that_takes_over_between_the_kill_and_the_end_knows_why(cause):
    """The end is reported to the next one, which was told of no decision but what the database remembers."""
    world = World()
    attempt_id = world.running(a_job(retry={"max_attempts": 1}))
    decide(world, lambda turn: kills.end_for(turn, turn.state.attempts[attempt_id], cause))
    world.restart().subscribe().say(attempt_id, "KILLED")
    assert world.details(attempt_id)["cause"] is cause
    assert world.task().failures == (1 if cause is Cause.TIMEOUT else 0)


def test_a_scheduler_that_takes_over_goes_on_killing():
    """The KILL may never have left: it is sent again."""
    world = World()
    attempt_id = world.running()
    turn = Turn(world.core.state, world.now)
    kills.preempt(turn, attempt_id)
    world.store.apply(turn.make_effects().changes)  # and there its machine loses its power
    world.restart().subscribe().advance(1)
    assert world.called(fx.Kill) == [fx.Kill(task_id=attempt_id, agent_id="a1")]


def test_an_attempt_that_hung_is_overdue_for_the_next_scheduler_too():
    """Killed as overdue in its staging, reported to another scheduler: its agent's fault, and free."""
    world = World(staging_timeout_s=60).subscribe().submit(a_job(retry={"max_attempts": 1})).offer()
    attempt_id = world.launched()[0].id
    world.say(attempt_id, "STARTING").advance(61)
    assert len(world.called(fx.Kill)) == 1
    world.restart().subscribe().say(attempt_id, "KILLED")
    assert world.details(attempt_id)["cause"] is Cause.AGENT


def test_a_task_may_be_preempted_any_number_of_times():
    """What we do to it ourselves is not held against it, however often."""
    world = World()
    attempt_id = world.running(a_job(retry={"max_attempts": 1}))
    for _ in range(FREE_LIMIT + 2):
        preempt(world, attempt_id).say(attempt_id, "KILLED").offer()
        attempt_id = world.launched()[-1].id
    assert len(world.launched()) == FREE_LIMIT + 3
    assert world.core.state.agents["a1"].bad_ends == 0


def test_the_first_reason_to_end_an_attempt_is_the_one_that_counts():
    """Cancelled by its user and preempted after: it was killed by request, and is not tried again."""
    world = World()
    attempt_id = world.running()
    world.desire("j1", desired=Desired.CANCELLED)
    preempt(world, attempt_id).say(attempt_id, "KILLED")
    assert world.details(attempt_id)["cause"] is Cause.KILLED
    assert world.attempt(attempt_id).state is AttemptState.KILLED
    assert world.job().state is JobState.CANCELLED

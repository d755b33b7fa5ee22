"""Jobs that wait for others that are retried: what had ended by them, and what has not, comes back or does not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from swath.domain.states import Desired, JobState
from tests.scheduler.chains import FAIL_ONCE, a_second, a_world, after, end, launched
from tests.scheduler.world import NOON, a_job


def test_a_retry_of_the_one_before_takes_back_what_it_had_ended() -> None:
    """While the dependent job is open that happens by itself; one that has ended is woken by the api."""
    world = a_world(a_job("first", 2, **FAIL_ONCE), a_second(after(elementwise=True), size=2)).offer(cpus=9)
    end(world, "first", 1, "FAILED")
    end(world, "first", 0).offer(cpus=9)
    assert world.job("second").counts.failed == 1

    world.desire("first", retry_rev=1).offer(cpus=9)

    assert (world.job("second").counts.failed, world.job("second").message) == (0, None)
    end(world, "second", 0)
    end(world, "first", 1).offer(cpus=9)
    end(world, "second", 1)
    assert world.job("second").state is JobState.SUCCEEDED
    world.store.check_counts()


def test_a_counterpart_that_is_tried_again_has_not_ended() -> None:
    """A task that was released by a failed one, and has not started, waits again; a new core says the same."""
    entry = after(condition="ended", elementwise=True)
    world = a_world(a_job("first", 2, **FAIL_ONCE), a_second(entry, size=2)).offer(cpus=9)
    end(world, "first", 1, "FAILED")
    assert world.core.state.jobs["second"].pending.spans == ((1, 2),)
    world.desire("first", retry_rev=1)
    for _ in range(2):
        job = world.core.state.jobs["second"]
        assert (job.pending.spans, job.blocked.spans) == ((), ((0, 2),))
        world.restart()


def test_counterparts_that_were_cancelled_before_they_ran_have_ended() -> None:
    """At once, though others of their job are still on their way to the end; and for a new core too."""
    entry = after(condition="ended", elementwise=True)
    world = a_world(a_job("first", 4, max_running=1), a_second(entry, size=4)).offer(cpus=9)
    world.desire("first", desired=Desired.CANCELLED)
    assert world.core.state.jobs["second"].pending.spans == ((1, 4),)
    world.restart().subscribe().offer(cpus=9)
    assert launched(world)[1:] == [("second", 1), ("second", 2), ("second", 3)]
    end(world, "first", 0, "KILLED").offer(cpus=9)
    assert launched(world)[-1] == ("second", 0)
    world.store.check_counts()


@pytest.mark.parametrize("why", ["cancelled", "late"])
def test_what_has_ended_already_is_not_ended_again_by_the_job_before_it(why: str) -> None:
    """Its tasks that never ran were ended together, while one of it runs on; then the job before it fails."""
    deadline = (NOON + timedelta(seconds=60)).isoformat()
    second = a_second(after(elementwise=True), size=3, deadline=deadline)
    world = a_world(a_job("first", 3, **FAIL_ONCE), second).offer(cpus=9)
    end(world, "first", 0).offer(cpus=9)
    if why == "late":
        world.advance(61)
        world.now = NOON + timedelta(seconds=30)  # the clock is set back
    else:
        world.desire("second", desired=Desired.CANCELLED)
    counts = world.job("second").counts
    end(world, "first", 1, "FAILED")
    end(world, "first", 2, "FAILED")
    assert (world.job("second").counts, world.job("second").dropped.spans) == (counts, ())
    world.store.check_counts()


def test_a_retry_of_a_dependent_that_runs_ends_what_cannot_start_again() -> None:
    """In the same turn: it does not wait for a job that has ended."""
    world = a_world(a_job("first", 2, **FAIL_ONCE), a_second(after(elementwise=True), size=2)).offer(cpus=9)
    end(world, "first", 0, "FAILED")
    end(world, "first", 1).offer(cpus=9)
    world.desire("second", retry_rev=1)
    assert (world.job("second").counts.failed, world.job("second").dropped.spans) == (1, ((0, 1),))
    world.store.check_counts()


@pytest.mark.parametrize("woken_first", [False, True])
def test_a_chain_that_has_ended_comes_back_with_the_retry_of_its_head(woken_first: bool) -> None:
    """In whichever order the core hears of it, within one turn."""
    world = a_world(a_job("first", **FAIL_ONCE), a_second(), a_second(after("second"), name="third")).offer(cpus=9)
    end(world, "first", how="FAILED")
    assert world.job("third").state is JobState.FAILED
    world.restart().subscribe()

    names = ["third", "second", "first"] if woken_first else ["first", "second", "third"]
    world.desire_together({name: {"retry_rev": 1} if name == "first" else {} for name in names})

    assert [world.job(name).counts.failed for name in names] == [0, 0, 0]
    for name in ("first", "second", "third"):
        world.offer(cpus=9)
        end(world, name)
        assert world.job(name).state is JobState.SUCCEEDED
    world.store.check_counts()


def test_a_retry_of_a_dependent_alone_ends_as_before() -> None:
    """As long as the job before it has failed; its own failed tasks run again."""
    world = a_world(a_job("first", 2, **FAIL_ONCE), a_second(after(elementwise=True), size=2, **FAIL_ONCE)).offer(
        cpus=9
    )
    end(world, "first", 0, "FAILED")
    end(world, "first", 1).offer(cpus=9)
    end(world, "second", 1, "FAILED")
    assert world.job("second").counts.failed == 2

    world.desire("second", retry_rev=1).offer(cpus=9)

    assert launched(world)[-1] == ("second", 1)
    assert (world.job("second").counts.failed, world.job("second").counts.active) == (1, 1)
    end(world, "second", 1)
    assert world.job("second").state is JobState.FAILED
    world.store.check_counts()

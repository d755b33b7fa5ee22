"""Every attempt that ends is accounted for, once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from swath.domain.attempts import AttemptReport
from swath.domain.changes import AddUsage
from swath.domain.retries import Cause
from swath.domain.usage import Amounts
from tests.fixtures import properties  # noqa: F401 (sets the profile)
from tests.scheduler.world import NOON, World, a_job

USED = AttemptReport(usage={"wall_s": 40.0, "cpu_s": 20.0, "max_mem": 60.0})
SUCCESS = (NOON.date(), "land", "me", "true:1.0.0", "SUCCEEDED")


def of(name: str, **more):
    """A job of the project land."""
    return replace(a_job(name, **more), project="land")


def test_an_attempt_is_accounted_with_its_end():
    """A minute of one CPU and 100 MiB by its owner, image and outcome, in the turn that writes its end."""
    world = World()
    attempt_id = world.running(of("j1"))
    assert not world.written(AddUsage)
    world.advance(60).say(attempt_id, "FINISHED", USED)

    assert len(world.written(AddUsage)) == 1
    assert world.store.usage == {
        SUCCESS: Amounts(
            attempts=1,
            held_s=60,
            cpu_s=60,
            mem_mib_s=6000,
            used_cpu_s=20,
            used_mem_mib_s=2400,
            measured_cpu_s=60,
            measured_mem_mib_s=6000,
        )
    }


def test_an_end_that_is_told_again_is_not_accounted_again():
    """The same update, another terminal one, and both again after a failover: the attempt has ended."""
    world = World()
    attempt_id = world.running(of("j1"))
    world.advance(60).say(attempt_id, "FINISHED", USED)
    before = dict(world.store.usage)

    world.say(attempt_id, "FINISHED", USED).say(attempt_id, "LOST", uuid=None)
    world.restart().subscribe().say(attempt_id, "FINISHED", USED)

    assert world.store.usage == before


def test_a_scheduler_that_was_killed_before_its_commit_accounts_once():
    """The end is told to the next one as if for the first time, and it alone wrote it."""
    world = World()
    attempt_id = world.running(of("j1"))
    world.now += timedelta(seconds=60)
    world.core.handle([world.an_update(attempt_id, "FINISHED", USED)], world.now)  # and nothing of it is committed
    assert world.store.usage == {}

    world.restart().subscribe().say(attempt_id, "FINISHED", USED)

    assert world.store.usage[SUCCESS].attempts == 1
    world.store.check_usage()


def test_the_attempts_of_a_turn_are_added_up_before_they_are_written():
    """Three ends of one kind and one of another are two changes."""
    world = World().subscribe().submit(of("j1", size=4)).offer(cpus=5)
    ids = [attempt.id for attempt in world.launched()]
    ends = [world.an_update(attempt_id, "FINISHED") for attempt_id in ids[:3]]
    world.happen(*ends, world.an_update(ids[3], "FAILED", AttemptReport(cause=Cause.APP, exit_code=1)))

    found = {change.outcome: change.amounts.attempts for change in world.written(AddUsage)}
    assert found == {"SUCCEEDED": 3, "APP": 1}


def test_an_agents_wrong_clock_accounts_no_more_than_was_held():
    """An end in the future is now, one before the launch is at the launch; one in between is believed."""
    for shown_s, held_s in ((1e6, 60), (-1e6, 0), (30, 30)):
        world = World()
        attempt_id = world.running(of("j1"))
        shown = (world.now + timedelta(seconds=shown_s)).isoformat()
        world.advance(60).say(attempt_id, "FINISHED", AttemptReport(ended_at=shown))

        assert sum(amounts.held_s for amounts in world.store.usage.values()) == held_s


def test_what_is_lost_and_what_is_preempted_has_its_own_outcome():
    """Whoever reads the account sees what a cause has cost."""
    world = World()
    attempt_id = world.running(of("j1"))
    world.advance(60).say(attempt_id, "GONE", uuid=None)

    assert {key[-1]: amounts.held_s for key, amounts in world.store.usage.items()} == {"LOST": 60}


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["submit", "offer", "FINISHED", "FAILED", "LOST", "UNREACHABLE", "restart", "wait", "cancel"]),
        st.integers(0, 5),
    ),
    max_size=40,
)


@given(_STEPS)
def test_the_account_equals_a_recount_after_any_history(steps):
    """Whatever ends how, is told twice, is lost or cut off by a restart: each ended attempt is in it once."""
    world = World().subscribe()
    told: list[str] = []
    for serial, (step, which) in enumerate(steps):
        live = list(world.core.state.attempts)
        if step == "submit":
            world.submit(replace(a_job(f"j{serial}", 1 + which), project=f"p{which % 2}", user=f"u{which % 3}"))
        elif step == "offer":
            world.offer(f"a{which}")
        elif step == "restart":
            world.restart().subscribe()
        elif step == "wait":
            world.advance(100 * which)
        elif step == "cancel" and world.core.state.jobs:
            world.desire(list(world.core.state.jobs)[which % len(world.core.state.jobs)], desired="CANCELLED")
        elif (live or told) and step.isupper():
            told.append([*live, *told][which % len([*live, *told])])
            world.say(told[-1], step)
        world.store.check_usage()

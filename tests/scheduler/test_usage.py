"""What the core remembers of what projects have held, and what is left of that after a failover."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core import events as ev
from scheduler.core.usage import WRITE_SHARE, past_share, past_shares
from swath.domain.changes import PutPast
from swath.domain.resources import Resources
from swath.domain.shares import Past, dominant_share
from tests.fixtures import properties  # noqa: F401 (sets the profile)
from tests.scheduler.world import NOON, World, a_job

HOUR = 3600.0


def of(name: str, project: str, **more):
    """A job in a project."""
    return replace(a_job(name, **more), project=project)


def past(world: World, project: str = "land") -> float:
    """The project's past share now."""
    return past_share(world.core.state, project, world.now)


def a_world(**more) -> World:
    """One agent with 4 CPUs and 8192 MiB, listed; half an hour is a half-life."""
    return World(half_life_s=HOUR / 2, **more).subscribe().list_agents("a1")


def run(world: World, job, hours: float = 1.0) -> str:
    """Submit the job, launch its task, and let it run."""
    before = len(world.launched())
    world.submit(job).offer()
    attempt_id = world.launched()[before].id
    world.say(attempt_id, "RUNNING").advance(hours * HOUR)
    return attempt_id


def test_nobody_has_a_past_at_first():
    """A project that never ran anything has held nothing."""
    assert past(a_world()) == 0.0
    assert past_shares(a_world().core.state, NOON) == {}


def test_a_running_task_counts_while_it_runs_and_fades_when_it_has_ended():
    """A quarter of the CPUs for two half-lives is 3/16 of the cluster; an hour later it is a quarter of that."""
    world = a_world()
    attempt_id = run(world, of("j1", "land"))
    assert past(world) == pytest.approx(0.25 * 0.75)

    world.say(attempt_id, "FINISHED").advance(HOUR)
    assert past(world) == pytest.approx(0.25 * 0.75 / 4)


def test_the_dominant_resource_counts():
    """Three quarters of the memory, not a quarter of the CPUs."""
    world = a_world()
    run(world, of("j1", "land", mem=6144))

    assert past(world) == pytest.approx(0.75 * 0.75)


def test_a_cluster_that_grows_makes_shares_smaller_from_then_on():
    """An hour at a quarter, then an hour at an eighth, though nothing of the project has changed."""
    world = a_world()
    run(world, of("j1", "land"))
    world.list_agents("a1", "a2").advance(HOUR)

    assert past(world) == pytest.approx(0.25 * 0.75 / 4 + 0.125 * 0.75)


def test_projects_are_remembered_apart():
    """Each has its own; who asks for all gets both."""
    world = a_world()
    run(world, of("j1", "land"), hours=0)
    run(world, of("j2", "sea", mem=4096), hours=1)

    assert past_shares(world.core.state, world.now) == pytest.approx({"land": 0.25 * 0.75, "sea": 0.5 * 0.75})


def test_a_failover_goes_on_with_the_past():
    """The next core knows what the first one knew, counts the time between them, and goes on as if there had been one."""
    world, undisturbed = a_world(), a_world()
    run(world, of("j1", "land"))
    run(undisturbed, of("j1", "land"))

    world.now += timedelta(seconds=HOUR)  # nobody leads meanwhile
    world.restart().subscribe().advance(HOUR)

    assert past(world) == pytest.approx(past(undisturbed.advance(2 * HOUR)))


def test_another_half_life_goes_on_from_what_was():
    """The value stays what it is; from the first turn on it fades by the new setting."""
    world = a_world()
    world.say(run(world, of("j1", "land")), "FINISHED")
    world.settings = replace(world.settings, half_life_s=HOUR)
    world.restart().subscribe().advance(HOUR)

    assert past(world) == pytest.approx(0.25 * 0.75 / 2)


def test_small_changes_are_not_written_each_time():
    """Of a hundred tasks on a large cluster that come and go within seconds, few turns write what is remembered."""
    world = World().subscribe()
    total = Resources(cpus_m=1_000_000, mem=1_000_000, disk=10_000)
    world.list_agents_as(replace(_agent(world), total=total)).submit(of("j1", "land", size=100)).offer(
        cpus=101, mem=16_384
    )
    writes = 0
    for attempt in world.launched():
        world.now += timedelta(seconds=0.1)
        world.say(attempt.id, "FINISHED")
        writes += len(world.written(PutPast))

    assert len(world.launched()) == 100
    assert 8 <= writes <= 12  # some ten times a per cent


def _agent(world: World):
    return world.list_agents("a1").core.state.agents["a1"].info


_HISTORY = st.lists(
    st.tuples(st.sampled_from(["start", "end", "grow", "shrink", "fail over", "look"]), st.floats(0, 40_000)),
    max_size=25,
)


@given(_HISTORY)
def test_the_past_is_the_integral_of_what_was_held_whatever_happens(history):
    """Tasks come and go, the cluster grows and shrinks, schedulers are killed: the past share is that of a plain account
    of all shares, as far as what is written lags behind at most.
    """
    world = World().subscribe().list_agents("a1")
    shares: list[tuple[datetime, float]] = []
    killed = False
    agents = 1
    for serial, (step, seconds) in enumerate(history):
        world.advance(min(seconds, 40_000))
        if step == "start":
            world.submit(of(f"j{serial}", "land", mem=300)).offer()
        elif step == "end" and world.core.state.attempts:
            world.say(next(iter(world.core.state.attempts)), "FINISHED")
        elif step in ("grow", "shrink"):
            agents = max(1, agents + (1 if step == "grow" else -1))
            world.list_agents(*(f"a{number}" for number in range(1, agents + 1)))
        elif step == "fail over":
            killed = True
            world.restart().happen(ev.Subscribed(framework_id="f1"))
        held = sum((live.attempt.resources for live in world.core.state.attempts.values()), Resources())
        total = sum((agent.info.total for agent in world.core.state.agents.values()), Resources())
        assert world.core.state.total == total
        shares.append((world.now, dominant_share(held, total)))
    value = 0.0
    ends = [*[at for at, _ in shares[1:]], world.now]
    for (at, share), until in zip(shares, ends, strict=False):
        value = Past(value=value, share=share, at=at).value_at(until)

    assert past(world) == pytest.approx(value, abs=WRITE_SHARE if killed else 1e-9)

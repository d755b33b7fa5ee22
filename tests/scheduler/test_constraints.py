"""Constraints through the core: what runs already counts, over failovers too, and an agent's own names are attributes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.events import Offered
from tests.scheduler.world import World, a_job

RACKS = {"a1": "r1", "a2": "r1", "a3": "r2"}


def rule(attribute: str, operator: str, value: Any = None, **more: Any) -> dict[str, Any]:
    return {"attribute": attribute, "operator": operator, "value": value, **more}


def offered(world: World, agent: str, **more: Any) -> World:
    return world.offer(agent=agent, attributes={"rack": RACKS[agent]}, **more)


def agents_of(world: World) -> list[str]:
    """Where the attempts were launched, in order."""
    return [attempt.agent_id for attempt in world.launched()]


def test_unique_on_the_host_name_is_one_task_a_host():
    """The third waits until a host is free of the job again, though there is room on both."""
    world = World().subscribe().submit(a_job(size=3, cpus=0.1, constraints=[rule("hostname", "unique")]))
    offered(offered(world, "a1"), "a2")
    assert agents_of(world) == ["a1", "a2"]
    offered(offered(world, "a1"), "a2")
    assert len(world.launched()) == 2
    world.list_agents("a1", "a2").advance(3)
    assert world.job().wait_reason == (
        "waiting for its own tasks: 2 agents with room, none of which takes another by hostname unique"
    )
    first = world.launched()[0].id
    offered(world.say(first, "RUNNING").say(first, "FINISHED"), "a1")
    assert agents_of(world) == ["a1", "a2", "a1"]


def test_what_runs_counts_after_a_failover_and_while_nobody_hears_of_it():
    """The new core reads where the job's tasks are; an attempt that is UNREACHABLE may run."""
    world = World().subscribe().submit(a_job(size=3, cpus=0.1, constraints=[rule("rack", "max_per", 1)]))
    offered(world, "a1").restart().subscribe()
    offered(world, "a2")
    assert agents_of(world) == ["a1"], "the rack of both has its task"
    world.say(world.launched()[0].id, "UNREACHABLE", uuid=None)
    offered(world, "a2")
    assert agents_of(world) == ["a1"]
    offered(world, "a3")
    assert agents_of(world) == ["a1", "a3"]


def test_region_and_zone_are_the_agents_own_unless_it_has_such_an_attribute():
    """As a master with fault domains tells them; an attribute of the same name goes before."""
    world = World().subscribe().submit(a_job(size=2, cpus=0.1, constraints=[rule("region", "equals", "eu")]))
    world.offer(agent="a1", region="us", zone="us-1")
    world.offer(agent="a2", region="eu", zone="eu-1", attributes={"region": "elsewhere"})
    assert world.launched() == []
    world.offer(agent="a3", region="eu", zone="eu-1")
    assert agents_of(world) == ["a3", "a3"]


def test_tasks_run_beside_their_data_and_elsewhere_where_there_is_no_room():
    """`prefer` and a soft constraint choose among agents, and refuse none."""
    for wish in (
        {"prefer": [{"attribute": "region", "value": "eu"}]},
        {"constraints": [rule("region", "in", ["eu"], hard=False)]},
    ):
        world = World().subscribe().submit(a_job(cpus=1, **wish))
        both = [world.an_offer(agent="a1", region="us"), world.an_offer(agent="a2", region="eu")]
        world.happen(Offered(offers=tuple(both)))
        assert agents_of(world) == ["a2"], wish
        world = World().subscribe().submit(a_job(cpus=1, **wish)).offer(agent="a1", region="us")
        assert agents_of(world) == ["a1"], wish


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (rule("rack", "like", "r[3-9]"), "needs an agent with rack like r[3-9]"),
        (rule("shelf", "unique"), "needs an agent with an attribute shelf"),
    ],
)
def test_why_names_a_constraint_that_no_agent_meets(said: dict[str, Any], words: str):
    """In one sentence."""
    world = offered(World().subscribe().submit(a_job(constraints=[said])), "a1").advance(1)
    assert str(world.job().wait_reason).startswith(words)


STEPS = st.lists(
    st.tuples(st.sampled_from(["submit", "offer", "offer", "run", "end", "lose", "restart"]), st.integers(1, 12)),
    max_size=40,
)
RULES = [("hostname", "unique", None), ("rack", "unique", None), ("rack", "max_per", 2), ("hostname", "max_per", 3)]


@settings(max_examples=50)
@given(STEPS)
def test_no_launch_breaks_a_constraint_that_counts(steps: list[tuple[str, int]]):
    """Whatever comes and goes, and however often the scheduler does: no value has more of a job's live tasks than it may."""
    world, made = World().subscribe(), {}
    for what, number in steps:
        live = sorted(row.id for row in world.store.load().attempts)
        if what == "submit":
            name = f"j{len(made)}"
            made[name] = RULES[number % len(RULES)]
            world.submit(a_job(name, size=number, cpus=0.1, constraints=[rule(*made[name])]))
        elif what == "offer":
            offered(world, ("a1", "a2", "a3")[number % 3])
        elif what == "restart":
            world.restart().subscribe()
        elif live:
            chosen = live[number % len(live)]
            said = {"run": "RUNNING", "end": "FINISHED", "lose": "UNREACHABLE"}[what]
            world.say(chosen, said, agent_id=world.attempt(chosen).agent_id)
        check(world, made)


def check(world: World, made: dict[str, tuple[str, str, Any]]) -> None:
    counts: dict[tuple[str, str], int] = {}
    for row in world.store.load().attempts:
        attribute, operator, value = made[row.job_id]
        key = (row.job_id, RACKS[row.agent_id] if attribute == "rack" else row.agent_id)
        counts[key] = counts.get(key, 0) + 1
        assert counts[key] <= (1 if operator == "unique" else value)

"""Ports of an agent: never one for two, by whatever way attempts come and go."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.events import Offered
from scheduler.core.ports import choose_from
from swath.domain.errors import InternalError
from swath.domain.ranges import Ranges
from tests.scheduler.world import World, a_job

ALL = Ranges(((31000, 31006), (32000, 32002)))
SPANS = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), max_size=6)


@given(SPANS, st.integers(0, 8), st.integers(0, 61))
def test_ports_are_chosen_from_the_free_ones(spans: list[tuple[int, int]], count: int, last: int):
    """So many different ones as were asked for, the same for the same question; an error where there are too few."""
    free = Ranges.over(spans)
    if free.count < count:
        with pytest.raises(InternalError):
            choose_from(free, count, last)
        return
    chosen = choose_from(free, count, last)
    assert len(set(chosen)) == len(chosen) == count
    assert set(chosen) <= set(free)
    assert chosen == choose_from(free, count, last)


def test_a_port_that_was_given_back_is_used_as_late_as_may_be():
    """After the last one come those above it, then the lowest."""
    assert choose_from(ALL, 3, 0) == (31000, 31001, 31002)
    assert choose_from(ALL, 2, 31005) == (32000, 32001)
    assert choose_from(ALL, 3, 32000) == (32001, 31000, 31001)


def test_attempts_on_one_agent_get_ports_of_their_own():
    """Two each, out of one offer; they stand in the attempt's row and in what is launched."""
    world = World().subscribe().submit(a_job(size=3, ports=2)).offer(ports=ALL)
    assert [attempt.ports for attempt in world.launched()] == [(31000, 31001), (31002, 31003), (31004, 31005)]
    assert [world.attempt(attempt.id).ports for attempt in world.launched()] == [a.ports for a in world.launched()]


def test_no_more_is_launched_than_there_are_ports_and_licences():
    """Eight ports hold two attempts with three; a licence and a half holds one with one."""
    world = World().subscribe().submit(a_job(size=3, cpus=0.1, ports=3)).offer(ports=ALL)
    assert len(world.launched()) == 2
    world = World().subscribe().submit(a_job(size=3, cpus=0.1, custom=(("licences", 1000),)))
    assert len(world.offer(custom=(("licences", 1500),)).launched()) == 1
    assert len(world.offer(agent="a2").launched()) == 1, "an agent without any has no room"


def test_after_a_failover_no_port_is_given_out_twice():
    """The new core reads who has which, though the master were to offer them again."""
    world = World().subscribe().submit(a_job(size=2, ports=2, max_running=1)).offer(ports=ALL)
    (first,) = world.launched()
    world.submit(a_job("j2", ports=4)).restart().subscribe().offer(ports=ALL)
    (second,) = world.launched()[1:]
    assert not set(first.ports) & set(second.ports)


def test_a_port_is_free_again_when_its_attempt_has_ended():
    """And an offer that comes before the update does not give it away."""
    few = Ranges(((31000, 31002),))
    world = World().subscribe().submit(a_job(size=2, ports=2)).offer(ports=few)
    (first,) = world.launched()
    world.say(first.id, "RUNNING").offer(ports=few)
    assert len(world.launched()) == 1, "the master says they are free, our attempt has not ended for us"
    world.say(first.id, "FINISHED").offer(ports=few)
    assert [attempt.ports for attempt in world.launched()] == [(31000, 31001)] * 2


@dataclass
class Master:
    """What Mesos would offer: on each agent what no task of its own books has."""

    held: dict[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)  # task -> (agent, ports)

    def free(self, agent: str) -> Ranges:
        taken = [port for owner, ports in self.held.values() if owner == agent for port in ports]
        return ALL.remove(taken)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.integers(0, 3), st.integers(1, 4)),
        st.tuples(st.just("offer"), st.sampled_from(["a1", "a2"]), st.booleans()),
        st.tuples(st.sampled_from(["end", "end silently", "run"]), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("restart"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(STEPS)
def test_random_launches_and_ends_never_hand_a_port_out_twice(steps: list):
    """Jobs come, agents offer what is free (in one offer or two), tasks end with and without a word, schedulers fail over.

    `World` looks at each ACCEPT: the ports are among those offered, and no two live attempts of an agent have the same.
    """
    world, master, jobs = World().subscribe(), Master(), 0
    for what, which, how in steps:
        if what == "submit":
            jobs += 1
            world.submit(a_job(f"j{jobs}", size=how, cpus=0.1, ports=int(which)))
        elif what == "offer":
            free = master.free(str(which))
            cut = free.take(free.count // 2)[1] if how else Ranges()
            before = len(world.launched())
            offers = [world.an_offer(agent=str(which), cpus=1, ports=part) for part in (free.minus(cut), cut)]
            world.happen(Offered(offers=tuple(offers)))
            for attempt in world.launched()[before:]:
                assert set(attempt.ports) <= set(free)
                master.held[attempt.id] = (attempt.agent_id, attempt.ports)
        elif what == "restart":
            world.restart().subscribe()
        elif master.held:
            task = sorted(master.held)[int(which) % len(master.held)]
            agent = master.held[task][0]
            if what == "run":
                world.say(task, "RUNNING", agent_id=agent)
            else:
                del master.held[task]  # the master's books are ahead of ours where the update is still on its way
            if what == "end":
                world.say(task, "FINISHED", agent_id=agent)

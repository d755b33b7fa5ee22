"""Tens of thousands of tasks that could be tried again at once cost a turn as much as it launches of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest

from scheduler.core import cooling
from swath.domain.changes import PutTask
from swath.domain.ranges import Ranges
from swath.domain.states import JobCounts, JobState, TaskState
from tests.scheduler.world import NOON, World, a_job

MEM = 100
GROWN = 150
COLD = 0.1  # cpus that an executor takes which is not there yet


def a_world(count: int, failed_on: str) -> World:
    """A job whose tasks have all failed once on an agent and could start now, the second half with more memory."""
    world = World()
    job = a_job(size=count, mem=MEM)
    waiting = {"state": JobState.RUNNING, "pending": Ranges(), "counts": JobCounts(total=count, pending=count)}
    world.store.jobs["j1"] = replace(job, observed_rev=1, started_at=NOON, **waiting)
    for index in range(count):
        mem = GROWN if 2 * index >= count else None
        world.store.tasks["j1", index] = PutTask(
            job_id="j1", index=index, state=TaskState.PENDING, attempts=1, failures=1, mem=mem, retry_at=NOON
        )
    world.restart()
    for index in range(count):
        cooling.note_failure(world.core.state.jobs["j1"], index, failed_on)
    return world.subscribe()


def count_lines(act: Callable[[], object]) -> int:
    """How many lines of the core `act` runs through."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace if "/scheduler/core/" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize("failed_on", ["a1", "a2"])
def test_a_turn_costs_what_it_launches_and_not_what_waits(failed_on):
    """Two agents, one of which has failed all tasks: ten times as many of them cost the turn no more."""
    costs = []
    for count in (4_000, 40_000):
        world = a_world(count, failed_on)
        costs.append(count_lines(lambda world=world: world.offer("a1", cpus=10 + COLD)))
        assert {attempt.resources.mem for attempt in world.launched()} <= {MEM, GROWN}
        assert len(world.launched()) == 10
    assert costs[1] < 1.05 * costs[0], costs

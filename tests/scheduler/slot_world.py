"""A job of short tasks in a slot, and what its executor says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scheduler.core import events as ev
from swath.domain.attempts import Attempt, AttemptReport
from swath.domain.retries import Cause
from swath.domain.slots import SlotReport, Told
from swath.domain.states import AttemptState, Observation
from tests.scheduler.world import World, a_job

DONE = AttemptReport(output_dir="/o")


def a_world(size: int = 20, cpus: float = 1.1, **spec: Any) -> World:
    """One slot of a job of short tasks is launched."""
    spec = {"short": True, "expected_s": 0.5, "retry": {"max_attempts": 2, "backoff_s": 1}} | spec
    return World().subscribe().submit(a_job(size=size, **spec)).offer(cpus=cpus)


def tell(
    world: World,
    *news: tuple[Attempt, str],
    taken: Sequence[Attempt] = (),
    state: str = "RUNNING",
    report: AttemptReport = DONE,
    **more: Any,
) -> World:
    """The executor of the first slot says so much."""
    told = tuple(Told(attempt=attempt.id, state=Observation(said), report=report.to_value()) for attempt, said in news)
    data = SlotReport(taken=tuple(attempt.id for attempt in taken), told=told).to_json().encode()
    return world.happen(replace(world.an_update(world.launched()[0].slot_id, state, **more), data=data))


def an_end(world: World, slot_id: str, attempts: Sequence[str]) -> ev.Update:
    """The executor of a slot says that these of its attempts have succeeded."""
    told = tuple(Told(attempt=one, state=Observation.FINISHED, report=DONE.to_value()) for one in attempts)
    return replace(world.an_update(slot_id, "RUNNING"), data=SlotReport(told=told).to_json().encode())


def states_of(world: World, attempts: Sequence[Attempt]) -> list[tuple[AttemptState, Cause | None]]:
    """State and cause of each, as they are written."""
    return [(world.attempt(one.id).state, world.details(one.id).get("cause")) for one in attempts]

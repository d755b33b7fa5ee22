"""Random jobs that wait for each other, under random ends, wishes and restarts: order is respected, and all of them end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from swath.domain.dependencies import Condition
from swath.domain.states import ENDED_JOB, Desired, TaskState
from swath.store.rows import JobRecord
from tests.scheduler.world import World, a_job

NAMES = "abcde"
ENDED = (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED)


@dataclass(frozen=True, kw_only=True)
class Dag:
    """Jobs in an order in which each names only earlier ones."""

    records: list[JobRecord]


@st.composite
def dags(draw: Any) -> Dag:
    """Two to five jobs of one to four tasks."""
    count = draw(st.integers(2, len(NAMES)))
    sizes = [draw(st.sampled_from([1, 2, 2, 4])) for _ in range(count)]
    records = []
    for place in range(count):
        others = draw(st.lists(st.integers(0, place - 1), unique=True, max_size=2)) if place else []
        after = [
            {
                "job": NAMES[other],
                "condition": draw(st.sampled_from(["succeeded", "ended"])),
                "elementwise": sizes[other] == sizes[place] and draw(st.booleans()),
            }
            for other in others
        ]
        spec = {"after": after, "retry": {"max_attempts": draw(st.sampled_from([1, 2])), "backoff_s": 1}}
        records.append(a_job(NAMES[place], sizes[place], **spec))
    return Dag(records=records)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("end"), st.integers(0, 9), st.sampled_from(["FINISHED", "FINISHED", "FAILED", "GONE"])),
        st.tuples(st.sampled_from(["cancel", "retry"]), st.integers(0, len(NAMES) - 1)),
        st.tuples(st.sampled_from(["offer", "offer", "offer", "restart", "advance", "submit", "submit"])),
    ),
    max_size=40,
)


class Witness:
    """Looks at every launch: was it allowed by what the jobs before had done at that time?"""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen = 0
        self._started: set[str] = set()

    def look(self) -> None:
        """At what was launched since."""
        launched = self._world.launched()
        for attempt in launched[self._seen :]:
            if attempt.number == 1:
                for entry in self._world.job(attempt.job_id).spec.after:
                    self._check(entry, attempt.job_id, attempt.task_index)
            self._started.add(attempt.job_id)
        self._seen = len(launched)

    def _check(self, entry: Any, job_id: str, index: int) -> None:
        other = self._world.job(entry.job)
        wanted = ENDED if entry.condition is Condition.ENDED else (TaskState.SUCCEEDED,)
        if entry.elementwise:
            row = self._world.store.tasks.get((entry.job, index))
            rowless = other.counts.pending == 0 and entry.condition is Condition.ENDED
            assert rowless if row is None else row.state in wanted, f"{job_id}[{index}] before {entry}"
        elif job_id not in self._started:
            done = other.counts.ended if entry.condition is Condition.ENDED else other.counts.succeeded
            assert done == other.counts.total, f"{job_id} before {entry}"


def play(world: World, dag: Dag, steps: list[tuple[Any, ...]]) -> None:
    """Let it all happen, checking after each step."""
    waiting, witness = list(dag.records), Witness(world)
    for step in steps:
        _do(world, step, waiting)
        witness.look()
        world.store.check_counts()
    for record in waiting:
        world.submit(record)
    for _ in range(200):
        if all(job.state in ENDED_JOB for job in world.store.jobs.values()):
            break
        world.offer(cpus=9).advance(2)
        witness.look()
        for live in list(world.core.state.attempts.values()):
            world.say(live.attempt.id, "FINISHED")
        world.store.check_counts()


def _do(world: World, step: tuple[Any, ...], waiting: list[JobRecord]) -> None:
    live = sorted(world.core.state.attempts)
    match step:
        case ("end", number, how) if live:
            world.say(live[number % len(live)], how)
        case ("submit",) if waiting:
            world.submit(waiting.pop(0))
        case ("offer",):
            world.offer(cpus=2.1)
        case ("restart",):
            world.restart().subscribe()
        case ("advance",):
            world.advance(5)
        case ("cancel", number) if (job := world.store.jobs.get(NAMES[number])) is not None and job.ended_at is None:
            world.desire(job.id, desired=Desired.CANCELLED)
        case ("retry", number) if (job := world.store.jobs.get(NAMES[number])) is not None:
            if job.counts.failed and job.desired is Desired.RUN:
                woken = world.store.find_dropped(job.id)
                world.desire_together({job.id: {"retry_rev": job.retry_rev + 1}, **{name: {} for name in woken}})


@settings(deadline=None, max_examples=150)
@given(dags(), STEPS)
def test_any_order_of_events_respects_the_order_of_jobs_and_comes_to_an_end(
    dag: Dag, steps: list[tuple[Any, ...]]
) -> None:
    """No first attempt before its time; counts and rows agree at every step; nothing waits for ever or is remembered."""
    world = World().subscribe()
    play(world, dag, steps)
    assert {name: job.state in ENDED_JOB for name, job in world.store.jobs.items()} == {
        record.id: True for record in dag.records
    }
    state = world.core.state
    assert (state.jobs, state.followed, state.unsettled) == ({}, {}, {})


@settings(deadline=None, max_examples=100)
@given(dags(), STEPS)
def test_what_is_remembered_is_what_the_database_says(dag: Dag, steps: list[tuple[Any, ...]]) -> None:
    """After every step a core that starts anew divides the tasks of every job as the old one has."""
    world = World().subscribe()
    waiting = list(dag.records)
    for step in steps:
        _do(world, step, waiting)
        kept = {name: (job.pending, job.blocked, job.dropped) for name, job in world.core.state.jobs.items()}
        fresh = world._load().state.jobs
        assert {name: (job.pending, job.blocked, job.dropped) for name, job in fresh.items()} == kept

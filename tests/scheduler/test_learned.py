"""What an image version needs is found out by a few tasks, and asked for by all others, in this job and in later ones."""

from __future__ import annotations

from dataclasses import replace

from scheduler.core import effects as fx
from swath.domain.attempts import AttemptReport
from swath.domain.changes import ChangeJob, PutLearned
from swath.domain.resources import Resources
from swath.domain.retries import Cause
from swath.domain.states import Desired
from swath.store.rows import JobRecord
from tests.scheduler.test_shrinking import listed
from tests.scheduler.world import IMAGE, SETTINGS, World, a_job

PATIENT = {"max_attempts": 9, "backoff_s": 3000}
KEY = "cpus=1000 disk=2000 mem=1000"


def a_hungry_job(name: str = "j1", size: int = 20, image: int = 1, mem: int = 1000, **retry: object) -> JobRecord:
    """A job whose tasks turn out to need more; those that failed come back when everything is over."""
    record = a_job(name, size, retry={**PATIENT, **retry})
    asked = Resources(cpus_m=1000, mem=mem, disk=2000)
    return replace(record, resources=asked, image=replace(IMAGE, id=image))


def a_world(*jobs: JobRecord) -> World:
    world = World().subscribe().list_agents()
    for job in jobs:
        world.submit(job)
    return world


def run(world: World, *causes: Cause | None, cpus: float = 1.1) -> list[Resources]:
    """So many attempts, one after the other, end like this; what each had asked for."""
    before = len(world.launched())
    for cause in causes:
        world.offer(cpus=cpus).advance(1)
        report = None if cause is None else AttemptReport(cause=cause)
        world.say(world.launched()[-1].id, "FINISHED" if cause is None else "FAILED", report)
    return [attempt.resources for attempt in world.launched()[before:]]


def mems(amounts: list[Resources]) -> list[int]:
    return [amount.mem for amount in amounts]


def test_tasks_not_launched_yet_ask_for_what_others_needed():
    """Three run out of 1000 MiB: the fourth asks for 1500; the user's own figure stays in the record."""
    world = a_world(a_hungry_job())
    assert mems(run(world, *[Cause.OOM] * 3)) == [1000] * 3
    assert mems(run(world, None, None)) == [1500] * 2
    assert world.job().resources.mem == 1000


def test_it_is_learned_again_where_it_was_not_enough():
    """Three of 1500 MiB run out, too."""
    world = a_world(a_hungry_job())
    assert mems(run(world, *[Cause.OOM] * 6, None)) == [1000] * 3 + [1500] * 3 + [2250]


def test_disk_is_learned_as_memory_is():
    """And by itself: the memory stays."""
    world = a_world(a_hungry_job())
    run(world, *[Cause.DISK] * 3)
    assert run(world, None) == [Resources(cpus_m=1000, mem=1000, disk=3000)]


def test_what_is_learned_is_written_and_told_in_the_turn_in_which_it_is():
    """For whoever looks at the job, for its history, and for later jobs of the image version."""
    world = a_world(a_hungry_job())
    run(world, *[Cause.OOM] * 3)
    assert world.written(PutLearned) == [PutLearned(image_version_id=1, asked=KEY, mem=1500, disk=None)]
    (change,) = world.written(ChangeJob)
    assert (change.asks_mem, change.asks_disk) == (1500, 2000)
    (told,) = [event.data for event in world.store.events if event.kind == "job.asks"]
    assert told == {"mem": 1500, "disk": 2000, "asked": {"mem": 1000, "disk": 2000}}


def test_a_later_job_of_the_same_image_and_request_begins_with_it():
    """Across a restart; a job of another version, and one that asks for something else, do not."""
    world = a_world(a_hungry_job())
    run(world, *[Cause.OOM] * 3)
    world.restart().subscribe().list_agents()
    assert mems(run(world, None)) == [1500], "the job itself has not forgotten, either"
    cancel_all(world)
    for later, mem in (
        (a_hungry_job("j2"), 1500),
        (a_hungry_job("j3", image=2), 1000),
        (a_hungry_job("j4", mem=1200), 1200),
    ):
        world.submit(later)
        assert mems(run(world, None)) == [mem]
        cancel_all(world)


def cancel_all(world: World) -> None:
    """Nothing that waits is in the next job's way."""
    for job_id in list(world.core.state.jobs):
        world.desire(job_id, desired=Desired.CANCELLED)


def test_jobs_that_run_beside_it_learn_with_it():
    """Of the same image version and request: two jobs' tasks count together."""
    world = a_world(a_hungry_job("j1", size=2), a_hungry_job("j2", size=9))
    run(world, *[Cause.OOM] * 3)
    assert {attempt.job_id for attempt in world.launched()} == {"j1", "j2"}
    assert mems(run(world, None)) == [1500]


def test_the_odd_ones_out_teach_nothing():
    """Three of sixty: they are retried with more, and the others are left alone."""
    world = a_world(a_hungry_job(size=200))
    run(world, *[None] * 60)
    run(world, *[Cause.OOM] * 3)
    assert mems(run(world, None)) == [1000]
    run(world, *[Cause.OOM] * 4)
    assert mems(run(world, None)) == [1500], "seven of seventy are not odd any more"


def test_the_retries_of_one_task_are_one_task():
    """It runs out of 1000, 1500, 2250 MiB: nothing is known of the others."""
    world = a_world(a_hungry_job(size=2, backoff_s=1, max_backoff_s=1))
    for _ in range(3):
        world.offer(cpus=1.1)
        world.say(world.launched()[-1].id, "FAILED", AttemptReport(cause=Cause.OOM)).advance(2)
    assert [(attempt.task_index, attempt.resources.mem) for attempt in world.launched()] == [
        (0, 1000),
        (0, 1500),
        (0, 2250),
    ]
    assert world.store.learned == {}


def test_attempts_of_a_size_that_is_out_of_date_teach_nothing():
    """Five run at once with 1000 MiB: three teach 1500, and the other two nothing more."""
    world = a_world(a_hungry_job(size=40))
    world.offer(cpus=10.1, mem=30_000).advance(1)
    world.happen(
        *(world.an_update(attempt.id, "FAILED", AttemptReport(cause=Cause.OOM)) for attempt in world.launched())
    )
    assert len(world.launched()) == 5
    assert [learned.mem for learned in world.store.learned.values()] == [1500]


def test_no_more_is_learned_than_the_largest_agent_has():
    """Three run out of 6000 MiB; an agent has 8064. When those have run out as well there is no more to learn."""
    world = a_world(a_hungry_job(mem=6000))
    assert mems(run(world, *[Cause.OOM] * 6, None)) == [6000] * 3 + [8064] * 4


def test_what_no_agent_has_any_more_is_not_asked_for():
    """The large agent has gone: what the user said fits, and is tried. It comes back, and so does the lesson."""
    world = a_world(a_hungry_job())
    run(world, *[Cause.OOM] * 3)
    small = replace(world.store.agents["a1"], total=Resources(cpus_m=4000, mem=1400, disk=10_000))
    world.list_agents_as(small)
    assert world.core.state.jobs["j1"].fresh_size == (1272, 2000)
    world.list_agents_as(replace(small, total=Resources(cpus_m=4000, mem=1000, disk=10_000)))
    assert world.core.state.jobs["j1"].fresh_size == (1000, 2000), "never less than the user asked for"
    world.list_agents()
    assert world.core.state.jobs["j1"].fresh_size == (1500, 2000)


def test_a_job_may_cap_what_is_learned_or_want_none_of_it():
    """Its own cap; no growth at all; `learn: false`, which teaches nothing, either."""
    world = a_world(a_hungry_job())
    run(world, *[Cause.OOM] * 3)
    cancel_all(world)
    for number, (retry, mem) in enumerate(
        (
            ({"on": {"OOM": {"cap": 1200}}}, 1200),
            ({"on": {"OOM": "fail"}}, 1000),
            ({"on": {"OOM": "retry"}}, 1000),
            ({"learn": False}, 1000),
        ),
        2,
    ):
        world.submit(a_hungry_job(f"j{number}", **retry))
        assert mems(run(world, *[Cause.OOM] * 3, None)) == [mem] * 4
        cancel_all(world)


def test_an_exit_code_that_means_too_little_memory_teaches_as_well():
    """As the policy says what it means."""
    world = a_world(a_hungry_job(on={"APP:137": {"grow_mem": 3}}))
    for _ in range(3):
        world.offer(cpus=1.1).advance(1)
        world.say(world.launched()[-1].id, "FAILED", AttemptReport(cause=Cause.APP, exit_code=137))
    assert mems(run(world, None)) == [3000]


def test_failures_that_are_none_of_it_teach_nothing():
    """An application that fails does not need more memory."""
    world = a_world(a_hungry_job())
    run(world, *[Cause.APP] * 5)
    assert mems(run(world, None)) == [1000]
    assert world.store.learned == {}


def test_a_task_that_has_grown_further_keeps_what_it_has():
    """The larger of the two: what it needed itself, and what all others ask for."""
    world = a_world(a_hungry_job(on={"OOM": {"grow_mem": 4}}, size=9))
    run(world, Cause.OOM)
    cautious = a_hungry_job("j2", size=9)
    world.submit(cautious)
    world.core.state.jobs["j1"].asks = (1500, 2000)
    assert world.core.state.jobs["j1"].size_of((4000, 0)) == (4000, 2000)
    world.core.state.jobs["j1"].asks = (5000, 2000)
    assert world.core.state.jobs["j1"].size_of((4000, 0)) == (5000, 2000)


def test_what_asks_for_less_again_is_offered_what_was_too_little():
    """The large agent is gone for good: the small one, of which offers were refused for ten minutes, is asked for at once."""
    world = World().subscribe().happen(listed(small=8192, large=16_384)).submit(a_hungry_job(mem=6000))
    for _ in range(3):
        world.offer("large", cpus=1.1, mem=16_384).advance(1)
        world.say(world.launched()[-1].id, "FAILED", AttemptReport(cause=Cause.OOM), agent_id="large")
    world.offer("small", mem=8192)
    assert len(world.launched()) == 3, "9000 MiB are asked for by now"
    world.happen(listed(small=8192)).advance(SETTINGS.unknown_wait_s - 10)
    world.offer("small", mem=8192)
    revives = len(world.called(fx.Revive))
    world.advance(11)
    assert len(world.called(fx.Revive)) > revives
    world.offer("small", mem=8192)
    assert len(world.launched()) == 4

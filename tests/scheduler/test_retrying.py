"""What becomes of failed tasks: by cause, by exit code and by the image's own errors, with more of what ran out."""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

import pytest

from swath.domain.attempts import AttemptReport
from swath.domain.changes import AddEvent, PutTask
from swath.domain.resources import Resources
from swath.domain.retries import JITTER, OUR_DOING, Cause
from swath.domain.states import Desired, JobState, TaskState
from tests.scheduler.world import World, a_job

SOON = 1 + JITTER  # seconds: the longest wait after a backoff_s of 1


def a_failing(report: AttemptReport, **retry: object) -> World:
    """A job whose first attempt has just failed as the report says."""
    world = World().subscribe().list_agents().submit(a_job(mem=1000, retry={"backoff_s": 1, **retry})).offer()
    return world.say(world.launched()[0].id, "FAILED", report)


def told(world: World) -> dict[str, object]:
    """What the history says last of the task."""
    return dict([event for event in world.written(AddEvent) if event.kind == "task.state"][-1].data)


@pytest.mark.parametrize(
    ("report", "state"),
    [
        (AttemptReport(cause=Cause.APP, exit_code=2), TaskState.FAILED),
        (AttemptReport(cause=Cause.APP, exit_code=75), TaskState.PENDING),
        (AttemptReport(cause=Cause.DATA, exit_code=4, error="tile-busy"), TaskState.PENDING),
        (AttemptReport(cause=Cause.DATA, exit_code=5, error="no-crs"), TaskState.FAILED),
    ],
)
def test_a_policy_by_exit_code_and_error_decides(report, state):
    """The executor's report of the code and of the error's name reach the policy."""
    world = a_failing(report, on={"APP:2": "fail", "ERROR:tile-busy": "retry"})
    assert world.task().state is state


def test_the_history_says_why_a_task_is_not_tried_again():
    """By the policy's word, by its own nature, for want of further attempts."""
    assert told(a_failing(AttemptReport(cause=Cause.APP, exit_code=2), on={"APP:2": "fail"}))["why"] == (
        "its retry policy says so of APP:2"
    )
    assert told(a_failing(AttemptReport(cause=Cause.DATA)))["why"] == "DATA would come again"
    assert told(a_failing(AttemptReport(cause=Cause.APP), max_attempts=1))["why"] == "it has had 1 of 1 attempts"


def test_disk_grows_after_more_was_written_than_was_asked_for():
    """The next attempt asks for half as much again, across a restart, and the history says so."""
    world = World().subscribe().list_agents()
    record = a_job(retry={"backoff_s": 1})
    with_disk = Resources(cpus_m=1000, mem=100, disk=2000)
    world.submit(type(record)(**{name: getattr(record, name) for name in record.__slots__} | {"resources": with_disk}))
    world.offer().say(world.launched()[0].id, "FAILED", AttemptReport(cause=Cause.DISK))
    assert told(world)["asks"] == {"disk": 3000}
    assert (world.task().mem, world.task().disk) == (None, 3000)
    world.restart().subscribe().advance(SOON).offer()
    assert world.launched()[1].resources == Resources(cpus_m=1000, mem=100, disk=3000)
    world.say(world.launched()[1].id, "FAILED", AttemptReport(cause=Cause.APP)).advance(2 * SOON).offer()
    assert world.launched()[2].resources.disk == 3000, "what has grown stays"


def test_memory_may_grow_by_an_exit_code():
    """137 of a process that the kernel killed within the container."""
    world = a_failing(AttemptReport(cause=Cause.APP, exit_code=137), on={"APP:137": {"grow_mem": 2}})
    world.advance(SOON).offer()
    assert [attempt.resources.mem for attempt in world.launched()] == [1000, 2000]


def test_tasks_that_fail_together_are_tried_again_one_after_the_other():
    """Twenty attempts that end in one turn: their next ones are spread over a quarter of the wait."""
    world = World().subscribe().list_agents().submit(a_job(size=20, cpus=0.1, retry={"backoff_s": 100})).offer()
    failed = AttemptReport(cause=Cause.APP)
    world.happen(*(world.an_update(attempt.id, "FAILED", failed) for attempt in world.launched()))
    waits = sorted((world.task(index).retry_at - world.now).total_seconds() for index in range(20))
    assert 100 <= waits[0] < waits[-1] <= 100 * (1 + JITTER)
    assert waits[-1] - waits[0] > 10


def test_a_task_that_dies_with_every_executor_fails_in_the_end():
    """Ten free attempts in a row, then it has failed."""
    world = World().subscribe().submit(a_job(retry={"max_attempts": 1}))
    for _ in range(12):
        world.advance(4000)
        before = len(world.launched())
        world.offer()
        for attempt in world.launched()[before:]:
            world.say(attempt.id, "FAILED", source="SOURCE_AGENT", reason="REASON_EXECUTOR_TERMINATED")
    assert (world.job().state, len(world.launched()), world.task().failures) == (JobState.FAILED, 11, 0)
    assert world.task().cause is Cause.AGENT


def of_executor(cause: Cause) -> dict[str, object]:
    """What an executor says of it."""
    return {"observation": "FAILED", "report": AttemptReport(cause=cause, exit_code=1, message="so it is")}


def of_agent(observation: str, reason: str, message: str = "") -> dict[str, object]:
    """What Mesos says by itself."""
    return {"observation": observation, "source": "SOURCE_AGENT", "reason": reason, "message": message}


REPORTS = [
    *((of_executor(cause), cause) for cause in Cause if cause not in (Cause.KILLED, Cause.DEPENDENCY, *OUR_DOING)),
    *((of_executor(cause), Cause.AGENT) for cause in OUR_DOING),
    ({"observation": "FAILED"}, Cause.APP),
    (of_agent("FAILED", "REASON_CONTAINER_LIMITATION_MEMORY"), Cause.OOM),
    (of_agent("FAILED", "REASON_CONTAINER_LIMITATION_DISK"), Cause.DISK),
    (of_agent("FAILED", "REASON_EXECUTOR_TERMINATED"), Cause.AGENT),
    (of_agent("FAILED", "REASON_CONTAINER_LAUNCH_FAILED"), Cause.AGENT),
    (of_agent("KILLED", "REASON_EXECUTOR_UNREGISTERED"), Cause.AGENT),
    (of_agent("KILLED", "REASON_AGENT_DRAINING"), Cause.DRAINED),
    (of_agent("GONE_BY_OPERATOR", "REASON_AGENT_DRAINING"), Cause.DRAINED),
    (of_agent("GONE", "REASON_AGENT_REMOVED"), Cause.LOST),
    (of_agent("LOST", "REASON_AGENT_DISCONNECTED"), Cause.LOST),
    (of_agent("DROPPED", "REASON_AGENT_DISCONNECTED"), Cause.DROPPED),
]


@pytest.mark.parametrize(("told", "cause"), REPORTS)
def test_every_end_has_its_cause_in_the_attempt_the_task_and_the_history(told, cause):
    """As its executor says, else as Mesos does; a restart between the launch and the end changes none of it."""
    for restarts in (False, True):
        world = World()
        attempt_id = world.running()
        if restarts:
            world.restart().subscribe()
        observation, report = str(told["observation"]), told.get("report")
        world.say(
            attempt_id, observation, report, **{k: v for k, v in told.items() if k not in ("observation", "report")}
        )
        assert world.details(attempt_id)["cause"] is cause
        assert world.task().cause is cause
        assert [event.data["cause"] for event in world.store.events if "cause" in event.data] == [cause]


def test_a_larger_agent_that_has_come_counts_at_once():
    """What the largest agent has is remembered only until agents come, go, grow or are listed for the first time."""
    world = World().subscribe().list_agents().submit(a_job(mem=6000, retry={"backoff_s": 1, "max_attempts": 9})).offer()
    world.say(world.launched()[-1].id, "FAILED", AttemptReport(cause=Cause.OOM))
    assert world.task().mem == 8192 - 128
    known = world.core.state.agents["a1"].info
    world.list_agents_as(known, total=replace(known.total, mem=16_384)).advance(SOON)
    world.offer(mem=16_384)
    world.say(world.launched()[-1].id, "FAILED", AttemptReport(cause=Cause.OOM))
    assert world.task().mem == round(1.5 * (8192 - 128))


def test_the_agents_are_looked_at_once_for_a_whole_array_that_runs_out_of_memory():
    """Thousands of tasks may, in one turn; ten thousand agents for each would take longer than the lease."""
    world = World().subscribe().list_agents().submit(a_job(size=4, mem=100, retry={"backoff_s": 1})).offer(cpus=4.1)
    ended = [world.an_update(entry.id, "FAILED", AttemptReport(cause=Cause.OOM)) for entry in world.launched()]
    assert len(ended) == 4
    world.happen(*ended)
    assert len(world.core.state.largest) == 1


class Uncounted(dict[int, PutTask]):
    """Tasks that may be looked at one by one, and never all."""

    def values(self) -> NoReturn:  # type: ignore[override]
        """As many as an array has."""
        raise AssertionError("all tasks were looked at")


def test_how_many_tasks_rest_is_told_without_a_look_at_each():
    """Each end tells it anew, and an array may have a hundred thousand; across a restart, and until the last may start."""
    world = World().subscribe().submit(a_job(size=3, retry={"backoff_s": 100})).offer()
    world.core.state.jobs["j1"].tasks = Uncounted(world.core.state.jobs["j1"].tasks)
    for attempt in world.launched():
        world.say(attempt.id, "FAILED").advance(1)
    assert str(world.job().wait_reason).startswith("3 tasks failed and will be tried again, the first at")
    world.restart()
    assert (world.core.state.jobs["j1"].find_resting(world.now) or (0,))[0] == 3
    world.subscribe().advance(1000)
    assert world.core.state.jobs["j1"].find_resting(world.now) is None


def test_tasks_that_were_cancelled_rest_no_more():
    """Nothing of them is remembered."""
    world = World().subscribe().submit(a_job(size=2, retry={"backoff_s": 100})).offer()
    world.say(world.launched()[0].id, "FAILED")
    job = world.core.state.jobs["j1"]
    world.desire("j1", desired=Desired.CANCELLED)
    assert job.find_resting(world.now) is None

"""What has grown for a task and no agent has any more: it is waited for a while, and then the task asks for less."""

from __future__ import annotations

from dataclasses import replace

from scheduler.core import effects as fx
from scheduler.core import events as ev
from scheduler.core.shrinking import SLICE
from swath.domain.attempts import AttemptReport
from swath.domain.changes import AddEvent, PutAgent, PutTask
from swath.domain.ranges import Ranges
from swath.domain.resources import Resources
from swath.domain.retries import Cause
from swath.domain.states import JobCounts, JobState, TaskState
from tests.scheduler.world import NOON, SETTINGS, World, a_job

SMALL, LARGE = 8192, 16_384  # MiB of agents
ROOM = SMALL - SETTINGS.executor_resources.mem
OUT_OF_MEMORY = AttemptReport(cause=Cause.OOM)


def listed(**agents: int) -> ev.AgentsListed:
    """The master's list: agents by name, with so many MiB of memory."""
    return ev.AgentsListed(
        agents=tuple(
            PutAgent(agent_id=n, hostname=n, url="http://h:1", total=Resources(cpus_m=4000, mem=mem, disk=10_000))
            for n, mem in agents.items()
        )
    )


def a_grown_task(**retry: object) -> World:
    """It has run out of 6000 MiB on the small agent and asks for 9000 now; the large agent, which has them, is gone."""
    world = World().subscribe().happen(listed(small=SMALL, large=LARGE))
    world.submit(a_job(mem=6000, retry={"backoff_s": 1, **retry})).offer("small", mem=SMALL)
    world.advance(SETTINGS.unknown_wait_s)
    world.say(world.launched()[0].id, "FAILED", OUT_OF_MEMORY, agent_id="small")
    assert world.task().mem == 9000
    return world.happen(listed(small=SMALL))


def mems(world: World) -> list[int]:
    """What each attempt asked for."""
    return [attempt.resources.mem for attempt in world.launched()]


def test_a_task_waits_for_the_large_agent_for_a_while():
    """It may only have been rebooted: what is offered meanwhile is not used in vain, and `why` says what is missing."""
    world = a_grown_task().advance(60).offer("small", mem=SMALL)
    assert mems(world) == [6000]
    assert "needs 8.8 GiB memory; largest agent has 7.9 GiB" in str(world.job().wait_reason)
    world.happen(listed(small=SMALL, large=LARGE)).offer("large", mem=LARGE)
    assert mems(world) == [6000, 9000]


def test_a_task_asks_for_as_much_as_the_largest_agent_has_once_the_larger_one_has_gone_for_good():
    """It would wait for ever: the history says what it asks for instead, and the small agent is asked for again."""
    world = a_grown_task().advance(60).offer("small", mem=SMALL)
    revives = len(world.called(fx.Revive))
    world.advance(SETTINGS.unknown_wait_s)
    told = [event.data for event in world.store.events if event.kind == "task.state"][-1]
    assert (told["asks"], told["message"]) == ({"mem": ROOM}, "no agent is left that has what it had grown to")
    assert len(world.called(fx.Revive)) > revives
    world.offer("small", mem=SMALL)
    assert mems(world) == [6000, ROOM]
    world.say(world.launched()[-1].id, "FAILED", OUT_OF_MEMORY, agent_id="small")
    assert world.task().state is TaskState.FAILED
    assert f"no agent has more memory for a task than {ROOM} MiB" in str(world.task().message)


def test_a_task_that_waits_for_its_next_attempt_meanwhile_asks_for_less_as_well():
    """It is looked at when it may start."""
    world = a_grown_task(backoff_s=5000).advance(2 * SETTINGS.unknown_wait_s)
    assert world.task().mem == 9000
    world.advance(6000).offer("small", mem=SMALL)
    assert mems(world) == [6000, ROOM]


def test_a_new_scheduler_waits_as_long_for_whoever_had_gone_before_it_began():
    """It knows only that somebody may be missing."""
    world = a_grown_task().restart().subscribe().happen(listed(small=SMALL)).advance(60).offer("small", mem=SMALL)
    assert mems(world) == [6000]
    world.advance(SETTINGS.unknown_wait_s).offer("small", mem=SMALL)
    assert mems(world) == [6000, ROOM]


def test_no_task_asks_for_less_than_its_user_said():
    """Where nothing that is left can hold even that, it asks for just that, and waits."""
    world = a_grown_task().happen(listed(tiny=4000)).advance(2 * SETTINGS.unknown_wait_s).offer("tiny", mem=4000)
    assert (mems(world), world.task().mem) == ([6000], None)
    assert "needs 5.9 GiB memory; largest agent has 3.8 GiB" in str(world.job().wait_reason)


def test_what_a_task_may_grow_to_counts_an_agent_that_has_just_gone():
    """A task that runs out of memory while the large agent is rebooted has not failed by that."""
    world = World().subscribe().happen(listed(small=SMALL, large=LARGE))
    world.submit(a_job(mem=ROOM, retry={"backoff_s": 1})).offer("small", mem=SMALL).happen(listed(small=SMALL))
    world.say(world.launched()[0].id, "FAILED", OUT_OF_MEMORY, agent_id="small")
    assert (world.task().state, world.task().mem) == (TaskState.PENDING, round(1.5 * ROOM))


def test_m36_the_tasks_of_a_large_job_shrink_over_turns():
    """A thousand in each: a transaction has bounds."""
    count = 2 * SLICE + 500
    world = World()
    waiting = {"state": JobState.RUNNING, "pending": Ranges(), "counts": JobCounts(total=count, pending=count)}
    world.store.jobs["j1"] = replace(a_job(size=count, mem=6000), observed_rev=1, started_at=NOON, **waiting)
    for index in range(count):
        world.store.tasks["j1", index] = PutTask(
            job_id="j1", index=index, state=TaskState.PENDING, attempts=1, mem=9000, retry_at=NOON
        )
    world.restart().subscribe().happen(listed(small=SMALL))
    written: list[int] = []
    while world.wake_at is not None and not (written and written[-1] == 0):
        world.now = max(world.now, world.wake_at)
        world.happen()
        if written or world.written(PutTask):
            written.append(len(world.written(PutTask)))
            assert len(world.written(AddEvent)) == written[-1]
    assert written == [SLICE, SLICE, 500, 0]
    assert {task.mem for task in world.store.tasks.values()} == {ROOM}

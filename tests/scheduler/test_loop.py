"""The loop and the threads that feed it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from scheduler.core import effects as fx
from scheduler.core import events as ev
from scheduler.core.reactor import Core
from scheduler.inbox import Inbox, Signal
from scheduler.listing import AgentLister
from scheduler.loop import SLICE, CutOffError, Loop, Watch
from scheduler.metrics import Metrics
from swath.domain.attempts import AttemptReport
from swath.domain.changes import Change
from swath.domain.errors import RefusedByDatabaseError
from swath.domain.retries import Cause
from swath.domain.states import AttemptState, JobState
from swath.domain.wishes import Wishes
from swath.store.rows import Snapshot
from swath.wire.calls import Message
from swath.wire.channel import CallResult
from tests.scheduler.stand_ins import SENT, Diary, FakeLeadership, a_lease, a_shell
from tests.scheduler.world import NOON, SETTINGS, World, a_job


class Jobs:
    """The api's wishes."""

    def __init__(self) -> None:
        self.changed = [a_job()]
        self.reads = 0

    def read_changed_jobs(self) -> list:
        self.reads += 1
        taken, self.changed = self.changed, []
        return taken

    def read_operator_wishes(self) -> Wishes:
        return Wishes()

    def read_failed(self, job_id: str, after: int | None, limit: int) -> tuple[list, int | None]:
        return [], None


def a_loop(
    diary: Diary,
    inbox: Inbox,
    jobs: Jobs,
    core: Any = None,
    load: Callable[[], Any] | None = None,
    prune: Callable[[datetime], int] = lambda now: 0,
    clock: Callable[[], datetime] = lambda: NOON,
    **more: Any,
) -> Loop:
    lease = a_lease(FakeLeadership(), [NOON])
    lease.acquire()
    core = core or Core.load(
        Snapshot(framework_id=None, jobs=[], tasks=[], attempts=[], agents=[]),
        SETTINGS,
        make_id=lambda at: "A1",
        now=NOON,
    )
    return Loop(
        core=core,
        load=load or (lambda: core),
        shell=a_shell(diary),
        jobs=jobs,
        inbox=inbox,
        lease=lease,
        metrics=Metrics(),
        prune=prune,
        clock=clock,
        **more,
    )


def test_the_loop_reads_the_jobs_takes_the_stream_in_order_and_stops():
    """One read however often the database called; the last turn writes that the scheduler is gone."""
    diary, inbox, jobs = Diary(), Inbox(), Jobs()
    subscribed = {"type": "SUBSCRIBED", "subscribed": {"framework_id": {"value": "f1"}}}
    for item in (Signal.DESIRED, subscribed, {"type": "UPDATE"}, Signal.DESIRED):
        inbox.put(item)
    loop = a_loop(diary, inbox, jobs)
    loop.run_once()
    inbox.put(Signal.STOP)
    loop.run()
    assert jobs.reads == 2
    assert "REVIVE" in diary.lines


def test_m06_a_leader_without_a_master_gives_up_after_a_while():
    """Its lease would keep away others that may find one; while it is subscribed it stays, however quiet it is."""
    clock, inbox = [NOON], Inbox()
    loop = a_loop(Diary(), inbox, Jobs(), clock=lambda: clock[0], cut_off_s=60)
    subscribed = {"type": "SUBSCRIBED", "subscribed": {"framework_id": {"value": "f1"}}}
    for seconds, item in (
        (0, subscribed),
        (100, ev.Heartbeat()),
        (0, ev.Disconnected(reason="cut")),
        (60, ev.Heartbeat()),
    ):
        clock[0] += timedelta(seconds=seconds)
        inbox.put(item)
        loop.run_once()
    clock[0] += timedelta(seconds=1)
    inbox.put(ev.Heartbeat())
    with pytest.raises(CutOffError):
        loop.run_once()


def test_what_the_database_says_comes_before_what_happened_since_it_was_read():
    """A batch of [update, DESIRED]: the rows were read before the update was handled, so they are handled first."""
    handled: list[type] = []

    class Recorder:
        def handle(self, events: list[ev.Event], now: datetime) -> fx.Effects:
            handled.extend(map(type, events))
            return fx.Effects()

    inbox = Inbox()
    loop = a_loop(Diary(), inbox, Jobs(), core=Recorder())
    inbox.put(ev.Heartbeat())
    inbox.put(Signal.DESIRED)
    loop.run_once()
    assert handled == [ev.JobSeen, ev.Heartbeat]


def test_what_is_old_is_deleted_every_hour_and_slice_by_slice():
    """Ten seconds after a slice the next one, until nothing is left."""
    slices, asked, seconds = [5, 5, 0, 0], [], [0.0]

    def prune(now: datetime) -> int:
        asked.append((now - NOON).total_seconds())
        return slices.pop(0)

    inbox = Inbox()
    loop = a_loop(Diary(), inbox, Jobs(), prune=prune, clock=lambda: NOON + timedelta(seconds=seconds[0]))
    for seconds[0] in range(0, 4000, 5):
        inbox.put(ev.Heartbeat())
        loop.run_once()
    assert asked == [10, 20, 30, 3630]


class Picky(Diary):
    """A database that takes everything but one word."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    def apply(self, changes: Sequence[Change], *, epoch: int, now: datetime) -> None:
        if any(getattr(change, "message", None) == "poison" for change in changes):
            raise RefusedByDatabaseError("poison")
        self.world.store.apply(tuple(changes))


def test_an_update_that_the_database_refuses_fails_its_attempt_alone():
    """The others of its batch are written as they came, and all are acknowledged: none comes again for ever."""
    world = World().subscribe().submit(a_job(size=3)).offer()
    ends = [
        world.an_update(attempt.id, "FINISHED", AttemptReport(message=message))
        for attempt, message in zip(world.launched(), ("well", "poison", "well"), strict=True)
    ]
    inbox, diary, jobs = Inbox(), Picky(world), Jobs()
    jobs.changed = []
    loop = a_loop(diary, inbox, jobs, core=world.core, load=lambda: world.restart().core)
    for update in ends:
        inbox.put(update)
    loop.run_once()
    states = [world.attempt(attempt.id).state for attempt in world.launched()]
    assert states == [AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.SUCCEEDED]
    assert world.task(1).message == "what its executor reported cannot be stored: poison"
    assert (world.job().state, world.task(1).cause) == (JobState.FAILED, Cause.OUTPUT)
    assert diary.lines.count("ACKNOWLEDGE") == 3
    loop.run_once()
    assert diary.lines.count("resubscribe") == 1, "nobody knows any more what the core before was offered"
    world.store.check_counts()


def test_an_update_of_a_running_attempt_that_the_database_refuses_counts_by_its_state():
    """It runs on; what it said is lost."""
    world = World().subscribe().submit(a_job()).offer()
    attempt_id = world.launched()[0].id
    inbox, diary = Inbox(), Picky(world)
    loop = a_loop(diary, inbox, Jobs(), core=world.core, load=lambda: world.restart().core)
    inbox.put(world.an_update(attempt_id, "RUNNING", AttemptReport(message="poison")))
    loop.run_once()
    assert world.attempt(attempt_id).state is AttemptState.RUNNING
    assert diary.lines.count("ACKNOWLEDGE") == 1


def test_a_retry_of_very_many_tasks_is_taken_in_by_slices():
    """Each turn writes a bounded number of rows; the wish counts as fulfilled with the last."""
    world = World().subscribe().submit(a_job(size=2500, cpus=0.001, mem=1, retry={"max_attempts": 1}))
    world.offer().offer().offer()
    world.happen(*(world.an_update(attempt.id, "FAILED") for attempt in world.launched()))
    world.store.jobs["j1"] = replace(world.job(), desired_rev=2, retry_rev=1)

    class Failed(Jobs):
        def read_changed_jobs(self) -> list:
            return [job for job in world.store.jobs.values() if job.observed_rev < job.desired_rev]

        def read_failed(self, job_id: str, after: int | None, limit: int) -> tuple[list, int | None]:
            first = 0 if after is None else after + 1
            return [world.task(index) for index in range(first, min(2500, first + limit))], (
                first + limit - 1 if first + limit < 2500 else None
            )

    inbox = Inbox()
    loop = a_loop(Picky(world), inbox, Failed(), core=world.core)
    inbox.put(Signal.DESIRED)
    loop.run_once()
    assert (world.job().counts.pending, world.job().retry_rev_done, world.job().observed_rev) == (SLICE, 0, 1)
    loop.run_once()
    assert (world.job().counts.pending, world.job().retry_rev_done, world.job().observed_rev) == (2500, 1, 2)
    assert inbox.take(0) == []
    world.store.check_counts()


def test_the_inbox_gives_all_there_is_and_waits_for_no_more():
    """Group commit: what has gathered is one batch."""
    inbox = Inbox()
    inbox.put(ev.Heartbeat())
    inbox.put(Signal.DESIRED)
    assert inbox.take(10) == [ev.Heartbeat(), Signal.DESIRED]
    assert inbox.take(0) == []


class Listener:
    """A database that has news once."""

    def __init__(self) -> None:
        self.closed = False
        self.waits = 0

    def wait(self, timeout_s: float) -> bool:
        self.waits += 1
        return True

    def wake(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def test_the_watch_turns_news_into_signals_and_closes_its_listener():
    """Its thread ends with `stop`."""
    inbox, listener = Inbox(), Listener()
    watch = Watch(listener, inbox)
    watch.start()
    assert Signal.DESIRED in inbox.take(10)
    watch.stop()
    assert listener.closed


def test_a_thread_that_dies_takes_the_loop_with_it():
    """Crash-only: a scheduler that hears no more of new jobs begins anew."""

    class Broken(Listener):
        def wait(self, timeout_s: float) -> bool:
            raise OSError("gone")

    inbox = Inbox()
    watch = Watch(Broken(), inbox)
    watch.start()
    loop = a_loop(Diary(), inbox, Jobs())
    with pytest.raises(OSError, match="gone"):
        loop.run()
    watch.stop()


def test_the_lister_outlives_whatever_the_master_answers():
    """A proxy's page, a list where an object belongs, an error of the query: the next request is served."""

    class Operator:
        def __init__(self) -> None:
            self.answers: list[Any] = [ValueError("no JSON"), [], {"get_agents": [1]}, {"get_agents": {"agents": [7]}}]

        def query(self, message: Message) -> tuple[CallResult, Message]:
            answer = self.answers.pop(0) if self.answers else {"get_agents": {}}
            if isinstance(answer, Exception):
                raise answer
            return SENT, answer

    inbox, operator = Inbox(), Operator()
    lister = AgentLister(operator, inbox.put, clock=lambda: NOON)
    lister.start()
    taken: list[Any] = []
    while not taken:
        lister.request()
        taken = inbox.take(0.01)
    assert taken == [ev.AgentsListed(agents=(), asked_at=NOON)]
    assert operator.answers == []
    lister.stop()


def test_the_lister_answers_a_request_with_a_list():
    """On its own thread."""

    class Operator:
        def query(self, message: Message) -> tuple[CallResult, Message]:
            return SENT, {"type": "GET_AGENTS", "get_agents": {}}

    inbox = Inbox()
    lister = AgentLister(Operator(), inbox.put, clock=lambda: NOON)
    lister.start()
    lister.request()
    assert inbox.take(10) == [ev.AgentsListed(agents=(), asked_at=NOON)]
    lister.stop()

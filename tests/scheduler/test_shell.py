"""The shell commits before it speaks, and says nothing at all where it may not act."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scheduler.core import effects as fx
from scheduler.core import events as ev
from scheduler.core.reactor import Core
from scheduler.lease import Lease, is_dead, make_holder
from scheduler.listing import AgentLister
from scheduler.loop import Inbox, Loop, Signal, Watch
from scheduler.messages import Writer
from scheduler.metrics import Metrics
from scheduler.shell import Shell, StoppedError
from swath.domain.changes import Change, PutSchedulerStatus, SetFrameworkId
from swath.domain.errors import LeadershipLostError, StoreUnavailableError
from swath.store.rows import Snapshot
from swath.wire.calls import Message
from swath.wire.channel import CallResult, Outcome
from tests.scheduler.world import NOON, SETTINGS, a_job

SENT = CallResult(outcome=Outcome.SENT, status=202)
WRITE = PutSchedulerStatus(connected=True)


class Diary:
    """A store, a driver and a fence that write down in which order they were used."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.suppressed: tuple[str, ...] = ()
        self.epoch: int | None = 7
        self.store_error: Exception | None = None
        self.fence_error: Exception | None = None
        self.answer = SENT

    def apply(self, changes: Sequence[Change], *, epoch: int, now: datetime) -> None:
        if self.store_error is not None:
            raise self.store_error
        self.lines.append(f"commit {len(changes)} in epoch {epoch}")

    def calls(self, messages: Sequence[Message]) -> list[CallResult]:
        self.lines += [message["type"] for message in messages]
        return [self.answer] * len(messages)

    def resubscribe(self, reason: str = "") -> None:
        self.lines.append("resubscribe")

    def check(self) -> None:
        if self.fence_error is not None:
            raise self.fence_error


def a_shell(diary: Diary, **more: Any) -> Shell:
    writer = Writer(role="eo", executor={}, outputs_root="/out", read_items=lambda job, indices: {})
    return Shell(
        store=diary,
        driver=diary,
        fence=diary,
        writer=writer,
        list_agents=lambda: diary.lines.append("list"),
        metrics=Metrics(),
        **more,
    )


ACK = fx.Acknowledge(agent_id="a", task_id="t", uuid="u")


def test_changes_are_committed_before_any_call():
    """DESIGN.md 1: commit, then speak."""
    diary = Diary()
    a_shell(diary).perform(fx.Effects(changes=(WRITE, WRITE), calls=(ACK, fx.ListAgents())), NOON)
    assert diary.lines == ["commit 2 in epoch 7", "ACKNOWLEDGE", "list"]


def test_a_revive_does_not_wait_for_the_commit():
    """It tells of nothing that is written, and offers come meanwhile."""
    diary = Diary()
    a_shell(diary).perform(fx.Effects(changes=(WRITE,), calls=(ACK, fx.Revive())), NOON)
    assert diary.lines == ["REVIVE", "commit 1 in epoch 7", "ACKNOWLEDGE"]


def test_without_a_commit_nothing_is_acknowledged():
    """An outage of the database: the agent keeps the update and sends it again."""
    diary = Diary()
    diary.store_error = StoreUnavailableError("away")
    with pytest.raises(StoreUnavailableError):
        a_shell(diary).perform(fx.Effects(changes=(WRITE,), calls=(ACK,)), NOON)
    assert diary.lines == []


def test_without_the_lease_nothing_is_written_or_said():
    """M6."""
    diary = Diary()
    diary.fence_error = LeadershipLostError("gone")
    with pytest.raises(LeadershipLostError):
        a_shell(diary).perform(fx.Effects(changes=(WRITE,), calls=(ACK, fx.Revive())), NOON)
    assert diary.lines == []


def test_the_next_subscription_is_suppressed_when_this_one_is():
    """M28: subscribe suppressed when idle."""
    diary = Diary()
    shell = a_shell(diary)
    shell.perform(fx.Effects(calls=(fx.Suppress(),)), NOON)
    assert diary.suppressed == ("eo",)
    shell.perform(fx.Effects(calls=(fx.Revive(),)), NOON)
    assert diary.suppressed == ()


def test_a_refused_call_about_offers_begins_a_new_subscription_once():
    """What the master believes of our offers would stay wrong; but never a storm of subscriptions."""
    diary = Diary()
    diary.answer = CallResult(outcome=Outcome.FAILED, status=400, message="bad")
    shell = a_shell(diary)
    for _ in range(3):
        shell.perform(fx.Effects(calls=(fx.Decline(offer_ids=("o",), refuse_s=1),)), NOON)
    assert diary.lines.count("resubscribe") == 1


def test_a_call_about_offers_that_fails_soon_after_a_new_subscription_leads_to_another_one_later():
    """The REVIVE that the master never got is made good ten seconds after the subscription before."""
    seconds = [0.0]
    diary = Diary()
    shell = a_shell(diary, clock=lambda: seconds[0])
    diary.answer = CallResult(outcome=Outcome.FAILED, status=None, message="reset")
    for _ in range(2):
        shell.perform(fx.Effects(calls=(fx.Revive(),)), NOON)
    diary.answer = SENT
    shell.perform(fx.Effects(), NOON)
    assert diary.lines.count("resubscribe") == 1
    seconds[0] = 10.0
    for _ in range(2):
        shell.perform(fx.Effects(), NOON)
    assert diary.lines.count("resubscribe") == 2


def test_a_core_that_gives_up_is_heard_after_its_changes_are_committed():
    """The framework id is forgotten before the program ends."""
    diary = Diary()
    stop = fx.Stop(kind=fx.StopKind.REMOVED, message="removed")
    with pytest.raises(StoppedError):
        a_shell(diary).perform(fx.Effects(changes=(SetFrameworkId(framework_id=None),), calls=(stop,)), NOON)
    assert diary.lines == ["commit 1 in epoch 7"]


# The loop


class FakeLeadership:
    """One row in memory."""

    def __init__(self) -> None:
        self.holder: str | None = None
        self.epoch = 0
        self.until = datetime.min.replace(tzinfo=UTC)

    def acquire(self, holder: str, now: datetime, lease_s: float) -> int | None:
        if self.holder not in (None, holder) and self.until > now:
            return None
        self.holder, self.epoch, self.until = holder, self.epoch + 1, now + timedelta(seconds=lease_s)
        return self.epoch

    def renew(self, epoch: int, now: datetime) -> bool:
        return epoch == self.epoch and self.holder is not None

    def release(self, epoch: int, now: datetime) -> bool:
        if epoch != self.epoch:
            return False
        self.holder = None
        return True


def a_lease(row: FakeLeadership, clock: list[datetime], holder: str = "here") -> Lease:
    return Lease(row, lease_s=15, find_leader=lambda: row.holder, clock=lambda: clock[0], holder=holder)


def test_a_lease_that_is_not_renewed_stops_every_call():
    """M6: by its own clock, before anybody else can have taken over."""
    clock = [NOON]
    lease = a_lease(FakeLeadership(), clock)
    assert lease.acquire()
    lease.check()
    clock[0] += timedelta(seconds=15)
    with pytest.raises(LeadershipLostError):
        lease.check()


def test_a_second_scheduler_waits_until_the_first_lets_go():
    """One leads, the other stands by; a release hands over at once."""
    row, clock = FakeLeadership(), [NOON]
    first, second = a_lease(row, clock, "one"), a_lease(row, clock, "two")
    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire()
    first.epoch = 1
    with pytest.raises(LeadershipLostError):
        first.renew()


def a_holder(**changed: str) -> str:
    """This process's name with some of its parts changed."""
    parts = dict(zip(("host", "boot", "namespace", "pid", "start"), make_holder().rsplit(":", 4), strict=True))
    return ":".join((parts | changed).values())


def test_a_dead_leader_of_this_host_is_replaced_without_waiting_for_its_lease():
    """A scheduler that is killed and started again leads at once."""
    row, clock = FakeLeadership(), [NOON]
    assert a_lease(row, clock, a_holder(start="1")).acquire()
    successor = a_lease(row, clock, "successor")
    assert successor.acquire()
    assert (row.holder, successor.epoch) == ("successor", row.epoch)


@pytest.mark.parametrize("changed", [{"start": "1"}, {"pid": "4194305"}])
def test_a_process_that_is_not_there_is_dead(changed: dict[str, str]):
    """Its pid is another process's by now, or nobody's."""
    assert is_dead(a_holder(**changed))


@pytest.mark.parametrize("changed", [{}, {"namespace": "1", "pid": "4194305"}, {"boot": "another", "pid": "4194305"}])
def test_a_leader_that_may_live_is_left_alone(changed: dict[str, str]):
    """This process; a pid of another container's namespace, or of another machine, whatever the pid is here."""
    assert not is_dead(a_holder(**changed))


@pytest.mark.parametrize("holder", ["elsewhere:1:1.0", "nonsense", ""])
def test_a_leader_whose_name_says_nothing_is_left_alone(holder: str):
    """Its lease has to expire."""
    assert not is_dead(holder)


class Jobs:
    """The api's wishes."""

    def __init__(self) -> None:
        self.changed = [a_job()]
        self.reads = 0

    def read_changed_jobs(self) -> list:
        self.reads += 1
        taken, self.changed = self.changed, []
        return taken

    def read_tasks(self, job_id: str, state: object) -> list:
        return []


def a_loop(diary: Diary, inbox: Inbox, jobs: Jobs, core: object = None) -> Loop:
    lease = a_lease(FakeLeadership(), [NOON])
    lease.acquire()
    core = core or Core.load(
        Snapshot(framework_id=None, jobs=[], tasks=[], attempts=[], agents=[]),
        SETTINGS,
        make_id=lambda at: "A1",
        now=NOON,
    )
    return Loop(
        core=core, shell=a_shell(diary), jobs=jobs, inbox=inbox, lease=lease, metrics=Metrics(), clock=lambda: NOON
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


def test_the_lister_answers_a_request_with_a_list():
    """On its own thread."""

    class Operator:
        def query(self, message: Message) -> tuple[CallResult, Message]:
            return SENT, {"type": "GET_AGENTS", "get_agents": {}}

    inbox = Inbox()
    lister = AgentLister(Operator(), inbox.put)
    lister.start()
    lister.request()
    assert inbox.take(10) == [ev.AgentsListed(agents=())]
    lister.stop()

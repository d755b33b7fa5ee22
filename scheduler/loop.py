"""One queue for everything that happens: the driver's stream, the database's notification, lists of agents, time."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Protocol

import structlog

from scheduler.core import events as ev
from scheduler.core.from_mesos import to_event
from scheduler.core.reactor import Core
from scheduler.core.slot_news import divide
from scheduler.inbox import Inbox, Item, Signal, Unread
from scheduler.lease import Lease
from scheduler.metrics import Metrics
from scheduler.shell import Shell
from swath.domain.changes import PutTask
from swath.domain.errors import RefusedByDatabaseError, SwathError, WireError
from swath.domain.states import Desired
from swath.domain.wishes import Wishes
from swath.store.rows import JobRecord
from swath.wire.calls import Message

log = structlog.get_logger()

SLICE = 2000  # failed tasks of a job that one turn makes wait again at most, for the same reason
PRUNE_S = 3600.0  # between deletions of old events and keys
PRUNE_AGAIN_S = 10.0  # while there is more to delete
POLL_S = 10.0  # a lost notification costs at most this (DESIGN.md 1)


class CutOffError(SwathError):
    """The leader finds no master: another scheduler may stand where there is one."""


class Jobs(Protocol):
    """Where the api's wishes are read."""

    def read_changed_jobs(self) -> list[JobRecord]: ...

    def read_operator_wishes(self) -> Wishes: ...

    def read_failed(self, job_id: str, after: int | None, limit: int) -> tuple[list[PutTask], int | None]: ...


class Loop:
    """Runs one core until it is told to stop, or something raises."""

    def __init__(
        self,
        *,
        core: Core,
        load: Callable[[], Core],
        shell: Shell,
        jobs: Jobs,
        inbox: Inbox,
        lease: Lease,
        metrics: Metrics,
        prune: Callable[[datetime], int],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        cut_off_s: float = math.inf,
    ) -> None:
        """`load` makes another core, of what the database remembers; `prune` deletes a slice of what has had its time there,
        and says how many rows that was. `cut_off_s` is how long it goes on without a subscription.
        """
        self._core = core
        self._load = load
        self._shell = shell
        self._jobs = jobs
        self._inbox = inbox
        self._lease = lease
        self._metrics = metrics
        self._clock = clock
        self._wake_at: datetime | None = None
        self._cut_off_s = cut_off_s
        self._is_subscribed, self._subscribed_at = False, clock()
        self._prune = prune
        self._prune_at = clock() + timedelta(seconds=PRUNE_AGAIN_S)
        self._retried: dict[str, tuple[int, int | None]] = {}  # job -> the retry under way, and how far it has got

    def run(self) -> None:
        """Handle batches until a STOP; raises what the shell raises, and CutOffError."""
        self._turn([Signal.DESIRED])
        while self.run_once():
            pass
        self._turn([ev.Disconnected(reason="the scheduler stops")])

    def run_once(self) -> bool:
        """Wait for a batch and handle it; False for a STOP."""
        items = self._inbox.take(self._patience_s())
        for error in (item for item in items if isinstance(item, Exception)):
            raise error
        if Signal.STOP in items:
            return False
        if self._clock() >= self._lease.renew_at:
            self._lease.renew()
        self._turn(items)
        self._prune_if_due()
        return True

    def _prune_if_due(self) -> None:
        """One slice now and then: the loop never waits for long."""
        now = self._clock()
        if now >= self._prune_at:
            self._prune_at = now + timedelta(seconds=PRUNE_AGAIN_S if self._prune(now) else PRUNE_S)

    def _give_up_if_cut_off(self, events: Sequence[ev.Event]) -> None:
        for event in events:
            if isinstance(event, ev.Subscribed | ev.Disconnected):
                self._is_subscribed = isinstance(event, ev.Subscribed)
        now = self._clock()
        if self._is_subscribed:
            self._subscribed_at = now
        elif (silent_s := (now - self._subscribed_at).total_seconds()) > self._cut_off_s:
            raise CutOffError(f"no master has taken our subscription for {silent_s:.0f} s")

    def _turn(self, items: list[Item]) -> None:
        begun = time.perf_counter()
        for item in items:
            if isinstance(item, Unread):
                self._shell.decline(item.offer_ids)
        events = list(self._to_events(items))
        self._metrics.count_events(events)
        try:
            self._handle(events)
        except RefusedByDatabaseError as error:
            log.error("batch_refused", reason=str(error), events=len(events))
            self._handle_apart(events)
        self._give_up_if_cut_off(events)
        self._metrics.turn_s.observe(time.perf_counter() - begun)

    def _handle(self, events: Sequence[ev.Event]) -> None:
        """One turn of the core, and those that follow from it."""
        while True:
            now = self._clock()
            effects = self._core.handle(events, now)
            self._wake_at = effects.wake_at
            self._metrics.outstanding.set(effects.outstanding)
            events = self._shell.perform(effects, now)
            if not events:
                break

    def _handle_apart(self, events: Iterable[ev.Event]) -> None:
        """Find the event that brings what no database takes, and let it alone bear that: it would come again for ever."""
        self._begin_anew()
        for event in chain.from_iterable(map(divide, events)):
            if self._clock() >= self._lease.renew_at:
                self._lease.renew()
            try:
                self._handle([event])
            except RefusedByDatabaseError as error:
                log.error("event_refused", type=type(event).__name__, reason=str(error))
                self._begin_anew()
                if isinstance(event, ev.Update):
                    self._handle([ev.Unstorable(update=event, reason=str(error))])
        # What the cores before this one were offered, nobody knows any more: a new subscription makes it void (M29).
        self._shell.owe_subscription("a batch was refused by the database")

    def _begin_anew(self) -> None:
        """The core believes in what was not written: load another. It goes on with the same subscription."""
        before = self._core.state
        self._core = self._load()
        if before.connected and before.framework_id is not None:
            self._handle([ev.Subscribed(framework_id=before.framework_id, master=before.master)])
        self._inbox.put(Signal.DESIRED)  # what operators want comes by this alone

    def _to_events(self, items: Sequence[Item]) -> Iterator[ev.Event]:
        """The core's events, in order; however often the database has called, it is read once.

        What is read there agrees with the core as the turn begins: it goes first, before what changes tasks.
        """
        if Signal.DESIRED in items:
            yield from map(self._to_seen, self._jobs.read_changed_jobs())
            wishes = self._jobs.read_operator_wishes()
            if wishes.agents or wishes.framework is not None:
                yield ev.WishesSeen(wishes=wishes)
            if wishes.projects is not None:
                yield ev.ProjectsSeen(tree=wishes.projects)
        for item in items:
            if isinstance(item, dict):
                if (event := _convert(item)) is not None:
                    yield event
            elif not isinstance(item, Signal | Unread | Exception):
                yield item

    def _to_seen(self, record: JobRecord) -> ev.JobSeen:
        """The job, and where a retry is asked for the next slice of what has failed: the rest comes in the turns after."""
        if record.retry_rev == record.retry_rev_done:
            return ev.JobSeen(record=record)
        if record.desired is Desired.CANCELLED:
            self._retried.pop(record.id, None)
            return ev.JobSeen(record=record)
        revision, after = self._retried.pop(record.id, (record.retry_rev, None))
        if revision != record.retry_rev:
            after = None
        failed, after = self._jobs.read_failed(record.id, after, SLICE)
        if after is not None:
            self._retried[record.id] = (record.retry_rev, after)
            self._inbox.put(Signal.DESIRED)
        return ev.JobSeen(record=record, failed=tuple(failed), more=after is not None)

    def _patience_s(self) -> float:
        """Seconds until something is due."""
        until = self._lease.renew_at if self._wake_at is None else min(self._wake_at, self._lease.renew_at)
        return max(0.0, (until - self._clock()).total_seconds())


class Waiter(Protocol):
    """The store's listener."""

    def wait(self, timeout_s: float) -> bool: ...

    def wake(self) -> None: ...

    def close(self) -> None: ...


class Watch:
    """A thread that puts DESIRED into the inbox whenever the database has news, and now and then without."""

    def __init__(self, listener: Waiter, inbox: Inbox) -> None:
        self._listener = listener
        self._inbox = inbox
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="swath notification", daemon=True)

    def start(self) -> None:
        """Begin to wait."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and close the listener's connection."""
        self._stopped.set()
        self._listener.wake()
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                self._listener.wait(POLL_S)
                self._inbox.put(Signal.DESIRED)
        except Exception as error:
            self._inbox.put(error)


def _convert(message: Message) -> ev.Event | None:
    """The core's event; a message that makes no sense is logged, for the next one may."""
    try:
        return to_event(message)
    except WireError as error:
        log.error("event_not_understood", error=str(error))
        return None

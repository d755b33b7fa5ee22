"""News for whoever follows: one thread listens to the store, reads new events once, and wakes the followers of the event loop.

A follower that waits is a suspended coroutine: it holds neither a thread nor a connection. The thread listens only while
there are followers.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import Protocol

import structlog
from starlette.concurrency import run_in_threadpool

from api.pace import Pace
from swath.domain.errors import StoreUnavailableError
from swath.store.rows import EventRow

REMEMBERED = 4096  # events, for the followers that are up to date; the others read the table
BATCH = 500  # events a read
GATHER_S, LONGEST_GATHER_S = 0.03, 0.2  # after news, so that a burst of commits is read once
LONGEST_WAIT_S = 2.0  # "A lost notification costs at most one poll"

log = structlog.get_logger()


class NewsSource(Protocol):
    """The store's listener."""

    def wait(self, timeout_s: float) -> bool: ...

    def wake(self) -> None: ...

    def close(self) -> None: ...


class EventStore(Protocol):
    """Where events are read from."""

    def read_events(self, after: int, *, job_id: str | None = None, limit: int = BATCH) -> list[EventRow]: ...

    def last_event_id(self) -> int: ...


class Observer:
    """The followers of one event loop, and the thread that works for them."""

    def __init__(
        self, store: EventStore, make_source: Callable[[], NewsSource], *, pause_s: float = LONGEST_WAIT_S
    ) -> None:
        """`pause_s` is the time between a failure to read and the next try."""
        self._pause_s = pause_s
        self._pace = Pace(first_s=GATHER_S, longest_s=LONGEST_GATHER_S)
        self._store = store
        self._make_source = make_source
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._source: NewsSource | None = None
        self._followers = 0
        self._wanted = threading.Event()  # somebody follows, or the end has come
        self._stopping = threading.Event()
        self._news = asyncio.Event()  # replaced at every piece of news
        self._closed = False
        self._tail: deque[EventRow] = deque(maxlen=REMEMBERED)
        # Everything after the id _floor, up to _last, is in the tail. None: nothing has been read yet.
        self._floor: int | None = None
        self._last = 0

    @property
    def closed(self) -> bool:
        """True once the service is stopping: followers end."""
        return self._closed

    def close(self) -> None:
        """End every follower at once, and the thread. Called on the event loop's thread; twice is once."""
        if self._closed:
            return
        self._closed = True
        self._stopping.set()
        self._wanted.set()
        if self._source is not None:
            self._source.wake()
        self._announce([])

    def join(self) -> None:
        """Wait for the thread's end, after `close`."""
        if self._thread is not None:
            self._thread.join()
        if self._source is not None:
            self._source.close()

    @contextmanager
    def following(self) -> Iterator[None]:
        """For as long as somebody waits for news."""
        self._followers += 1
        self._loop = asyncio.get_running_loop()
        if self._thread is None:
            self._thread = threading.Thread(target=self._listen, name="observer", daemon=True)
            self._thread.start()
        if not self._closed:
            self._wanted.set()
        try:
            yield
        finally:
            self._followers -= 1
            if self._followers == 0 and not self._closed:
                self._wanted.clear()

    def next_news(self) -> asyncio.Event:
        """Set at the next piece of news. Take it, read, then wait for it: nothing is missed between."""
        return self._news

    @property
    def last(self) -> int:
        """The id of the last event that was read."""
        return self._last

    async def gather(self, seconds: float, after: int, job: str) -> None:
        """Let so much time pass; less where an event after `after` tells that the job's state has changed."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not self._closed and not self._has_changed(after, job):
            try:
                await asyncio.wait_for(self._news.wait(), deadline - loop.time())
            except TimeoutError:
                return

    def _has_changed(self, after: int, job: str) -> bool:
        recent = takewhile(lambda event: event.id > after, reversed(self._tail))
        return any(event.job_id == job and event.kind == "job.state" for event in recent)

    async def follow_events(self, after: int, job: str | None) -> AsyncIterator[Sequence[EventRow]]:
        """The events after id `after`, of one job or of all, in batches, as they come; an empty batch when there was none."""
        while not self._closed:
            news, known = self._news, self._last
            recalled = self._recall(after, job)
            if recalled is None:
                batch = await run_in_threadpool(self._store.read_events, after, job_id=job, limit=BATCH)
            else:
                batch = recalled
            yield batch
            if batch:
                after = batch[-1].id
            if len(batch) < BATCH:
                after = max(after, known)
                await news.wait()

    def _recall(self, after: int, job: str | None) -> list[EventRow] | None:
        """What the tail knows; None where it does not reach back far enough."""
        if self._floor is None or after < self._floor:
            return None
        return [event for event in self._tail if event.id > after and job in (None, event.job_id)][:BATCH]

    def _announce(self, events: Sequence[EventRow]) -> None:
        """On the event loop: remember events and wake everybody."""
        for event in events:
            if len(self._tail) == REMEMBERED:
                self._floor = self._tail[0].id
            self._tail.append(event)
            self._last = event.id
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _begin(self, last: int) -> None:
        """On the event loop: the tail begins (again) after event `last`."""
        self._tail.clear()
        self._floor = self._last = last

    # The thread

    def _listen(self) -> None:
        last: int | None = None
        while not self._closed:
            if not self._wanted.is_set():
                last = None  # what passes while nobody looks is not remembered
                self._wanted.wait()
                continue
            try:
                last = self._listen_once(last)
            except StoreUnavailableError as error:
                log.warning("the database does not answer; followers wait", reason=str(error))
                self._stopping.wait(self._pause_s)
            except Exception:  # without this thread every follower would wait for ever, and nobody would know why
                log.exception("events cannot be read; trying again")
                self._stopping.wait(self._pause_s)

    def _listen_once(self, last: int | None) -> int:
        """Wait for news, read them, and say how far."""
        if self._source is None:
            self._source = self._make_source()
        if last is None:
            last = self._store.last_event_id()
            self._call(self._begin, last)
            self._call(self._announce, [])
        if self._source.wait(LONGEST_WAIT_S):
            self._stopping.wait(self._pace.next_s(time.monotonic()))
        return self._read_on(last)

    def _read_on(self, last: int) -> int:
        while True:
            events = self._store.read_events(last, limit=BATCH)
            self._call(self._announce, events)
            if events:
                last = events[-1].id
            if len(events) < BATCH:
                return last

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(function, *arguments)

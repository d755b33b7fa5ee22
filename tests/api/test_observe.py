"""The thread that reads events for every follower outlives what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from api.observe import Observer
from swath.domain.errors import StoreUnavailableError
from swath.store.rows import EventRow
from tests.store.build import NOW

EVENT = EventRow(id=1, job_id="J", at=NOW, kind="job.state", data={})


class Store:
    """One event, and a fault at the first reads."""

    def __init__(self, *faults: Exception) -> None:
        self._faults = list(faults)

    def last_event_id(self) -> int:
        if self._faults:
            raise self._faults.pop(0)
        return 0

    def read_events(self, after: int, *, job_id: str | None = None, limit: int = 500) -> list[EventRow]:
        return [EVENT] if after == 0 else []


class Source:
    """News at once, and then none."""

    def wait(self, timeout_s: float) -> bool:
        return True

    def wake(self) -> None: ...

    def close(self) -> None: ...


def failing_once(error: Exception) -> Callable[[], Source]:
    """A way to a source that fails the first time."""
    errors = [error]

    def make() -> Source:
        if errors:
            raise errors.pop()
        return Source()

    return make


async def _first_event(observer: Observer) -> EventRow:
    """The first event that a follower is told of, by the thread and by nobody else."""
    with observer.following():
        while True:
            news = observer.next_news()
            if events := observer._recall(0, None):
                return events[0]
            await asyncio.wait_for(news.wait(), 10)


@pytest.mark.parametrize(
    "fault", [StoreUnavailableError("gone"), ValueError("a row that nobody can read"), OSError(24, "files")]
)
@pytest.mark.parametrize("at_the_source", [True, False])
def test_followers_hear_of_events_after_a_fault(fault: Exception, at_the_source: bool) -> None:
    """Whatever it was, and wherever: the thread tries again."""
    make = failing_once(fault) if at_the_source else Source
    observer = Observer(Store() if at_the_source else Store(fault, fault), make, pause_s=0.001)
    assert asyncio.run(_first_event(observer)) == EVENT
    observer.close()
    observer.join()


async def _gather(observer: Observer, job: str, seconds: float) -> float:
    """How long the observer lets pass while the event comes; seconds."""
    with observer.following():
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await observer.gather(seconds, 0, job)
        return loop.time() - begun


def test_a_change_of_the_jobs_state_ends_the_gathering() -> None:
    """Its end is told at once, however long progress is gathered."""
    observer = Observer(Store(), Source)
    assert asyncio.run(_gather(observer, EVENT.job_id or "", 60)) < 10
    observer.close()
    observer.join()


def test_what_concerns_another_job_does_not_end_the_gathering() -> None:
    """There may be a thousand of them."""
    observer = Observer(Store(), Source)
    assert asyncio.run(_gather(observer, "another", 0.2)) >= 0.19
    observer.close()
    observer.join()

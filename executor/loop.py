"""The executor's one thread of decisions: events from everywhere, in order, and the time."""

from __future__ import annotations

import os
import selectors
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from executor.events import Event, Moment

Work = Event | Callable[[], None]


class Inbox:
    """What other threads hand to the loop: events, and steps that only the loop's thread may take."""

    def __init__(self) -> None:
        self._work: deque[Work] = deque()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        """Readable when something is there."""
        return self._bell

    def post(self, work: Work) -> None:
        """Hand over; from any thread."""
        self._work.append(work)
        os.eventfd_write(self._bell, 1)

    def take(self, most: int) -> list[Work]:
        """The oldest of what is there; it stays readable while more is."""
        taken = [self._work.popleft() for _ in range(min(most, len(self._work)))]
        if self._work:
            os.eventfd_write(self._bell, 1)
        return taken

    def hush(self) -> None:
        """Stop being readable until the next `post`."""
        try:
            os.eventfd_read(self._bell)
        except BlockingIOError:
            return


def read_clocks() -> Moment:
    """Now."""
    return Moment(clock_s=time.monotonic(), at=datetime.now(UTC))


class Waiter:
    """Waits for the inbox and for files that become readable."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._selector = selectors.EpollSelector()
        self._selector.register(inbox, selectors.EVENT_READ, inbox.hush)

    def add(self, file: int, react: Callable[[], None]) -> None:
        """Call `react` whenever `file` is readable."""
        self._selector.register(file, selectors.EVENT_READ, react)

    def wait(self, timeout_s: float) -> None:
        """Wait for anything, for `timeout_s` at most, and react."""
        for key, _ in self._selector.select(timeout_s):
            key.data()

"""Threads for what may block."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

log = logging.getLogger(__name__)

MOST = 8  # at work at the same time, those that hang not counted
SLOW_S = 5.0  # so long at one piece of work, a thread counts as hanging and another may take its place


class Workers:
    """A few threads that share work, and more where some hang: a dead file system must not hold up what does not need it.

    `ThreadPoolExecutor` has neither: its threads are so many and no more, and the program's end waits for all of them.
    """

    def __init__(self, *, most: int = MOST, slow_s: float = SLOW_S) -> None:
        self._most = most
        self._slow_s = slow_s
        self._changed = threading.Condition()
        self._work: deque[Callable[[], None]] = deque()
        self._busy: dict[threading.Thread, float] = {}  # since when on one piece of work, on the monotonic clock
        self._idle = 0
        self._closed = False

    def submit(self, work: Callable[[], None]) -> None:
        """Have it done soon; an exception in it is logged."""
        with self._changed:
            self._work.append(work)
            self._grow()
            self._changed.notify()

    def relieve(self) -> None:
        """Replace threads that hang, where work waits; to be called from time to time."""
        with self._changed:
            self._grow()

    def close(self, timeout_s: float) -> bool:
        """Finish what was begun, for so long at most; False where something hangs, which is left to itself."""
        with self._changed:
            finished = self._changed.wait_for(lambda: not (self._work or self._busy), timeout_s)
            self._closed = True
            self._changed.notify_all()
        return finished

    def _grow(self) -> None:
        now = time.monotonic()
        at_work = self._idle + sum(now - since < self._slow_s for since in self._busy.values())
        while self._idle < len(self._work) and at_work < self._most:
            self._idle += 1
            at_work += 1
            threading.Thread(target=self._run, name="worker", daemon=True).start()

    def _run(self) -> None:
        me = threading.current_thread()
        while (work := self._take(me)) is not None:
            try:
                work()
            except Exception:  # nobody waits for it
                log.exception("work for an attempt failed")
            with self._changed:
                del self._busy[me]
                self._idle += 1
                self._changed.notify_all()

    def _take(self, me: threading.Thread) -> Callable[[], None] | None:
        """The next piece of work; None for a thread that is not needed any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._work or self._closed or self._is_superfluous())
            leaves = not self._work or self._is_superfluous()
            self._idle -= 1
            if leaves:
                return None
            self._busy[me] = time.monotonic()
            return self._work.popleft()

    def _is_superfluous(self) -> bool:
        """One that took the place of a thread which has come back."""
        return self._idle + len(self._busy) > self._most and self._idle > len(self._work)

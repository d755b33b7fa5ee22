"""A thread that looks at something now and then, and at once when it is woken."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from swath.domain.errors import StoreUnavailableError

FAILED_S = 10.0  # after a failure
STOP_S = 3.0  # until a look that does not end is left behind: what it writes, it writes by whole transactions

log = structlog.get_logger()


class Watch:
    """Calls `look`, which returns the seconds until it has to be called again."""

    def __init__(self, name: str, look: Callable[[], float]) -> None:
        self._name = name
        self._look = look
        self._awake = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def wake(self) -> None:
        """Look again: something has changed."""
        self._awake.set()

    def stop(self) -> None:
        """End after the look that is under way."""
        self._stopped = True
        self._awake.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)

    @property
    def stopped(self) -> bool:
        """True once somebody waits for the end: a long look ends early."""
        return self._stopped

    def _run(self) -> None:
        while not self._stopped:
            self._awake.clear()
            self._awake.wait(self._tried())

    def _tried(self) -> float:
        try:
            return self._look()
        except StoreUnavailableError as error:
            log.warning("watch_unread", watch=self._name, reason=str(error))
        except Exception as error:  # a thread that ends would end the watch, and tell nobody
            log.error("watch_failed", watch=self._name, exc_info=error)
        return FAILED_S

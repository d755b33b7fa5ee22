"""Which images are being pulled because somebody waits for them: what is pulled ahead makes room for these.

The engine downloads few layers at a time, all pulls together; the same image pulled twice it downloads once.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Pulls:
    """The pulls of launches; any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waited_for: Counter[str] = Counter()

    @contextmanager
    def waited_for(self, reference: str) -> Iterator[None]:
        """A launch waits for this image."""
        with self._lock:
            self._waited_for[reference] += 1
        try:
            yield
        finally:
            with self._lock:
                self._waited_for -= Counter([reference])

    def is_in_the_way(self, reference: str) -> bool:
        """True while a launch waits for another image: this one can wait."""
        with self._lock:
            return any(other != reference for other in self._waited_for)

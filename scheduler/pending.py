"""Updates that have come and are not acknowledged yet: "a slow acknowledgement delays the terminal one" (MESOS.md, M20)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from swath.wire.calls import Message


class Pending:
    """When each of them arrived; safe in any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._arrived: dict[str, float] = {}  # uuid -> when it first came, the oldest first
        self._lock = threading.Lock()

    def on_event(self, message: Message) -> None:
        """Take note of an UPDATE. With a new subscription all come again: those whose agent is gone never will."""
        kind = message.get("type")
        if kind == "SUBSCRIBED":
            self.clear()
        elif kind == "UPDATE" and (uuid := _find_uuid(message)) is not None:
            with self._lock:
                self._arrived.setdefault(uuid, self._clock())

    def on_acknowledged(self, uuid: str) -> None:
        """Its acknowledgement has been sent."""
        with self._lock:
            self._arrived.pop(uuid, None)

    def clear(self) -> None:
        """Nobody here acknowledges any more, or everything comes again."""
        with self._lock:
            self._arrived.clear()

    def oldest_s(self) -> float:
        """For how many seconds the oldest has been waiting; 0 when none is."""
        with self._lock:
            at = next(iter(self._arrived.values()), None)
        return 0.0 if at is None else max(0.0, self._clock() - at)


def _find_uuid(message: Message) -> str | None:
    """None for what is not to be acknowledged, or is not made like an update."""
    found: Any = message
    for name in ("update", "status", "uuid"):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, str) and found else None

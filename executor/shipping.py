"""Ships logs to the site's storage while they are written, so that they outlive their agent.

One thread for all attempts, and nothing that an attempt waits for: a storage that hangs or is full holds up this thread and no
other. What is on the storage is at any time a beginning of the log, and complete by one step.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from pathlib import Path

from executor.archives import Archive, Shipment
from executor.logs import STREAMS
from swath.domain.log_archive import log_directory

log = logging.getLogger(__name__)

SHIP_S = 1.0  # between two looks at the logs of attempts that run
_ROUND = 64 * 2**20  # bytes of one log at a time: a loud one does not hold up the others
_GIVE_UP_S = 600.0  # after the end of an attempt, on a storage that does not take its logs
_COMPLAIN_S = 60.0


class Shipper:
    """The logs of all attempts of this executor, to `archive`; `limit` bytes of each are kept."""

    def __init__(self, archive: Archive, limit: int) -> None:
        self._archive = archive
        self._limit = limit
        self._changed = threading.Condition()
        self._shipments: dict[str, Shipment] = {}
        self._closing = False
        self._complain_at_s = 0.0
        threading.Thread(target=self._run, name="logs", daemon=True).start()

    def begin(self, attempt: str, directory: Path, job: str, task: int) -> None:
        """Ship what is written into an attempt's directory from now on."""
        with self._changed:
            place = log_directory(job, task, attempt)
            self._shipments[attempt] = Shipment(source=directory, place=place, limit=self._limit)
            if len(self._shipments) == 1:
                self._changed.notify_all()

    def end(self, attempt: str) -> None:
        """Nothing more is written: the rest goes with the next look."""
        with self._changed:
            if (shipment := self._shipments.get(attempt)) is not None:
                shipment.ended_at_s = time.monotonic()

    def close(self, timeout_s: float) -> bool:
        """Ship what has ended, for so long at most; False where something is left, which the sandbox still has."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._shipments, timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._shipments)
                self._changed.wait_for(lambda: self._closing, SHIP_S)
                left = deque(self._shipments.items())
            others = min(self._archive.at_once, len(left)) - 1
            threads = [threading.Thread(target=self._ship_all, args=[left], daemon=True) for _ in range(others)]
            for thread in threads:
                thread.start()
            self._ship_all(left)
            for thread in threads:
                thread.join()

    def _ship_all(self, left: deque[tuple[str, Shipment]]) -> None:
        while True:
            try:
                attempt, shipment = left.popleft()
            except IndexError:
                return
            if self._ship(shipment):
                with self._changed:
                    del self._shipments[attempt]
                    self._changed.notify_all()

    def _ship(self, shipment: Shipment) -> bool:
        """Ship what is new; True when there is nothing more to do."""
        ended_at_s = shipment.ended_at_s  # first of all: what is written after this is seen the next time
        try:
            for stream in STREAMS:
                while self._ship_stream(shipment, stream, ended_at_s is not None) and ended_at_s is not None:
                    continue
            if ended_at_s is None:
                return False
            self._archive.finish(shipment)
            return True
        except Exception as error:
            self._complain(error)
            return ended_at_s is not None and time.monotonic() - ended_at_s > _GIVE_UP_S

    def _ship_stream(self, shipment: Shipment, stream: str, ended: bool) -> bool:
        """Ship a part of one log; True where there is more."""
        with shipment.opened(stream, ended=ended) as log:
            if log is None:
                return False
            source, size = log
            start = min(shipment.shipped[stream], size)  # the command may have cut it itself
            end = min(size, start + _ROUND)
            if end > start or start < shipment.shipped[stream]:
                shipment.shipped[stream] = self._archive.add(shipment, stream, source, start, end)
            return end < size and shipment.shipped[stream] == end

    def _complain(self, error: Exception) -> None:
        now = time.monotonic()
        if now >= self._complain_at_s:
            self._complain_at_s = now + _COMPLAIN_S
            log.warning("logs cannot be shipped: %s", error)

"""Ships logs to the site's storage while they are written, so that they outlive their agent.

One thread for all attempts, and nothing that an attempt waits for: a storage that hangs or is full holds up this thread and no
other. The kernel copies the bytes (sendfile). What is on the storage is at any time a beginning of the log, and complete by one
rename.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from executor.logs import STREAMS, notice
from executor.trees import DIRECTORY
from swath.domain.log_archive import PARTIAL, log_directory

log = logging.getLogger(__name__)

SHIP_S = 1.0  # between two looks at the logs of attempts that run
_CHUNK = 2**20
_ROUND = 64 * 2**20  # bytes of one log at a time: a loud one does not hold up the others
_GIVE_UP_S = 600.0  # after the end of an attempt, on a storage that does not take its logs
_COMPLAIN_S = 60.0
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class _Shipment:
    """One attempt's logs."""

    source: Path
    target: Path
    shipped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STREAMS, 0))  # bytes
    ended_at_s: float | None = None

    @property
    def partial(self) -> Path:
        """Where they lie until they are complete."""
        return self.target.with_name(self.target.name + PARTIAL)


class Shipper:
    """The logs of all attempts of this executor, to `root`; `limit` bytes of each are kept."""

    def __init__(self, root: Path, limit: int) -> None:
        self._root = root
        self._limit = limit
        self._changed = threading.Condition()
        self._shipments: dict[str, _Shipment] = {}
        self._closing = False
        self._complain_at_s = 0.0
        threading.Thread(target=self._run, name="logs", daemon=True).start()

    def begin(self, attempt: str, directory: Path, job: str, task: int) -> None:
        """Ship what is written into an attempt's directory from now on."""
        with self._changed:
            target = self._root / log_directory(job, task, attempt)
            self._shipments[attempt] = _Shipment(source=directory, target=target)
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
                shipments = dict(self._shipments)
            for attempt, shipment in shipments.items():
                if self._ship(shipment):
                    with self._changed:
                        del self._shipments[attempt]
                        self._changed.notify_all()

    def _ship(self, shipment: _Shipment) -> bool:
        """Ship what is new; True when there is nothing more to do."""
        ended_at_s = shipment.ended_at_s  # first of all: what is written after this is seen the next time
        try:
            for stream in STREAMS:
                while self._ship_stream(shipment, stream, ended_at_s is not None) and ended_at_s is not None:
                    continue
            if ended_at_s is None:
                return False
            with suppress(FileNotFoundError):  # it has written nothing
                shipment.partial.rename(shipment.target)
            return True
        except Exception as error:
            self._complain(error)
            return ended_at_s is not None and time.monotonic() - ended_at_s > _GIVE_UP_S

    def _ship_stream(self, shipment: _Shipment, stream: str, ended: bool) -> bool:
        """Ship a part of one log; True where there is more."""
        try:
            source = _open(shipment.source, stream)
        except FileNotFoundError:
            return False
        try:
            status = os.fstat(source)
            if not stat.S_ISREG(status.st_mode):  # what a command has put into its place
                return False
            # What lies beyond the limit is cut off at any time; only the end shows what stands there.
            size = min(status.st_size, self._limit + (len(notice(self._limit)) if ended else 0))
            start = min(shipment.shipped[stream], size)  # the command may have cut it itself
            end = min(size, start + _ROUND)
            if end > start or start < shipment.shipped[stream]:
                shipment.shipped[stream] = _copy(source, shipment.partial, stream, start, end)
            return end < size and shipment.shipped[stream] == end
        finally:
            os.close(source)

    def _complain(self, error: Exception) -> None:
        now = time.monotonic()
        if now >= self._complain_at_s:
            self._complain_at_s = now + _COMPLAIN_S
            log.warning("logs cannot be shipped to %s: %s", self._root, error)


def _open(directory: Path, stream: str) -> int:
    """Raises OSError, also where a command has put a link in the place of its directory or its log."""
    above = os.open(directory, DIRECTORY)
    try:
        return os.open(stream, _READ, dir_fd=above)
    finally:
        os.close(above)


def _copy(source: int, directory: Path, stream: str, start: int, end: int) -> int:
    """Copy [start, end) of a log; how far it came."""
    try:
        target = os.open(directory / stream, _WRITE, 0o644)
    except FileNotFoundError:
        directory.mkdir(parents=True, exist_ok=True)
        target = os.open(directory / stream, _WRITE, 0o644)
    try:
        os.ftruncate(target, start)
        os.lseek(target, start, os.SEEK_SET)
        while start < end:
            sent = os.sendfile(target, source, start, min(_CHUNK, end - start))
            if sent == 0:  # it was cut meanwhile
                break
            start += sent
        return start
    finally:
        os.close(target)

"""An attempt in its slot's warm container, or in one of its own where that cannot be."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from executor.logs import opened_logs
from executor.masking import MaskedLogs
from executor.runtimes.contained import CancelledError, Container, Ground
from executor.runtimes.engine import Ended, EngineError
from executor.runtimes.line import Ending, NotTakenError, WarmError
from executor.runtimes.port import Assignment
from executor.runtimes.warm import WarmContainer
from executor.usage import Sample

log = logging.getLogger(__name__)

_MOST_SPENT = 3  # containers that a slot's attempts may use up before they get one each


class Room:
    """What a slot has for its warm container; from any thread."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._warm: WarmContainer | None = None
        self._spent = 0
        self._lock = threading.Lock()  # while an attempt is in it: one that was given up may still be

    @contextmanager
    def lent(self, assignment: Assignment) -> Iterator[WarmContainer | None]:
        """The container, made if need be, for one attempt; None where it is to have its own."""
        if not self._lock.acquire(blocking=False):
            yield None
            return
        try:
            yield self._find(assignment)
        finally:
            if self._warm is not None and self._warm.is_spent:
                self._drop()
                self._spent += 1
            self._lock.release()

    def close(self) -> None:
        """The slot has ended."""
        with self._lock:
            self._spent = _MOST_SPENT
            self._drop()

    def _find(self, assignment: Assignment) -> WarmContainer | None:
        if self._warm is not None and not self._warm.lodging.suits(assignment):
            self._drop()  # a container's mounts cannot be changed, and the next one would hardly suit longer
            log.info("attempts of slot %s get a container each: their large inputs differ", assignment.order.slot)
            self._spent = _MOST_SPENT
        if self._warm is None and self._spent < _MOST_SPENT:
            try:
                self._warm = WarmContainer.open(assignment, self._ground)
            except WarmError as error:
                log.warning("attempts of slot %s get a container each: %s", assignment.order.slot, error)
                self._spent = _MOST_SPENT
        return self._warm

    def _drop(self) -> None:
        warm, self._warm = self._warm, None
        if warm is not None:
            warm.close()


class Guest(Container):
    """An attempt that may be in a warm container."""

    def __init__(self, assignment: Assignment, ground: Ground, room: Room) -> None:
        super().__init__(assignment, ground)
        self._room = room
        self._warm: WarmContainer | None = None
        self._forced = False
        self._before: Mapping[str, float] = {}  # what the container had used when the attempt began
        self._used: Mapping[str, float] = {}  # by the attempt, once it has ended

    def signal(self, *, force: bool) -> None:
        """To the attempt's processes; where SIGKILL does not help, the container goes."""
        warm = self._warm
        if warm is None:
            super().signal(force=force)
        elif force and self._forced:
            warm.kill()
        else:
            self._forced = force
            warm.signal(self.attempt, signal.SIGKILL if force else signal.SIGTERM)

    def find_elsewhere(self) -> Sequence[Path]:
        """What it has in the warm container."""
        return () if self._warm is None else self._warm.lodging.written

    def _live_in(self, image: Mapping[str, Any]) -> Ended:
        self._check()
        with self._room.lent(self._assignment) as warm:
            if warm is not None:
                try:
                    return self._visit(warm)
                except NotTakenError as error:
                    log.info("attempt %s gets a container of its own: %s", self.attempt, error)
                except WarmError as error:
                    return self._explain(warm, error)
        return super()._live_in(image)

    def _visit(self, warm: WarmContainer) -> Ended:
        with warm.lodging.hosting(self._assignment):
            self._check()
            ending = self._run_in(warm)
        self._used = ending.usage
        return Ended(exit_code=ending.exit_code, oom=ending.oom)

    def _run_in(self, warm: WarmContainer) -> Ending:
        directory, secrets = self._assignment.places.attempt_dir, self._assignment.secrets
        masked = MaskedLogs(directory, secrets.values()) if secrets else None
        with masked.opened() if masked else opened_logs(directory) as files:
            self._before = warm.begin(self._assignment, files)
        self.id, self._warm, self._running = warm.id, warm, True
        if self.abandoned_at_s is not None:
            raise CancelledError
        self._ground.post(self._started())
        ending = warm.await_end(self.attempt)
        if masked is not None:
            masked.drain()
        return ending

    def _explain(self, warm: WarmContainer, error: WarmError) -> Ended:
        """A container that has ended under its attempt: for want of memory, or for no fault of the attempt's."""
        if warm.was_oom():
            return Ended(exit_code=128 + signal.SIGKILL, oom=True)
        raise EngineError(f"the container that it shared has failed: {error}") from error

    def _take(self, sample: Sample) -> None:
        """What the attempt has of it: the container is older."""
        if self._warm is not None:
            moved = {name: max(0.0, value - self._before.get(name, 0.0)) for name, value in sample.moved.items()}
            cpu_s = max(0.0, sample.cpu_s - self._before.get("cpu_s", 0.0))
            sample = replace(sample, cpu_s=cpu_s, moved=moved, most=0.0)  # the kernel's maximum is of all of them
        super()._take(sample)

    def _to_usage(self) -> dict[str, float]:
        sampled = super()._to_usage()
        most = max(sampled.get("max_mem", 0.0), self._used.get("max_mem", 0.0))
        return {**sampled, **self._used} | ({"max_mem": most} if most else {})

"""Performs what the core decides. What may block goes to a few threads; all else is done at once, on the loop's thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import assert_never

from executor.driver import Driver
from executor.events import (
    Begin,
    Clean,
    Effect,
    Exit,
    Measure,
    Measured,
    NotPublished,
    NotStarted,
    Order,
    Publish,
    Published,
    Send,
    Signal,
)
from executor.journal import Entry, Journal
from executor.logs import trim
from executor.loop import Inbox
from executor.places import Places
from executor.publish import PublishError, publish
from executor.runtimes.choice import Runtimes
from executor.runtimes.port import Assignment, Runtime
from executor.settings import Settings
from executor.staging import StartError, resolve_inputs
from executor.usage import disk_mib
from swath.domain.retries import Cause

log = logging.getLogger(__name__)

_THREADS = 8  # a hung file system holds a thread for each attempt that meets it


@dataclass(slots=True)
class _Held:
    """What the shell knows of an attempt that has begun."""

    order: Order
    places: Places
    runtime: Runtime | None = None
    cancelled: bool = False  # was to end before it had started


class Shell:
    """Effects in, deeds out."""

    def __init__(
        self, *, settings: Settings, driver: Driver, inbox: Inbox, journal: Journal, runtimes: Runtimes
    ) -> None:
        self._settings = settings
        self._driver = driver
        self._inbox = inbox
        self._journal = journal
        self._runtimes = runtimes
        self._held: dict[str, _Held] = {}
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="shell")

    def perform(self, effect: Effect) -> None:
        """Do it, or see to it that it is done; whatever fails comes back as an event."""
        match effect:
            case Begin():
                self._begin(effect.order)
            case Signal():
                self._signal(effect.attempt, force=effect.force)
            case Measure():
                self._measure(self._held[effect.attempt], effect.attempt)
            case Publish():
                self._publish(self._held[effect.attempt], effect.attempt)
            case Send():
                self._send(effect)
            case Clean():
                self._clean(effect.attempt)
            case Exit():
                log.info("ending: %s", effect.message)
            case _:
                assert_never(effect)

    def _send(self, update: Send) -> None:
        data = update.report.to_json().encode()
        self._driver.send_update(update.task_id, update.state, data=data, message=update.message)

    def close(self) -> None:
        """Finish what was begun."""
        self._pool.shutdown(wait=True)

    def _begin(self, order: Order) -> None:
        held = _Held(order=order, places=Places.of(order, self._settings.sandbox))
        self._held[order.spec.attempt] = held
        if order.is_light:
            self._stage_and_start(held)
        else:
            self._pool.submit(self._stage_and_start, held)

    def _stage_and_start(self, held: _Held) -> None:
        try:
            assignment = self._stage(held)
        except StartError as error:
            self._not_started(held, error.cause, str(error))
        except OSError as error:
            self._not_started(held, Cause.AGENT, f"the attempt's directories cannot be made: {error}")
        except Exception as error:
            log.exception("attempt %s cannot be staged", held.order.spec.attempt)
            self._not_started(held, Cause.AGENT, f"the executor failed: {error!r}")
        else:
            self._inbox.post(lambda: self._start(held, assignment))

    def _stage(self, held: _Held) -> Assignment:
        order, places = held.order, held.places
        if places.scratch:  # first written down, then made: a kill -9 between the two loses nothing
            self._journal.begin(Entry(attempt=order.spec.attempt, scratch=str(places.scratch)))
        held.runtime = self._runtimes.choose(order)
        inputs = resolve_inputs(order.spec.files, self._settings.input_roots)
        places.make()
        return Assignment(order=order, places=places, inputs=inputs)

    def _start(self, held: _Held, assignment: Assignment) -> None:
        """On the loop's thread: the process runtime's children are children of that."""
        if held.cancelled or held.runtime is None:
            self._not_started(held, Cause.KILLED, "ended before it had started")
            return
        try:
            held.runtime.start(assignment)
        except StartError as error:
            self._not_started(held, error.cause, str(error))
        except Exception as error:
            log.exception("attempt %s cannot be started", assignment.attempt)
            self._not_started(held, Cause.AGENT, f"the executor failed: {error!r}")

    def _not_started(self, held: _Held, cause: Cause, message: str) -> None:
        attempt = held.order.spec.attempt
        sandbox = str(self._settings.host_sandbox / "attempts" / attempt) if held.places.attempt_dir.is_dir() else None
        self._inbox.post(NotStarted(attempt=attempt, cause=cause, message=message, sandbox=sandbox))

    def _signal(self, attempt: str, *, force: bool) -> None:
        held = self._held[attempt]
        held.cancelled = True
        if held.runtime is not None:
            held.runtime.signal(attempt, force=force)

    def _measure(self, held: _Held, attempt: str) -> None:
        self._runtimes.watch()

        def measure() -> None:
            begun = time.monotonic()
            trim(held.places.attempt_dir, self._settings.log_limit)
            places = held.places
            disk = disk_mib([places.attempt_dir, *([places.scratch] if places.scratch else [])])
            disk += held.runtime.observe(attempt) if held.runtime else 0.0
            self._inbox.post(Measured(attempt=attempt, disk=disk, took_s=time.monotonic() - begun))

        self._submit(measure)

    def _publish(self, held: _Held, attempt: str) -> None:
        if held.places.scratch is None:
            self._inbox.post(Published(attempt=attempt))
        else:
            self._submit(lambda: self._publish_files(held, attempt))

    def _publish_files(self, held: _Held, attempt: str) -> None:
        try:
            outputs = publish(held.order.manifest, held.places)
        except PublishError as error:
            self._inbox.post(NotPublished(attempt=attempt, cause=error.cause, message=str(error)))
        except Exception as error:
            log.exception("the outputs of attempt %s cannot be published", attempt)
            self._inbox.post(
                NotPublished(attempt=attempt, cause=Cause.AGENT, message=f"the executor failed: {error!r}")
            )
        else:
            self._inbox.post(
                Published(
                    attempt=attempt,
                    output_dir=str(held.places.target),
                    outputs=outputs.files,
                    json_outputs=outputs.json_outputs,
                )
            )

    def _clean(self, attempt: str) -> None:
        held = self._held.pop(attempt)
        trim(held.places.attempt_dir, self._settings.log_limit)
        if held.runtime is not None:
            held.runtime.clean(attempt)
        if held.places.is_clean():
            self._journal.end(attempt)
        else:
            self._submit(lambda: self._clean_thoroughly(held.places, attempt))

    def _clean_thoroughly(self, places: Places, attempt: str) -> None:
        places.clean()
        self._journal.end(attempt)

    def _submit(self, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except Exception:  # nothing waits for the future
                log.exception("work for an attempt failed")

        self._pool.submit(run)

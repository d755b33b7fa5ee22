"""Performs what the core decides. What may block goes to a few threads; all else is done at once, on the loop's thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

from executor.archives import Archive
from executor.driver import Driver
from executor.events import (
    Begin,
    Clean,
    Effect,
    EngineSeen,
    Exit,
    ImagesSeen,
    Look,
    Measure,
    Measured,
    NotPublished,
    NotStarted,
    Order,
    Probe,
    Publish,
    Published,
    Pull,
    Pulled,
    Release,
    Send,
    Signal,
    Tell,
    Waiting,
)
from executor.inputs import Inputs
from executor.journal import Entry, Journal
from executor.kept import KeptLogs
from executor.lineage import to_lineage
from executor.logs import trim
from executor.loop import Inbox
from executor.orders import BUILTIN
from executor.places import Places
from executor.publish import Outputs, PublishError, publish
from executor.runtimes.choice import Runtimes
from executor.runtimes.engine import EngineError
from executor.runtimes.port import Assignment, Runtime
from executor.secret_files import SecretFiles
from executor.secrets import Secrets
from executor.settings import Settings
from executor.shipping import Shipper
from executor.staging import StartError
from executor.trees import remove_tree
from executor.usage import disk_mib
from executor.workers import Workers
from swath.domain.attempts import AttemptSpec
from swath.domain.manifest import Manifest
from swath.domain.retries import Cause
from swath.domain.stac import Lineage

log = logging.getLogger(__name__)

_SHIP_SHARE = 0.1  # of the shutdown's grace, for the last logs
_CLOSE_SHARE = 0.1  # of the shutdown's grace, for what was begun; a successor finds the rest in the journal


@dataclass(slots=True)
class _Held:
    """What the shell knows of an attempt that has begun."""

    order: Order
    places: Places
    runtime: Runtime | None = None
    cancelled: bool = False  # was to end before it had started
    busy: bool = False  # a thread stages or publishes it
    measured: bool = False  # a thread looks at its disk
    uploaded: bool = False  # its outputs, or some of them, are in the site's object store
    inputs: ExitStack = field(default_factory=ExitStack)  # copies that stay while it needs them
    ended: Clean | None = None


class Shell:
    """Effects in, deeds out."""

    def __init__(
        self,
        *,
        settings: Settings,
        driver: Driver,
        inbox: Inbox,
        journal: Journal,
        runtimes: Runtimes,
        archive: Archive | None = None,
        publish: Callable[[Manifest, Places, Lineage], Outputs] = publish,
    ) -> None:
        self._settings = settings
        self._driver = driver
        self._inbox = inbox
        self._journal = journal
        self._runtimes = runtimes
        self._held: dict[str, _Held] = {}
        self._kept = KeptLogs(most=settings.kept_attempts, most_bytes=settings.kept_bytes)
        self._inputs = Inputs(settings)
        self.secrets = Secrets(driver.send_message)
        self._secret_files = SecretFiles(root=settings.secret_files)
        self._secret_files.remove_former(settings.label)
        self._shipper = None if archive is None else Shipper(archive, settings.log_limit)
        self._publish_outputs = publish
        self._workers = Workers()

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
                self._clean(effect)
            case Release():
                self._runtimes.release(effect.slot)
            case Look():
                _start("images", self._look)
            case Tell():
                _start("images", lambda: self._driver.send_message(effect.report.to_json().encode()))
            case Pull():
                _start("prefetch", lambda: self._pull(effect.reference))
            case Probe():
                _start("engine", self._probe)
            case Exit():
                log.info("ending: %s", effect.message)
            case _:
                assert_never(effect)

    def _send(self, update: Send) -> None:
        data = update.report.to_json().encode()
        self._driver.send_update(update.task_id, update.state, data=data, message=update.message)

    def _look(self) -> None:
        report = None
        try:
            report = self._runtimes.look()
        except Exception as error:  # an engine that is sick, or answers in a way of its own
            log.warning(
                "the images of this agent are not known: %s", error, exc_info=not isinstance(error, EngineError)
            )
        self._inbox.post(ImagesSeen(report=report))

    def _pull(self, reference: str) -> None:
        try:
            event = Pulled(reference=reference, postponed=not self._runtimes.pull_ahead(reference))
        except Exception as error:
            is_known = isinstance(error, StartError | EngineError)
            log.warning("%s is not pulled ahead: %s", reference, error, exc_info=not is_known)
            event = Pulled(reference=reference, problem=str(error))
        self._inbox.post(event)

    def _probe(self) -> None:
        try:
            problem = self._runtimes.probe()
        except Exception as error:
            log.warning("the engine cannot be looked at", exc_info=not isinstance(error, EngineError))
            problem = str(error)
        if problem:
            log.warning("the engine is sick: %s", problem)
        self._inbox.post(EngineSeen(problem=problem))

    def relieve(self) -> None:
        """See to it that work which hangs does not hold up the rest; to be called from time to time."""
        self._workers.relieve()

    def close(self) -> None:
        """Finish what was begun, unless it hangs."""
        if self._shipper is not None and not self._shipper.close(self._settings.shutdown_grace_s * _SHIP_SHARE):
            log.warning("not all logs could be shipped; the sandbox keeps them")
        if not self._workers.close(self._settings.shutdown_grace_s * _CLOSE_SHARE):
            log.warning(
                "something hangs, in a file system or the engine; what it leaves is removed by the next executor"
            )

    def forget_secrets(self) -> None:
        """Remove what is left of them, once nothing runs any more."""
        self._secret_files.close()

    def _begin(self, order: Order) -> None:
        held = _Held(order=order, places=Places.of(order, self._settings.sandbox))
        self._held[order.spec.attempt] = held
        if self._shipper is not None:
            self._shipper.begin(order.spec.attempt, held.places.attempt_dir, order.spec.job, order.spec.task)
        if order.is_light and order.spec.image.context == BUILTIN:  # nothing that could hang
            self._stage_and_start(held)
        else:
            held.busy = True
            self._workers.submit(lambda: self._stage_and_start(held))

    def _stage_and_start(self, held: _Held) -> None:
        try:
            assignment = self._stage(held)
        except StartError as error:
            failure = (error.cause, str(error))
        except OSError as error:
            failure = (Cause.AGENT, f"the attempt's directories cannot be made: {error}")
        except Exception as error:
            log.exception("attempt %s cannot be staged", held.order.spec.attempt)
            failure = (Cause.AGENT, f"the executor failed: {error!r}")
        else:
            self._inbox.post(lambda: self._return(held, lambda: self._start(held, assignment)))
            return
        self._inbox.post(lambda: self._return(held, lambda: self._not_started(held, *failure)))

    def _return(self, held: _Held, go_on: Callable[[], None]) -> None:
        """On the loop's thread: another one has done with the attempt, which may have been given up meanwhile."""
        held.busy = False
        if held.ended is None:
            go_on()
        else:
            self._tidy(held, held.ended)

    def _stage(self, held: _Held) -> Assignment:
        order, places = held.order, held.places
        if held.cancelled:  # it has waited for this thread
            raise StartError(Cause.KILLED, "ended before it had started")
        if places.scratch:  # first written down, then made: a kill -9 between the two loses nothing
            self._journal.begin(Entry(attempt=order.spec.attempt, scratch=str(places.scratch)))
        held.runtime = self._runtimes.choose(order)
        context = order.spec.image.context
        if context and context != BUILTIN:
            Path(
                context
            ).exists()  # where its file system hangs, this thread shall, and not the one that starts commands
        attempt = order.spec.attempt
        staged = self._inputs.stage(
            order.spec,
            cancelled=lambda: held.cancelled,
            tell=lambda message: self._inbox.post(Waiting(attempt=attempt, message=message, fault=Cause.TRANSFER)),
        )
        held.inputs = staged.held
        secrets = self.secrets.fetch(order, lambda: held.cancelled)
        places.make()
        wanted = {name: secrets[name] for name in order.swath_manifest.secret_files if name in secrets}
        files = self._secret_files.write(attempt, wanted)
        assignment = Assignment(
            order=order, places=places, inputs=staged.paths, seen=staged.seen, secrets=secrets, secret_files=files
        )
        assignment.check_inputs()
        return assignment

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
            elsewhere = () if held.runtime is None else held.runtime.find_elsewhere(attempt)
            disk = disk_mib([*places.written, *elsewhere])
            usage = {} if held.runtime is None else held.runtime.observe(attempt)
            held.measured = False
            self._inbox.post(Measured(attempt=attempt, disk=disk, took_s=time.monotonic() - begun, usage=usage))

        if not held.measured:  # else the look before this one hangs
            held.measured = True
            self._workers.submit(measure)

    def _publish(self, held: _Held, attempt: str) -> None:
        if held.places.scratch is None:
            self._inbox.post(Published(attempt=attempt))
        else:
            held.busy = True
            self._workers.submit(lambda: self._publish_files(held, attempt))

    def _publish_files(self, held: _Held, attempt: str) -> None:
        event: Published | NotPublished
        try:
            outputs = self._publish_outputs(held.order.manifest, held.places, to_lineage(held.order))
            output_dir = self._store_outputs(held, outputs)
        except PublishError as error:
            event = NotPublished(attempt=attempt, cause=error.cause, message=str(error))
        except Exception as error:
            log.exception("the outputs of attempt %s cannot be published", attempt)
            event = NotPublished(attempt=attempt, cause=Cause.AGENT, message=f"the executor failed: {error!r}")
        else:
            event = Published(
                attempt=attempt,
                output_dir=output_dir,
                outputs=outputs.files,
                json_outputs=outputs.json_outputs,
            )
        self._inbox.post(lambda: self._return(held, lambda: self._inbox.post(event)))

    def _store_outputs(self, held: _Held, outputs: Outputs) -> str:
        """Where published outputs are: in their place, or taken to the site's object store. Raises PublishError."""
        spec, target = held.order.spec, held.places.target
        if not held.order.has_remote_outputs:
            return str(target)
        from executor.uploading import upload  # what it imports costs memory

        held.uploaded = True
        types = {file.path: file.media_type for file in outputs.files}
        return upload(target, spec.outputs_root, _find_prefix(spec), types, self._settings.fetching.stores)

    def _withdraw_outputs(self, spec: AttemptSpec) -> None:
        from executor.uploading import withdraw

        try:
            withdraw(spec.outputs_root, _find_prefix(spec), self._settings.fetching.stores)
        except Exception as error:  # the scheduler looks for what is left
            log.warning("what attempt %s has put into the object store stays for now: %s", spec.attempt, error)

    def _clean(self, effect: Clean) -> None:
        held = self._held.pop(effect.attempt)
        held.ended = effect
        self._keep_logs(held.places.attempt_dir, effect)
        if self._shipper is not None:
            self._shipper.end(effect.attempt)
        if held.runtime is not None:
            held.runtime.clean(effect.attempt)
        if not held.busy:  # else the thread that comes back does it; or a successor, by the journal
            self._tidy(held, effect)

    def _keep_logs(self, attempt_dir: Path, effect: Clean) -> None:
        size = trim(attempt_dir, self._settings.log_limit)
        gone = self._kept.add(attempt_dir, size, succeeded=effect.succeeded)
        if gone:
            self._workers.submit(lambda: _remove_all(gone))

    def _tidy(self, held: _Held, effect: Clean) -> None:
        held.inputs.close()
        if held.order.spec.secrets:
            self._secret_files.remove(effect.attempt)
        if held.places.is_clean():
            self._journal.end(effect.attempt)
        else:
            self._workers.submit(lambda: self._tidy_thoroughly(held, effect))

    def _tidy_thoroughly(self, held: _Held, effect: Clean) -> None:
        places = held.places
        if held.uploaded and not effect.succeeded:
            self._withdraw_outputs(held.order.spec)
        if places.scratch and not effect.succeeded:  # it may have been published when nobody waited for it any more
            remove_tree(places.target)
        if places.clean():
            self._journal.end(effect.attempt)
        else:  # whoever comes next tries again, by the journal
            log.error("not all that attempt %s left can be removed", effect.attempt)


def _find_prefix(spec: AttemptSpec) -> str:
    """Where an attempt's outputs belong, below the outputs root."""
    return f"{spec.job}/{spec.task}/{spec.attempt}"


def _start(name: str, work: Callable[[], object]) -> None:
    """On a thread of its own: an engine that hangs, or a registry, holds up no attempt's work."""
    threading.Thread(target=work, name=name, daemon=True).start()


def _remove_all(directories: list[Path]) -> None:
    for directory in directories:
        remove_tree(directory)

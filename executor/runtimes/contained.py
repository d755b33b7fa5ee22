"""One attempt's container, on a thread of its own.

The thread has the image, creates, attaches, starts, writes the output to the logs, waits and removes. A container runs for
seconds to hours and its output has to be read anyway.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, Protocol

from executor.events import Event, Exited, NotStarted, Started, Unhealthy, Vanished, Waiting
from executor.journal import Journal
from executor.logs import BoundedLog
from executor.masking import Mask
from executor.runtimes.cache import ImageCache
from executor.runtimes.container import OUTPUT, TMP, Berth, Site, is_published, make_config
from executor.runtimes.engine import Ended, Engine, EngineError, NoContainerError
from executor.runtimes.hooks import run_after, run_before
from executor.runtimes.port import Assignment
from executor.runtimes.users import choose_user
from executor.settings import Settings
from executor.staging import StartError
from executor.usage import Sample, Totals, to_sample
from swath.domain.errors import InvalidInputError
from swath.domain.retries import Cause

log = logging.getLogger(__name__)

_NO_NETWORK = "the image's network is off (swath.manifest.json), so nobody can reach its ports"
_KILLED = (128 + signal.SIGTERM, 128 + signal.SIGKILL)  # as an engine ends containers when it ends itself
_PATIENCE_S = 60.0  # for an engine that is being restarted
_RETRY_S = 1.0
_LATEST_WORDS = 500  # characters of what a failing health check has said


class CancelledError(Exception):
    """The attempt was to end before it had started."""


class Ground(Protocol):
    """What a container stands on: the runtime's parts that it needs."""

    engine: Engine
    images: ImageCache
    settings: Settings
    journal: Journal
    post: Callable[[Event], None]

    def site(self) -> Site:
        """What all containers have in common; asks the engine once."""

    def create(self, name: str, gpus: int, make: Callable[[tuple[int, ...]], dict[str, Any]]) -> str:
        """A new container's id, with so many of the machine's GPUs, which are nobody else's."""

    def leave(self, name: str) -> None:
        """A container could not be removed, or may be there without our knowing its id."""


class Container:
    """An attempt's container."""

    def __init__(self, assignment: Assignment, ground: Ground) -> None:
        self.attempt = assignment.attempt
        self.id: str | None = None
        self.abandoned_at_s: float | None = None
        self._assignment = assignment
        self._ground = ground
        self._engine = ground.engine
        self._cancelled = threading.Event()
        self._name = f"swath-{self.attempt}"
        self._asked_for = False  # the engine may have a container of that name
        self._running = False
        self._ended = False
        self._signalled = False
        self._totals = Totals()
        self.thread = threading.Thread(target=self._run, name=f"container {self.attempt}", daemon=True)

    def signal(self, *, force: bool) -> None:
        """On a thread of its own: an engine may take its time."""
        if not self._running:
            self._cancelled.set()
        elif self.id is not None:
            self._signalled = True
            self._engine.kill(self.id, "SIGKILL" if force else "SIGTERM")

    def abandon(self) -> None:
        """Nobody waits for it any more: end it, unless it has ended. Never blocks."""
        self._cancelled.set()
        self.abandoned_at_s = time.monotonic()  # before the look at _running, which _live sets before it looks at this
        if self._running and not self._ended:
            threading.Thread(target=try_signal, args=[self, True], daemon=True).start()

    def observe(self) -> Mapping[str, float]:
        """What it has used so far; a health check that it fails is told besides."""
        if self.id is not None and self._running and not self._ended:
            with suppress(
                EngineError, KeyError, TypeError
            ):  # the latter two for what an engine says in a way of its own
                self._sample(self.id)
            with suppress(EngineError, KeyError, TypeError):
                self._check_health(self.id)
        return self._to_usage()

    def find_elsewhere(self) -> Sequence[Path]:
        """Directories in which the attempt writes and which are none of its places."""
        return ()

    def _to_usage(self) -> dict[str, float]:
        return self._totals.to_usage()

    def _sample(self, container: str) -> None:
        sample = to_sample(self._engine.stats(container), time.monotonic())
        if sample is not None:
            self._take(sample)

    def _take(self, sample: Sample) -> None:
        self._totals.take(sample)

    def _check_health(self, container: str) -> None:
        if self._assignment.order.swath_manifest.health is None:
            return
        health = self._engine.health(container)
        if health.get("Status") == "unhealthy":
            output = (health.get("Log") or [{}])[-1].get("Output", "")
            said = Mask(self._assignment.secrets.values()).hide(output.strip())[-_LATEST_WORDS:]
            message = f"its health check failed {health.get('FailingStreak')} times in a row: {said}"
            self._ground.post(Unhealthy(attempt=self.attempt, message=message))

    def _run(self) -> None:
        try:
            event = self._live()
        except CancelledError:
            event = self._not_started(Cause.KILLED, "ended before it had started")
        except StartError as error:
            event = self._not_started(error.cause, str(error))
        except InvalidInputError as error:
            event = self._not_started(Cause.SPEC, str(error))
        except EngineError as error:
            event = self._not_started(Cause.AGENT, str(error))
        except Exception as error:
            log.exception("the container of attempt %s", self.attempt)
            event = self._not_started(Cause.AGENT, f"the executor failed: {error!r}")
        self._ended = True
        self._ground.post(event)
        self._remove()

    def _not_started(self, cause: Cause, message: str) -> Event:
        if self._running:
            return Vanished(attempt=self.attempt, message=message)
        return NotStarted(attempt=self.attempt, cause=cause, message=message, sandbox=self._sandbox())

    def _sandbox(self) -> str:
        return self._ground.site().to_host(self._assignment.places.attempt_dir)

    def _live(self) -> Event:
        """From the image to the end; what happens before the start is raised."""
        settings, ended = self._ground.settings, None
        with self._ground.images.held(self._assignment.order.spec, self._on_wait) as image:
            self._check()
            run_before(settings.hook_before, self._assignment, settings.hook_s)
            try:
                ended = self._live_in(image)
            finally:
                exit_code = None if ended is None else ended.exit_code
                run_after(settings.hook_after, self._assignment, settings.hook_s, exit_code)
        return Exited(attempt=self.attempt, exit_code=ended.exit_code, oom=ended.oom, usage=self._to_usage())

    def _live_in(self, image: Mapping[str, Any]) -> Ended:
        self._check()
        self.id = self._create(image)
        with ExitStack() as stack:
            limit, directory = self._ground.settings.log_limit, self._assignment.places.attempt_dir
            secrets = self._assignment.secrets.values()
            logs = [BoundedLog(directory, stream, limit, Mask(secrets)) for stream in ("stdout", "stderr")]
            for each in logs:
                stack.callback(each.close)
            output = stack.enter_context(closing(self._engine.attach(self.id)))
            self._check()
            self._assignment.check_inputs()  # the engine follows their paths now
            self._engine.start(self.id)
            self._running = True
            if self.abandoned_at_s is not None:
                raise CancelledError
            self._ground.post(self._started())
            _write_down(output, logs)
            return self._await_end(self.id, logs)

    def _create(self, image: Mapping[str, Any]) -> str:
        spec, site = self._assignment.order.spec, self._ground.site()
        user = choose_user(image, spec.user, allow_root=self._ground.settings.allow_root)
        volumes = make_volumes(image, self._assignment.places.attempt_dir)
        # All that the command may write to is open to the container's user; the directories above are closed to everybody else.
        self._assignment.places.tmp.chmod(0o1777)
        self._assignment.places.output_dir.chmod(0o777)

        def make(gpus: tuple[int, ...]) -> dict[str, Any]:
            berth = Berth(image=str(image["Id"]), user=user, volumes=volumes, gpus=gpus)
            return make_config(self._assignment, berth, site)

        self._asked_for = True
        return self._ground.create(self._name, int(spec.resources.get("gpus") or 0), make)

    def _started(self) -> Started:
        useless = self._assignment.order.spec.ports and self._assignment.order.swath_manifest.network == "none"
        warnings = (_NO_NETWORK,) if useless and not is_published(self._assignment) else ()
        return Started(attempt=self.attempt, sandbox=self._sandbox(), runtime="docker", warnings=warnings)

    def _await_end(self, container: str, logs: Sequence[BoundedLog]) -> Ended:
        """How it ended; raises EngineError for an engine that stays away, and for what an engine's restart has killed.

        A container may outlive its engine (`live-restore`): what it says then goes on.
        """
        away_since_s: float | None = None
        while True:
            try:
                if away_since_s is not None and self._engine.inspect(container) is None:
                    with closing(self._engine.attach(container)) as output:
                        _write_down(output, logs)
                    away_since_s = None
                ended = self._find_end(container)
            except NoContainerError:
                raise EngineError("the container was removed by somebody else") from None
            except EngineError as error:
                away_since_s = away_since_s or time.monotonic()
                if time.monotonic() > away_since_s + _PATIENCE_S:
                    raise EngineError(f"{error}; for {_PATIENCE_S:g} s") from error
                time.sleep(_RETRY_S)
                continue
            if ended is not None and away_since_s is not None and ended.exit_code != 0:
                raise EngineError("the Docker engine was restarted, and the container ended with it")
            if ended is not None:
                return ended

    def _find_end(self, container: str) -> Ended | None:
        """Wait for it; None where it runs on all the same. Raises EngineError for an engine that is ending, or has gone."""
        code = self._engine.wait(container)
        if code == 0:  # why it ended badly is asked besides; what ended well has said all
            return Ended(exit_code=0, oom=False)
        ended = self._engine.inspect(container)
        if code in _KILLED and not self._signalled:
            self._engine.reach()
        return ended

    def _on_wait(self, message: str) -> None:
        self._check()
        if message:
            self._ground.post(Waiting(attempt=self.attempt, message=message))

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise CancelledError

    def _remove(self) -> None:
        if not self._asked_for:
            return
        try:
            self._engine.remove(self._name)
        except EngineError as error:
            log.warning("the container of attempt %s stays for now: %s", self.attempt, error)
            self._ground.leave(self._name)


def make_volumes(image: Mapping[str, Any], above: Path) -> dict[str, Path]:
    """A directory, open to everybody, for each volume of the image."""
    declared = sorted((image.get("Config") or {}).get("Volumes") or {})
    volumes = {path: above / "volumes" / str(n) for n, path in enumerate(declared)}
    volumes = {path: own for path, own in volumes.items() if path.rstrip("/") not in ("", str(OUTPUT), str(TMP))}
    for own in volumes.values():
        own.mkdir(parents=True, exist_ok=True)
        own.chmod(0o777)
    return volumes


def _write_down(output: Iterator[tuple[bytes | None, bytes | None]], logs: Sequence[BoundedLog]) -> None:
    """Until it ends, or the engine goes, or the connection: what became of the container is asked next."""
    with suppress(OSError):
        for chunks in output:
            for file, data in zip(logs, chunks, strict=True):
                if data:
                    file.write(data)


def try_signal(container: Container, force: bool) -> None:
    """Signal, unless the engine refuses: the core asks again."""
    try:
        container.signal(force=force)
    except EngineError as error:
        log.warning("attempt %s could not be signalled: %s", container.attempt, error)

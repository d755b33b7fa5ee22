"""Attempts as containers of the machine's Docker engine.

A thread for each container: it pulls, creates, attaches, starts, writes the output to the logs, waits and removes. A container
runs for seconds to hours and its output has to be read anyway.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from executor.events import Event, Exited, NotStarted, Started, Vanished, Waiting
from executor.logs import BoundedLog
from executor.runtimes.container import Site, is_published, make_config
from executor.runtimes.engine import Ended, Engine, EngineError, NoContainerError
from executor.runtimes.leftovers import remove_containers
from executor.runtimes.port import Assignment
from executor.runtimes.shelf import Shelf
from executor.settings import Settings
from executor.staging import StartError
from swath.domain.errors import InvalidInputError
from swath.domain.images import HeldImage
from swath.domain.retries import Cause

log = logging.getLogger(__name__)

_NO_NETWORK = "the image's network is off (swath.manifest.json), so nobody can reach its ports"
_PATIENCE_S = 60.0  # for an engine that is being restarted
_RETRY_S = 1.0
_SOCKET = Path("/var/run/docker.sock")
_CLOSE_S = 10.0  # for the last containers to be removed


class _CancelledError(Exception):
    """The attempt was to end before it had started."""


class _Container:
    """One attempt's container, on a thread of its own."""

    def __init__(self, assignment: Assignment, runtime: DockerRuntime) -> None:
        self.attempt = assignment.attempt
        self._assignment = assignment
        self._runtime = runtime
        self._engine = runtime.engine
        self._id: str | None = None
        self._cancelled = threading.Event()
        self._abandoned = threading.Event()
        self._running = False
        self._ended = False
        self.usage: tuple[float, float] | None = None  # seconds of CPU, MiB
        self.thread = threading.Thread(target=self._run, name=f"container {self.attempt}", daemon=True)

    def signal(self, *, force: bool) -> None:
        """On a thread of its own: an engine may take its time."""
        if not self._running:
            self._cancelled.set()
        elif self._id is not None:
            self._engine.kill(self._id, "SIGKILL" if force else "SIGTERM")

    def abandon(self) -> None:
        """Nobody waits for it any more: end it, unless it has ended. Never blocks."""
        self._cancelled.set()
        self._abandoned.set()  # before the look at _running, which _live sets before it looks at this
        if self._running and not self._ended:
            threading.Thread(target=_try_signal, args=[self, True], daemon=True).start()

    def observe(self) -> None:
        """Note the CPU and the memory that it uses."""
        if self._id is None or not self._running:
            return
        with suppress(EngineError, KeyError):
            cpu_s, memory = self._engine.usage(self._id)
            self.usage = (cpu_s, max(memory, self.usage[1] if self.usage else 0.0))

    def _run(self) -> None:
        try:
            event = self._live()
        except _CancelledError:
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
        self._runtime.post(event)
        self._remove()

    def _not_started(self, cause: Cause, message: str) -> Event:
        if self._running:
            return Vanished(attempt=self.attempt, message=message)
        return NotStarted(attempt=self.attempt, cause=cause, message=message, sandbox=self._sandbox())

    def _sandbox(self) -> str:
        return self._runtime.site().to_host(self._assignment.places.attempt_dir)

    def _live(self) -> Event:
        """From the image to the end; what happens before the start is raised."""
        image = self._engine.find_image(self._assignment.order.spec.image, self._on_pull)
        self._runtime.shelf.note_used(image)
        self._assignment_may_write()
        config = make_config(self._assignment, image, self._runtime.site())
        self._check()
        self._id = self._engine.create(f"swath-{self.attempt}", config)
        with ExitStack() as stack:
            limit, directory = self._runtime.log_limit, self._assignment.places.attempt_dir
            logs = [BoundedLog(directory, stream, limit) for stream in ("stdout", "stderr")]
            for each in logs:
                stack.callback(each.close)
            output = self._engine.attach(self._id)
            self._check()
            self._engine.start(self._id)
            self._running = True
            if self._abandoned.is_set():
                raise _CancelledError
            self._runtime.post(self._started())
            with suppress(OSError):  # the engine is gone, or the connection; what became of the container is asked next
                for chunks in output:
                    for file, data in zip(logs, chunks, strict=True):
                        if data:
                            file.write(data)
        ended = self._await_end(self._id)
        cpu_s, memory = self.usage or (None, None)
        return Exited(attempt=self.attempt, exit_code=ended.exit_code, oom=ended.oom, cpu_s=cpu_s, max_mem=memory)

    def _started(self) -> Started:
        useless = self._assignment.order.spec.ports and not is_published(self._assignment)
        warnings = (_NO_NETWORK,) if useless else ()
        return Started(attempt=self.attempt, sandbox=self._sandbox(), runtime="docker", warnings=warnings)

    def _await_end(self, container: str) -> Ended:
        """How it ended; raises EngineError for an engine that stays away, and for what an engine's restart has killed."""
        deadline, restarted = time.monotonic() + _PATIENCE_S, False
        while True:
            try:
                self._engine.wait(container)
                ended = self._engine.inspect(container)
            except NoContainerError:
                raise EngineError("the container was removed by somebody else") from None
            except EngineError as error:
                restarted = True
                if time.monotonic() > deadline:
                    raise EngineError(f"{error}; for {_PATIENCE_S:g} s") from error
                time.sleep(_RETRY_S)
                continue
            if ended is not None and restarted and ended.exit_code != 0:
                raise EngineError("the Docker engine was restarted, and the container ended with it")
            if ended is not None:
                return ended

    def _assignment_may_write(self) -> None:
        """An image may have a user of its own. The scratch directory above the output is closed to everybody else."""
        if self._runtime.site().user is None:
            self._assignment.places.output_dir.chmod(0o777)
            self._assignment.places.tmp.chmod(0o1777)

    def _on_pull(self, message: str) -> None:
        self._check()
        if message:
            self._runtime.post(Waiting(attempt=self.attempt, message=message))

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise _CancelledError

    def _remove(self) -> None:
        if self._id is None:
            return
        try:
            self._engine.remove(self._id)
        except EngineError as error:  # the next executor with our label will
            log.warning("the container of attempt %s stays: %s", self.attempt, error)


class DockerRuntime:
    """Containers of the engine that the environment names (DOCKER_HOST, else the machine's own)."""

    def __init__(self, *, settings: Settings, post: Callable[[Event], None], on_container: Callable[[], None]) -> None:
        self.engine = Engine()
        self.shelf = Shelf(self.engine)
        self.post = post
        self.log_limit = settings.log_limit
        self._settings = settings
        self._on_container = on_container  # before one is made
        self._swept = threading.Lock()  # held from when what former runs left is being removed, for good once it is
        self._site: Site | None = None
        self._containers: dict[str, _Container] = {}
        self._threads: set[threading.Thread] = set()

    @property
    def seen(self) -> bool:
        """True when the engine has ever answered."""
        return self.engine.seen

    @property
    def is_likely(self) -> bool:
        """False where there is no sign of an engine: asking for one would load the SDK for nothing."""
        return self.seen or "DOCKER_HOST" in os.environ or _SOCKET.exists()

    def look(self) -> list[HeldImage] | None:
        """What the engine holds that concerns the scheduler; None where there is none. May block.

        Raises EngineError for one that is sick: what it held it will hold again.
        """
        if self.is_likely and self.answers():
            return self.shelf.look()
        if self.seen:
            raise EngineError("the Docker engine of this agent does not answer any more")
        return None

    def pull_ahead(self, reference: str) -> bool:
        """Pull an image that nobody waits for; False where it has to wait for those that somebody does. May block.

        Raises StartError or EngineError where it cannot be had, for want of disk for one.
        """
        free, least = self._find_free(), self._settings.prefetch_free_mib * 2**20
        if free < least:
            raise EngineError(
                f"{free / 2**30:.1f} GiB are free for images, less than the {least / 2**30:.1f} to be kept"
            )
        image = self.engine.pull_ahead(reference)
        if image is not None:
            self.shelf.note_used(image)
        return image is not None

    def _find_free(self) -> int:
        """Bytes that are free where the engine keeps images, or where that cannot be seen, where this executor is."""
        root = Path(self.engine.root())
        return shutil.disk_usage(root if root.exists() else self._settings.sandbox).free

    def answers(self) -> bool:
        """True when the engine is there; as soon as it is, what former runs left on it is removed."""
        answers = self.engine.answers()
        if answers and self._swept.acquire(blocking=False):
            threading.Thread(target=self._remove_orphans, name="orphans", daemon=True).start()
        return answers

    def site(self) -> Site:
        """What all containers have in common; asks the engine once."""
        if self._site is None:
            self._site = Site(
                label=self._settings.label,
                run=self._settings.run,
                sandbox=self._settings.sandbox,
                host_sandbox=self._settings.host_sandbox,
                # Root reads whatever a container leaves; anybody else could not, so the container runs as that user.
                user=None if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}",
                pids_limit=self._settings.pids_limit,
                cpus=self.engine.cpus(),
                ports_address=self._settings.ports_address,
            )
        return self._site

    def start(self, assignment: Assignment) -> None:
        """Begin; what comes of it is posted."""
        self._on_container()
        container = _Container(assignment, self)
        self._containers[assignment.attempt] = container
        self._threads = {thread for thread in self._threads if thread.is_alive()} | {container.thread}
        container.thread.start()

    def signal(self, attempt: str, *, force: bool) -> None:
        """SIGTERM to the container's command, or SIGKILL to all that is in it."""
        container = self._containers.get(attempt)
        if container is not None:
            threading.Thread(target=_try_signal, args=[container, force], daemon=True).start()

    def observe(self, attempt: str) -> None:
        """Note what the container uses."""
        container = self._containers.get(attempt)
        if container is not None:
            container.observe()

    def clean(self, attempt: str) -> None:
        """Forget; the thread removes the container."""
        container = self._containers.pop(attempt, None)
        if container is not None:
            container.abandon()

    def close(self) -> None:
        """Wait until the last containers are removed."""
        deadline = time.monotonic() + _CLOSE_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _remove_orphans(self) -> None:
        """Remove the containers of former runs: they carry our label, and another run's."""
        try:
            remove_containers(self.engine, self._settings.label, lambda run: run != self._settings.run)
        except EngineError as error:
            log.warning("containers of former runs may be left: %s", error)
            self._swept.release()


def _try_signal(container: _Container, force: bool) -> None:
    try:
        container.signal(force=force)
    except EngineError as error:  # the core asks again
        log.warning("attempt %s could not be signalled: %s", container.attempt, error)

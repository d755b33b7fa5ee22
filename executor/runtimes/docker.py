"""Attempts as containers of the machine's Docker engine."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

from executor.events import Event
from executor.journal import Journal
from executor.runtimes.cache import ImageCache
from executor.runtimes.contained import Container, try_signal
from executor.runtimes.container import GPUS, Site
from executor.runtimes.engine import Engine, EngineError
from executor.runtimes.guest import Guest, Room
from executor.runtimes.leftovers import remove_containers
from executor.runtimes.port import Assignment
from executor.settings import Settings
from swath.domain.images import HeldImage

log = logging.getLogger(__name__)

_SOCKET = Path("/var/run/docker.sock")
_CLOSE_S = 10.0  # for the last containers to be removed
_AT_ONCE_S = 5.0
_STUCK_S = 20.0  # a container that nobody waits for has to be gone by then, or the engine is sick


class DockerRuntime:
    """Containers of the engine that the environment names (DOCKER_HOST, else the machine's own)."""

    def __init__(
        self,
        *,
        settings: Settings,
        journal: Journal,
        post: Callable[[Event], None],
        on_container: Callable[[], None],
    ) -> None:
        self.engine = Engine(settings.registry_config)
        self.images = ImageCache(self.engine, settings)
        self.settings = settings
        self.journal = journal
        self.post = post
        self._on_container = on_container  # before one is made
        self._swept = threading.Lock()  # held from when what former runs left is being removed, for good once it is
        self._left: set[str] = set()  # names of containers that could not be removed yet
        self._gpus = threading.Lock()  # from the look at which are free until a container has them
        self._site: Site | None = None
        self._containers: dict[str, Container] = {}  # of attempts that have not ended
        self._rooms: dict[str, Room] = {}  # by slot
        self._released: list[threading.Thread] = []  # that remove what slots have left
        self._all: list[Container] = []  # whose threads are at work, those that were given up included

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
            return self.images.look()
        if self.seen:
            raise EngineError("the Docker engine of this agent does not answer any more")
        return None

    def pull_ahead(self, reference: str) -> bool:
        """Pull an image that nobody waits for; False where it has to wait for those that somebody does. May block.

        Raises StartError or EngineError where it cannot be had, for want of disk for one.
        """
        free, least = self.images.free(), self.settings.prefetch_free_mib * 2**20
        if free < least:
            raise EngineError(
                f"{free / 2**30:.1f} GiB are free for images, less than the {least / 2**30:.1f} to be kept"
            )
        return self.images.pull_ahead(reference) is not None

    def probe(self) -> str | None:
        """What is wrong with the engine; None where all is well, or there is none. Removes containers that should be gone."""
        if not self.is_likely:
            return None
        begun = time.monotonic()
        try:
            self.engine.ping()
            for name in list(self._left):
                self.engine.remove(name)
                self._left.discard(name)
        except EngineError as error:  # one that was never there and refuses at once is absent, not sick
            return str(error) if self.seen or time.monotonic() - begun > _AT_ONCE_S else None
        stuck = [container.attempt for container in self._all if self._is_stuck(container)]
        return f"containers that cannot be ended: those of attempts {', '.join(stuck[:5])}" if stuck else None

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
                label=self.settings.label,
                run=self.settings.run,
                sandbox=self.settings.sandbox,
                host_sandbox=self.settings.host_sandbox,
                pids_limit=self.settings.pids_limit,
                open_files=self.settings.open_files,
                networks=self.settings.networks,
                cpus=self.engine.machine().cpus,
                ports_address=self.settings.ports_address,
            )
        return self._site

    def create(self, name: str, gpus: int, make: Callable[[tuple[int, ...]], dict[str, Any]]) -> str:
        """A new container's id; its label keeps its GPUs from everybody else's containers, those of other executors too."""
        if not gpus:
            return self.engine.create(name, make(()))
        with self._gpus:
            taken = {number for labels in self.engine.find_labelled(GPUS) for number in labels[GPUS].split(",")}
            free = islice((number for number in count() if str(number) not in taken), gpus)
            return self.engine.create(name, make(tuple(free)))

    def leave(self, name: str) -> None:
        """A container could not be removed, or may be there without our knowing its id: it is removed once that can be."""
        self._left.add(name)

    def start(self, assignment: Assignment) -> None:
        """Begin; what comes of it is posted."""
        self._on_container()
        container = self._make(assignment)
        self._containers[assignment.attempt] = container
        self._all = [*(other for other in self._all if other.thread.is_alive()), container]
        container.thread.start()

    def _make(self, assignment: Assignment) -> Container:
        slot = assignment.order.slot
        if slot is None or not assignment.order.is_guest:
            return Container(assignment, self)
        return Guest(assignment, self, self._rooms.setdefault(slot, Room(self)))

    def signal(self, attempt: str, *, force: bool) -> None:
        """SIGTERM to the container's command, or SIGKILL to all that is in it."""
        container = self._containers.get(attempt)
        if container is not None:
            threading.Thread(target=try_signal, args=[container, force], daemon=True).start()

    def observe(self, attempt: str) -> Mapping[str, float]:
        """What the container uses."""
        container = self._containers.get(attempt)
        return {} if container is None else container.observe()

    def find_elsewhere(self, attempt: str) -> Sequence[Path]:
        """What it has in its slot's container."""
        container = self._containers.get(attempt)
        return () if container is None else container.find_elsewhere()

    def release(self, slot: str) -> None:
        """On a thread of its own, as everything that asks the engine."""
        if (room := self._rooms.pop(slot, None)) is not None:
            thread = threading.Thread(target=room.close, name=f"slot {slot}", daemon=True)
            self._released = [*(other for other in self._released if other.is_alive()), thread]
            thread.start()

    def clean(self, attempt: str) -> None:
        """Forget; the thread removes the container."""
        container = self._containers.pop(attempt, None)
        if container is not None:
            container.abandon()

    def close(self) -> None:
        """Wait until the last containers are removed."""
        self.images.shelf.close()
        deadline = time.monotonic() + _CLOSE_S
        for thread in (*(container.thread for container in self._all), *self._released):
            thread.join(max(0.0, deadline - time.monotonic()))

    def _is_stuck(self, container: Container) -> bool:
        """True for one that was given up and is still there; it is signalled once more."""
        since = container.abandoned_at_s
        if since is None or not container.thread.is_alive() or container.id is None:
            return False
        try_signal(container, force=True)
        return time.monotonic() - since > _STUCK_S

    def _remove_orphans(self) -> None:
        """Remove the containers of former runs: they carry our label, and another run's."""
        try:
            remove_containers(self.engine, self.settings.label, lambda run: run != self.settings.run)
        except EngineError as error:
            log.warning("containers of former runs may be left: %s", error)
            self._swept.release()

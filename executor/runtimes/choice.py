"""Which runtime an attempt gets, by what its image names and what this machine has."""

from __future__ import annotations

import time
from typing import Protocol

from executor.events import Order
from executor.runtimes.engine import EngineError
from executor.runtimes.port import Runtime
from executor.runtimes.process import ProcessRuntime
from executor.staging import StartError
from swath.domain.images import HeldImage, ImagesReport
from swath.domain.retries import Cause

_WATCH_S = 0.9  # at least, between two looks at all processes
_WATCH_SHARE = 50  # and so many times as long as one look takes


class EngineRuntime(Runtime, Protocol):
    """A runtime that another program may or may not offer."""

    def answers(self) -> bool:
        """True when the engine is there; may block for seconds."""

    @property
    def seen(self) -> bool:
        """True when the engine has ever answered."""

    def look(self) -> list[HeldImage] | None:
        """What the engine holds; None where there is none. Raises EngineError for one that is sick. May block."""

    def pull_ahead(self, reference: str) -> bool:
        """Pull an image that nobody waits for; False where it has to wait. Raises StartError or EngineError. May block."""

    def probe(self) -> str | None:
        """What is wrong with the engine, after removing what is left on it; None where all is well. May block."""

    def release(self, slot: str) -> None:
        """Remove what the attempts of a slot have shared."""

    def close(self) -> None:
        """Wait until nothing is left to remove."""


class Runtimes:
    """The runtimes of this executor; None for one that is switched off."""

    def __init__(self, *, process: ProcessRuntime | None, docker: EngineRuntime | None) -> None:
        self._process = process
        self._docker = docker
        self._watch_at_s = 0.0

    def choose(self, order: Order) -> Runtime:
        """The runtime for an order; raises StartError where there is none, with what to do about it."""
        image = order.spec.image
        in_engine = bool(image.reference or image.image_id)
        if in_engine and self._docker is not None:
            if self._docker.answers():
                return self._docker
            if self._docker.seen:  # it was there: sick, not absent
                raise StartError(Cause.AGENT, "the Docker engine of this agent does not answer any more")
        if image.context and self._process is not None:
            return self._process
        name = f"{image.name}:{image.version}"
        if in_engine:
            advice = "start one there, or register the image with its build context and allow the process runtime"
            raise StartError(
                Cause.IMAGE, f"{name} needs a container, and no Docker engine answers on this agent: {advice}"
            )
        if image.context:
            raise StartError(Cause.IMAGE, f"{name} has only a build context, and this executor runs containers only")
        raise StartError(Cause.IMAGE, f"{name} names neither an image nor a build context: register it anew")

    def look(self) -> ImagesReport:
        """What to tell of this agent's images. Raises EngineError where that cannot be known for now. May block."""
        images = None if self._docker is None else self._docker.look()
        return ImagesReport.of(images or (), engine=images is not None, processes=self._process is not None)

    def pull_ahead(self, reference: str) -> bool:
        """Pull an image that nobody waits for; False where it has to wait. Raises StartError or EngineError. May block."""
        if self._docker is None:
            raise EngineError("this executor uses no Docker engine")
        return self._docker.pull_ahead(reference)

    def probe(self) -> str | None:
        """What is wrong with the engine; None where all is well, or there is none. May block."""
        return None if self._docker is None else self._docker.probe()

    def release(self, slot: str) -> None:
        """Remove what the attempts of a slot have shared."""
        if self._docker is not None:
            self._docker.release(slot)

    def close(self) -> None:
        """Wait until nothing is left to remove."""
        if self._docker is not None:
            self._docker.close()

    def watch(self) -> None:
        """Remember what runs below the attempts that are processes; not too often, for it reads all of /proc."""
        begun = time.monotonic()
        if self._process is not None and begun >= self._watch_at_s:
            self._process.watch()
            self._watch_at_s = begun + max(_WATCH_S, _WATCH_SHARE * (time.monotonic() - begun))

"""Containers that an executor has left on the engine."""

from __future__ import annotations

import logging
from collections.abc import Callable

from executor.runtimes.container import ATTEMPT, EXECUTOR, RUN, SCRATCH
from executor.runtimes.engine import Engine
from executor.trees import remove_scratch

log = logging.getLogger(__name__)


def remove_containers(engine: Engine, label: str, is_left: Callable[[str | None], bool]) -> None:
    """Remove the containers of an executor's runs, as far as `is_left(run)`, and their scratch directories.

    Raises EngineError.
    """
    for labels in engine.find_labelled(f"{EXECUTOR}={label}"):
        if is_left(labels.get(RUN)):
            attempt = labels.get(ATTEMPT, "")
            log.warning("removing the container of attempt %s, which an executor has left", attempt)
            engine.remove(labels["id"])
            remove_scratch(labels.get(SCRATCH), attempt)

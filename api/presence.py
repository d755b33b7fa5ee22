"""Whether a registry still has the digest that a job is to run, and whether its tag means another one by now."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from swath.domain.errors import InvalidInputError, NotInRegistryError, RegistryError
from swath.domain.references import Reference
from swath.registry.client import RegistryClient

REMEMBERED_S = 60.0  # what was there, or whose registry did not answer: a batch asks once
_MOST = 1000  # images that are remembered


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """What a registry says of an image."""

    gone: str | None = None  # why it cannot be had any more
    unknown: str | None = None  # why nobody can tell
    tag_digest: str | None = None  # what its tag means now


@dataclass(kw_only=True, slots=True)
class Presence:
    """Looks into registries, for at most `deadline_s` an image; for all threads."""

    registries: RegistryClient
    deadline_s: float
    clock: Callable[[], float] = time.monotonic
    _known: OrderedDict[tuple[str, str | None], tuple[float, Sight]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self, reference: str, tag: str | None) -> Sight:
        """What is to be said of the image `reference`, that was registered by `tag`."""
        key, begun = (reference, tag), self.clock()
        with self._lock:
            at, known = self._known.get(key, (0.0, None))
        if known is not None and begun - at < REMEMBERED_S:
            return known
        sight = self._ask(reference, tag, begun)
        if sight.gone is None:
            with self._lock:
                self._known[key] = (begun, sight)
                while len(self._known) > _MOST:
                    self._known.popitem(last=False)
        return sight

    def _ask(self, reference: str, tag: str | None, begun: float) -> Sight:
        try:
            self.registries.resolve(Reference.parse(reference), deadline_s=self.deadline_s)
        except NotInRegistryError as error:
            return Sight(gone=str(error))
        except (RegistryError, InvalidInputError) as error:
            return Sight(unknown=str(error))
        return Sight(tag_digest=self._find_tag(tag, self.deadline_s - (self.clock() - begun)) if tag else None)

    def _find_tag(self, tag: str, left_s: float) -> str | None:
        """None where the tag is gone, or nobody says: the digest is what counts."""
        try:
            return self.registries.resolve(Reference.parse(tag), deadline_s=left_s).digest if left_s > 0 else None
        except (RegistryError, InvalidInputError):
            return None

"""The engine's images as this executor's cache: had when they are needed, held meanwhile, the least recently used removed.

Removed is only what a registry gives again: images with a digest and without a tag, for so they are pulled for jobs. One that
an attempt here waits for, starts or runs in, or that is to be pulled ahead, is held and stays; so does one that a container of
anybody's uses, for the engine refuses to remove it.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from executor.runtimes.engine import Engine
from executor.runtimes.pulls import Pulls, describe
from executor.runtimes.refusals import FullError, PassingError
from executor.runtimes.shelf import Shelf, Stored, total
from executor.settings import Settings
from executor.staging import StartError
from swath.domain.attempts import AttemptSpec, ImageSource
from swath.domain.images import HeldImage
from swath.domain.manifest import LABEL
from swath.domain.retries import Cause
from swath.domain.strict_json import read_strictly

log = logging.getLogger(__name__)

AGAIN_S = (1.0, 2.0, 4.0)  # before another try where a registry has trouble that may pass
SILENCE_S = 600.0  # without a word of the engine's about a pull: it takes its time to check a large layer
SILENCE_AHEAD_S = 60.0  # where nobody waits: such a pull would hold the places of those that somebody waits for

_PLATFORM_OF_ALL = ("", "/")  # an image that says nothing of it


class ImageCache:
    """The images for attempts; from any thread."""

    def __init__(self, engine: Engine, settings: Settings, silence_ahead_s: float = SILENCE_AHEAD_S) -> None:
        self.shelf = Shelf(engine, settings.sandbox)
        self._engine = engine
        self._settings = settings
        self._silence_ahead_s = silence_ahead_s
        self._pulls = Pulls(self._pull)
        self._lock = threading.Lock()  # over what is held, and while an image is removed
        self._held: Counter[str] = Counter()  # references and ids
        self._known: dict[str, Mapping[str, Any]] = {}  # what the engine has said of those that are held

    @contextmanager
    def held(self, spec: AttemptSpec, on_wait: Callable[[str], None]) -> Iterator[Mapping[str, Any]]:
        """The attempt's image, as the engine describes it, which stays as long as this lasts; pulled if need be.

        `on_wait` is told of the pull's progress and may raise. Raises StartError (IMAGE) where the image cannot be had, or is
        not what the catalogue says.
        """
        source = spec.image
        with self._kept(source):
            found = self._find(source) or self._fetch(source, on_wait)
            _check_label(found, spec)
            self._check_platform(found, source)
            self._know(source, found)
            self.shelf.note_used(found["Id"])
            yield found

    def pull_ahead(self, reference: str) -> str | None:
        """Pull an image that nobody waits for, and return its id; None where it made room for one that somebody waits for.

        Raises StartError where it cannot be had.
        """
        if (found := self._engine.inspect_image(reference)) is None:
            steps = self._engine.pull(reference, self._silence_ahead_s)
            with self._kept(ImageSource(name="", version="", reference=reference)), closing(steps):
                while not self._pulls.is_in_the_way(reference):
                    if next(steps, None) is None:
                        found = self._engine.inspect_image(reference)
                        break
        if found is None:
            return None
        self.shelf.note_used(found["Id"])
        return str(found["Id"])

    def look(self) -> list[HeldImage]:
        """What is here that concerns the scheduler; what is too much is removed first. Raises EngineError."""
        self.trim()
        return self.shelf.look()

    def free(self) -> int:
        """Bytes that are free where the engine keeps images, or where that cannot be seen, where this executor is."""
        root = Path(self._engine.machine().root)
        return shutil.disk_usage(root if root.exists() else self._settings.sandbox).free

    def trim(self, *, all_of_it: bool = False) -> list[str]:
        """Remove those used least recently until the rest is within the limit, or all that nobody needs; the ids of these.

        Raises EngineError.
        """
        limit = 0.0 if all_of_it else self._settings.image_cache_mib * 2**20
        if not limit and not all_of_it:
            return []
        stored = self.shelf.list_stored()
        removed: list[str] = []
        for image in [image for image in stored if image.is_removable]:
            if total(stored) <= limit:
                break
            if self._remove(image):
                stored.remove(image)
                removed.append(image.id)
        return removed

    def _remove(self, image: Stored) -> bool:
        with self._lock:
            if self._held.keys() & {image.id, *image.digests}:
                return False
            # By its digests, one after another: the engine removes the image with the last of them.
            done = [self._engine.remove_image(name) for name in image.digests]
        if not any(done):
            return False
        log.info("removed image %s, which had not been used for the longest time", image.digests[0])
        return True

    @contextmanager
    def _kept(self, source: ImageSource) -> Iterator[None]:
        names = Counter(name for name in (source.image_id, source.reference) if name)
        with self._lock:
            self._held += names
        try:
            yield
        finally:
            with self._lock:
                self._held -= names
                for name in names - self._held:
                    self._known.pop(name, None)

    def _find(self, source: ImageSource) -> Mapping[str, Any] | None:
        """What another attempt holds already is there: the engine is not asked for it once more."""
        for name in (source.image_id, source.reference):
            if name and (found := self._known.get(name) or self._engine.inspect_image(name)) is not None:
                return found
        return None

    def _know(self, source: ImageSource, image: Mapping[str, Any]) -> None:
        for name in (source.image_id, source.reference):
            if name and name in (image["Id"], *(image.get("RepoDigests") or ())):
                self._known[name] = image

    def _fetch(self, source: ImageSource, on_wait: Callable[[str], None]) -> Mapping[str, Any]:
        if not source.reference:
            message = f"image {source.image_id} is not on this agent's engine, and no registry is named to pull it from"
            raise StartError(Cause.IMAGE, message)
        self._pulls.wait_for(source.reference, on_wait)
        found = self._engine.inspect_image(source.reference)
        if found is None:
            raise StartError(Cause.IMAGE, f"{source.reference} was pulled and is not there")
        return found

    def _pull(self, reference: str) -> Generator[str, None, None]:
        """Words of progress until the image is here: again where the registry has trouble, and after making room."""
        pauses, trimmed = iter(AGAIN_S), False
        while True:
            try:
                yield from describe(reference, self._engine.pull(reference, SILENCE_S))
                return
            except FullError:
                if trimmed or not self.trim(all_of_it=True):
                    raise
                trimmed = True
            except PassingError as error:
                if (pause_s := next(pauses, None)) is None:
                    raise
                yield f"{error}; another try in {pause_s:g} s"
                time.sleep(pause_s)

    def _check_platform(self, image: Mapping[str, Any], source: ImageSource) -> None:
        platform, here = f"{image.get('Os', '')}/{image.get('Architecture', '')}", self._engine.machine().platform
        if platform not in (*_PLATFORM_OF_ALL, here):
            name = source.reference or source.image_id
            raise StartError(Cause.IMAGE, f"{name} is made for {platform}, and this agent is {here}")


def _check_label(image: Mapping[str, Any], spec: AttemptSpec) -> None:
    """An image that says it is another one is not the one that was registered, whatever its digest."""
    text = ((image.get("Config") or {}).get("Labels") or {}).get(LABEL)
    try:
        said = read_strictly(text)["job"]["name"] if text else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return  # a label that says nothing: the catalogue has a manifest of its own for it
    expected = spec.manifest["job"]["name"]
    if said is not None and said != expected:
        raise StartError(
            Cause.IMAGE, f"the image's label says that it is {said!r:.200}, and it is registered as {expected!r}"
        )

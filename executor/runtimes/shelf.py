"""The images on the engine that concern the scheduler.

Those that attempts here have used, those with a Seed manifest, and those that have a digest and no tag: so they are pulled for
jobs, and hardly ever by others. A machine may hold thousands besides; nobody asks for them.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from executor.runtimes.engine import Engine
from swath.domain.images import MOST_IMAGES, MOST_NAMES, HeldImage, is_name
from swath.domain.manifest import LABEL

_DIGITS = 16  # of a layer's digest: enough to tell it from any other

_ABOUT_THE_CONFIG = re.compile(
    r"ARG|CMD|ENTRYPOINT|ENV|EXPOSE|HEALTHCHECK|LABEL|MAINTAINER|ONBUILD|SHELL|STOPSIGNAL|USER|VOLUME"
)

Layers = Mapping[str, int]


class Shelf:
    """What to tell of the engine's images; any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._used: OrderedDict[str, None] = OrderedDict()  # ids, the last used last
        self._layers: dict[str, Layers] = {}  # of ids: an image never changes

    def note_used(self, image_id: str) -> None:
        """An attempt runs in that image."""
        with self._lock:
            self._used[image_id] = None
            self._used.move_to_end(image_id)
            if len(self._used) > MOST_IMAGES:
                self._used.popitem(last=False)

    def look(self) -> list[HeldImage]:
        """The images that are there, those used last first, then the newest; raises EngineError."""
        with self._lock:
            used = list(reversed(self._used))
        ids = dict.fromkeys([*used, *(image["Id"] for image in self._engine.list_images() if concerns_us(image))])
        found = list(islice(self._describe(ids), MOST_IMAGES))
        here = {image.names[0] for image in found}
        self._layers = {image_id: layers for image_id, layers in self._layers.items() if image_id in here}
        return found

    def _describe(self, ids: Mapping[str, None]) -> Iterator[HeldImage]:
        for image_id in ids:
            image = self._engine.inspect_image(image_id)
            if image is not None:
                digests = image.get("RepoDigests") or []
                names = [name for name in (image_id, *digests) if is_name(name)]
                yield HeldImage(names=tuple(names[:MOST_NAMES]), size=int(image["Size"]), layers=self._find(image))

    def _find(self, image: Mapping[str, Any]) -> Layers:
        image_id = image["Id"]
        if image_id not in self._layers:
            self._layers[image_id] = to_layers(image, self._engine.read_history(image_id))
        return self._layers[image_id]


def concerns_us(image: Mapping[str, Any]) -> bool:
    """True for an entry of the engine's list that has a Seed manifest, or was pulled as a job's image is."""
    is_tagged = any(tag != "<none>:<none>" for tag in image.get("RepoTags") or ())
    has_digest = any(digest != "<none>@<none>" for digest in image.get("RepoDigests") or ())
    return LABEL in (image.get("Labels") or {}) or (has_digest and not is_tagged)


def to_layers(image: Mapping[str, Any], history: list[Mapping[str, Any]]) -> Layers:
    """Each layer with its bytes, as far as can be told: the history has steps, newest first, of which some left no layer."""
    layers = [layer.partition(":")[2][:_DIGITS] for layer in image.get("RootFS", {}).get("Layers") or []]
    steps = [step for step in reversed(history) if step["Size"] or not is_about_the_config(step.get("CreatedBy") or "")]
    sizes = [int(step["Size"]) for step in steps]
    if len(sizes) != len(layers):
        sizes = [int(image["Size"]) // len(layers)] * len(layers) if layers else []
    return dict(zip(layers, sizes, strict=True))


def is_about_the_config(created_by: str) -> bool:
    """True for a step that writes no file; one without a description leaves a layer only where it has a size."""
    words = created_by.removeprefix("/bin/sh -c #(nop)").split()
    return not words or _ABOUT_THE_CONFIG.fullmatch(words[0]) is not None

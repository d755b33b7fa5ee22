"""The images on the engine that concern the scheduler.

Those that attempts here have used, those with a Seed manifest, and those that have a digest and no tag: so they are pulled for
jobs, and hardly ever by others. A machine may hold thousands besides; nobody asks for them.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from executor.runtimes.engine import Engine
from swath.domain.images import MOST_IMAGES, MOST_NAMES, HeldImage, is_name
from swath.domain.manifest import LABEL

_DIGITS = 16  # of a layer's digest: enough to tell it from any other

_ABOUT_THE_CONFIG = re.compile(
    r"ARG|CMD|ENTRYPOINT|ENV|EXPOSE|HEALTHCHECK|LABEL|MAINTAINER|ONBUILD|SHELL|STOPSIGNAL|USER|VOLUME"
)

NAME = "swath-images.json"  # in the executor's sandbox: when which image was used last, for its successors
_WRITE_S = 60.0  # an image that is used all the time is written down so often

log = logging.getLogger(__name__)

Layers = Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """An image that takes room here."""

    id: str
    digests: tuple[str, ...]  # "repository@sha256:...", by which it is removed
    is_removable: bool  # a registry has it, and nobody has given it a tag here
    layers: Layers


class Shelf:
    """What to tell of the engine's images, and which were used when; any thread."""

    def __init__(self, engine: Engine, sandbox: Path) -> None:
        self._engine = engine
        self._path = sandbox / NAME
        self._lock = threading.Lock()
        self._used = _read_uses(sandbox.parent)  # ids, the last used last: when
        self._written_at_s: dict[str, float] = {}
        self._layers: dict[str, Layers] = {}  # of ids: an image never changes

    def note_used(self, image_id: str) -> None:
        """An attempt runs in that image."""
        now = time.time()
        with self._lock:
            self._used[image_id] = now
            self._used.move_to_end(image_id)
            if len(self._used) > MOST_IMAGES:
                self._used.popitem(last=False)
            if now - self._written_at_s.get(image_id, 0.0) > _WRITE_S:
                self._written_at_s[image_id] = now
                self._write()

    def close(self) -> None:
        """Write down for a successor what was used when, to the moment; after a kill -9 it is known to the minute."""
        with self._lock:
            self._write()

    def list_stored(self) -> list[Stored]:
        """The images of ours, those that were used least recently first, then the oldest; raises EngineError."""
        with self._lock:
            used = dict(self._used)
        images = [image for image in self._engine.list_images() if image["Id"] in used or concerns_us(image)]
        images.sort(key=lambda image: (used.get(image["Id"], 0.0), image.get("Created", 0)))
        return [stored for image in images if (stored := self._to_stored(image)) is not None]

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

    def _to_stored(self, image: Mapping[str, Any]) -> Stored | None:
        found = self._engine.inspect_image(image["Id"])
        return (
            None
            if found is None
            else Stored(
                id=image["Id"],
                digests=tuple(found.get("RepoDigests") or ()),
                is_removable=_has_digest(image) and not _has_tag(image),
                layers=self._find(found),
            )
        )

    def _write(self) -> None:
        if not self._used:
            return
        try:
            new = self._path.with_suffix(".new")
            new.write_text(json.dumps(self._used))
            new.replace(self._path)
        except OSError as error:
            log.warning("when images were used cannot be written down: %s", error)

    def _find(self, image: Mapping[str, Any]) -> Layers:
        image_id = image["Id"]
        if image_id not in self._layers:
            self._layers[image_id] = to_layers(image, self._engine.read_history(image_id))
        return self._layers[image_id]


def concerns_us(image: Mapping[str, Any]) -> bool:
    """True for an entry of the engine's list that has a Seed manifest, or was pulled as a job's image is."""
    return LABEL in (image.get("Labels") or {}) or (_has_digest(image) and not _has_tag(image))


def total(images: Iterable[Stored]) -> int:
    """Bytes that these images take; a layer that several have counts once."""
    return sum({layer: size for image in images for layer, size in image.layers.items()}.values())


def _has_tag(image: Mapping[str, Any]) -> bool:
    return any(tag != "<none>:<none>" for tag in image.get("RepoTags") or ())


def _has_digest(image: Mapping[str, Any]) -> bool:
    return any(digest != "<none>@<none>" for digest in image.get("RepoDigests") or ())


def _read_uses(runs: Path) -> OrderedDict[str, float]:
    """What former runs of this executor have written down (`.../runs/<container>/`); a damaged file says nothing."""
    uses: dict[str, float] = {}
    for path in runs.glob(f"*/{NAME}"):
        try:
            found = {str(image): float(at) for image, at in json.loads(path.read_text()).items()}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            continue
        uses |= {image: max(at, uses.get(image, 0.0)) for image, at in found.items()}
    return OrderedDict(sorted(uses.items(), key=lambda entry: entry[1])[-MOST_IMAGES:])


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

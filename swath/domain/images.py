"""What executors and the scheduler tell each other, most of it of images and engines: best effort, by Mesos' MESSAGE.

Each is a JSON object with a `kind` and a `version`. What a reader does not know it passes by, a field or a whole kind; a change
that older readers would get wrong is another kind.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from swath.domain.document import Document, known
from swath.domain.errors import InvalidInputError
from swath.domain.secret_messages import SEALED, WANTED, SecretsAnswer, SecretsOrder
from swath.domain.slots import WORK, WorkOrder
from swath.domain.strict_json import read_strictly

REPORT, PREFETCH, ENGINE = "images", "prefetch", "engine"  # the kinds
MOST_IMAGES = 200  # in a report ...
MOST_BYTES = 64 * 1024  # ... and of its JSON
MOST_NAMES = 8  # of one image
MOST_WORDS = 1000  # characters of an engine's problem
_MOST_LAYERS = 128  # the engine knows no more than 127
_MOST_SIZE = 2**50  # bytes
_NAME = re.compile(r"[!-~]{1,300}")
_LAYER = re.compile(r"[0-9a-f]{16}")
_ENVELOPE = 300  # bytes of a report without images, at most


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldImage:
    """An image on an agent's engine."""

    names: tuple[str, ...]  # its id, and "repository@sha256:..." of each repository that it came from
    size: int  # bytes
    layers: Mapping[str, int] = field(default_factory=dict)  # 16 digits of each layer's digest -> its bytes, about

    @classmethod
    def from_value(cls, value: Any) -> HeldImage:
        """Raises ValueError, TypeError or KeyError where it is none."""
        said = known(cls, value)
        names, size, layers = said["names"], said["size"], said.get("layers") or {}
        if not (isinstance(names, list) and 0 < len(names) <= MOST_NAMES and all(map(is_name, names))):
            raise ValueError("impossible names of an image")
        if not (isinstance(layers, dict) and len(layers) <= _MOST_LAYERS and all(map(_LAYER.fullmatch, layers))):
            raise ValueError("impossible layers of an image")
        if not all(map(_is_size, (size, *layers.values()))):
            raise ValueError("an impossible size of an image")
        return cls(names=tuple(names), size=size, layers=layers)


# Thousands of agents hold the same images: each is checked once, and kept once in memory.
_known: dict[str, tuple[Any, HeldImage]] = {}  # an image's first name -> its JSON, and the value of that
_MOST_KNOWN = 4096


def _read_image(value: Any) -> HeldImage:
    """Raises ValueError, TypeError or KeyError where it is none."""
    names = value["names"]
    first = names[0] if isinstance(names, list) and names else None
    if not isinstance(first, str):
        return HeldImage.from_value(value)
    said, image = _known.get(first, (None, None))
    if image is None or said != value:
        image = HeldImage.from_value(value)
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[first] = (value, image)
    return image


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagesReport(Document):
    """What an executor says of its agent's engine. Only a hint: images come and go without anybody's word."""

    kind: str = REPORT
    version: int = 1
    engine: bool  # a Docker engine answers: images can be pulled
    processes: bool  # commands may run outside of containers: a build context is all that they need
    images: tuple[HeldImage, ...] = ()

    @classmethod
    def of(cls, images: Iterable[HeldImage], *, engine: bool, processes: bool) -> Self:
        """A report of the first of these images: as many as it may hold."""
        kept: list[HeldImage] = []
        room = MOST_BYTES - _ENVELOPE
        for image in images:
            room -= len(json.dumps(asdict(image)))  # a little more than it takes
            if len(kept) == MOST_IMAGES or room < 0:
                break
            kept.append(image)
        return cls(engine=engine, processes=processes, images=tuple(kept))

    @property
    def names(self) -> frozenset[str]:
        """All names of all images."""
        return frozenset(name for image in self.images for name in image.names)

    def to_value(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def _typed(cls, document: dict[str, Any]) -> dict[str, Any]:
        """Every field of its type and within bounds: whoever runs on an agent may have written it."""
        images = document.get("images", [])
        if not (isinstance(images, list) and len(images) <= MOST_IMAGES):
            raise ValueError("impossible images")
        if not (isinstance(document["engine"], bool) and isinstance(document["processes"], bool)):
            raise TypeError("engine and processes are true or false")
        if not _is_size(document.get("version", 1)):
            raise ValueError("an impossible version")
        return {**document, "kind": REPORT, "images": tuple(map(_read_image, images))}


@dataclass(frozen=True, kw_only=True, slots=True)
class PrefetchOrder(Document):
    """What the scheduler tells an executor: an image will be wanted there soon. Whether to pull it is the executor's affair."""

    kind: str = PREFETCH
    version: int = 1
    reference: str  # "registry/repository@sha256:..."

    @classmethod
    def _typed(cls, document: dict[str, Any]) -> dict[str, Any]:
        if not is_name(document["reference"]):
            raise ValueError("an impossible reference")
        return {**document, "kind": PREFETCH}


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineReport(Document):
    """What an executor says of its agent's engine while it is sick, again and again, and once more when it is well."""

    kind: str = ENGINE
    version: int = 1
    problem: str | None = None  # None: it is well

    @classmethod
    def _typed(cls, document: dict[str, Any]) -> dict[str, Any]:
        problem = document.get("problem")
        if not (problem is None or (isinstance(problem, str) and 0 < len(problem) <= MOST_WORDS)):
            raise ValueError("an impossible problem")
        return {**document, "kind": ENGINE}


FromMessage = ImagesReport | PrefetchOrder | EngineReport | WorkOrder | SecretsOrder | SecretsAnswer

_KINDS: dict[str, type[FromMessage]] = {
    REPORT: ImagesReport,
    PREFETCH: PrefetchOrder,
    ENGINE: EngineReport,
    WORK: WorkOrder,
    WANTED: SecretsOrder,
    SEALED: SecretsAnswer,
}


def read_message(data: bytes, most: int | None = MOST_BYTES) -> FromMessage | None:
    """What a MESSAGE says; None for what only a newer version knows. Raises InvalidInputError where it is nothing of ours.

    `most` bytes are read; None for whoever speaks with somebody that he takes orders from, of any length.
    """
    if most is not None and len(data) > most:
        raise InvalidInputError.at("", f"{len(data)} bytes are too many for a message, {most} at most")
    try:
        value = read_strictly(data)
    except ValueError as error:
        raise InvalidInputError.at("", f"is no message: {error}") from error
    if not (isinstance(value, dict) and isinstance(value.get("kind"), str)):
        raise InvalidInputError.at("", "is no object with a kind")
    kind = _KINDS.get(value["kind"])
    return None if kind is None else kind.from_value(value)


def is_name(value: object) -> bool:
    """True for what may be the name of an image: short, and of printable ASCII."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_SIZE

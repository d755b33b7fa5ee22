"""STAC items among an image's outputs, completed with what only Swath knows: checksums, inputs, and what made them.

An item describes files beside it by relative hrefs. What the image says stands, except what is said here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from posixpath import dirname, join, normpath
from typing import Any
from urllib.parse import unquote

from swath.domain.attempts import OutputFile
from swath.domain.checksums import Checksum, read_checksum, to_multihash

FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
MEDIA_TYPE = "application/geo+json"  # of an item, says the specification


@dataclass(frozen=True, kw_only=True, slots=True)
class Lineage:
    """How outputs came to be."""

    job: str
    task: int
    attempt: str
    software: str  # the image's name ...
    version: str  # ... and version
    image: str | None  # the reference with its digest, or the engine's id of it
    inputs: Sequence[tuple[str, str]] = ()  # (name of the input, href without what may be secret)
    checksums: Mapping[str, str] = field(default_factory=dict)  # href -> as declared
    parameters: Mapping[str, Any] = field(default_factory=dict)


def is_item(document: Any) -> bool:
    """Whether a JSON document is a STAC item, whose parts have the types that are worked with here."""
    return (
        isinstance(document, dict)
        and document.get("type") == "Feature"
        and isinstance(document.get("stac_version"), str)
        and isinstance(document.get("properties"), dict)
        and isinstance(document.get("assets"), dict)
        and isinstance(document.get("links"), list)
        and isinstance(document.get("stac_extensions", []), list)
        and all(isinstance(asset, dict) for asset in document["assets"].values())
    )


def complete_item(item: Mapping[str, Any], path: str, files: Sequence[OutputFile], lineage: Lineage) -> dict[str, Any]:
    """An item that lies at `path` among the outputs, with size and checksum of each asset that is one of `files`."""
    known = {file.path: file for file in files if file.path != path}
    assets = {name: _complete_asset(asset, path, known) for name, asset in item["assets"].items()}
    has_files = any("file:checksum" in asset for asset in assets.values())
    extensions = [*item.get("stac_extensions", []), *([FILE] if has_files else []), PROCESSING]
    return {
        **item,
        "stac_extensions": list(dict.fromkeys(entry for entry in extensions if isinstance(entry, str))),
        "properties": {**item["properties"], **_describe(lineage)},
        "links": [*item["links"], *_derived_from(lineage)],
        "assets": assets,
    }


def _complete_asset(asset: Mapping[str, Any], path: str, files: Mapping[str, OutputFile]) -> dict[str, Any]:
    href = asset.get("href")
    file = files.get(_resolve(href, path)) if isinstance(href, str) else None
    if file is None or file.sha256 is None:
        return dict(asset)
    checksum = to_multihash(Checksum(algorithm="sha256", digest=file.sha256))
    return {**asset, "file:size": file.size, "file:checksum": checksum}


def _resolve(href: str, path: str) -> str:
    """The output that a relative href beside the output `path` names."""
    return normpath(join(dirname(path), unquote(href)))


def _describe(lineage: Lineage) -> dict[str, Any]:
    said = {
        "processing:software": {lineage.software: lineage.version},
        "swath:image": lineage.image,
        "swath:job": lineage.job,
        "swath:task": lineage.task,
        "swath:attempt": lineage.attempt,
        "swath:parameters": dict(lineage.parameters),
    }
    return {name: value for name, value in said.items() if value is not None}


def _derived_from(lineage: Lineage) -> list[dict[str, Any]]:
    return [
        {"rel": "derived_from", "href": href, "title": name, **_to_sum(lineage.checksums.get(href))}
        for name, href in lineage.inputs
    ]


def _to_sum(declared: str | None) -> dict[str, str]:
    return {} if declared is None else {"file:checksum": to_multihash(read_checksum(declared))}

"""Between a job's document and what is stored of it: the items of an array stand in chunks of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from swath.domain.jobs import ArraySpec, JobSpec

CHUNK = 10_000  # items; a chunk of hrefs is a megabyte or two


def to_stored(spec: JobSpec) -> dict[str, Any]:
    """The job's document, its array of items replaced by their number: {"over": "SCENE", "size": 12}."""
    document = spec.to_document()
    if spec.array is not None and spec.array.items is not None:
        document["array"] = {"over": spec.array.over, "size": spec.array.size}
    return document


def from_stored(document: Mapping[str, Any]) -> JobSpec:
    """The job of a stored document. The items of its array are not there: `items` is empty, not None."""
    array = document.get("array")
    if not array or "size" not in array:
        return JobSpec.from_document(document)
    spec = JobSpec.from_document({**document, "array": None})
    return replace(spec, array=ArraySpec(over=array["over"], items=()), document=document)


def has_stored_items(document: Mapping[str, Any]) -> bool:
    """True when the job's items are in `job_inputs`."""
    return bool(document.get("array")) and "size" in document["array"]


def to_chunks(spec: JobSpec) -> Iterator[tuple[int, list[Any]]]:
    """(chunk, items) of the job's array; nothing for a range or a job without an array."""
    items = spec.array.items if spec.array is not None and spec.array.items is not None else ()
    for first in range(0, len(items), CHUNK):
        yield first // CHUNK, list(items[first : first + CHUNK])


def chunks_of(indices: Iterable[int]) -> list[int]:
    """The chunks that hold `indices`, in order."""
    return sorted({index // CHUNK for index in indices})

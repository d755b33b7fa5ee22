"""What differs between two versions of an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def find_differences(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(JSON pointer, value before, value after) of each place where two documents differ; None where one has nothing.

    Lists of objects with names are compared by name: an input that was inserted changes no other one.
    """
    old, new = _to_mapping(before), _to_mapping(after)
    if old is None or new is None:
        if before != after:
            yield path, before, after
        return
    for key in dict.fromkeys((*old, *new)):
        yield from find_differences(old.get(key), new.get(key), f"{path}/{_escape(key)}")


def compare_layers(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many layers are shared, and the bytes of these and of what only one of both has."""
    old = {layer["digest"]: layer["size"] for layer in before}
    new = {layer["digest"]: layer["size"] for layer in after}
    shared = old.keys() & new.keys()
    return {
        "shared": len(shared),
        "shared_bytes": sum(new[digest] for digest in shared),
        "removed": len(old.keys() - shared),
        "added": len(new.keys() - shared),
        "added_bytes": sum(new[digest] for digest in new.keys() - shared),
    }


def compare_packages(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, Any]:
    """Packages that came, went, or are of another version."""
    both = sorted(before.keys() & after.keys())
    return {
        "added": {name: after[name] for name in sorted(after.keys() - before.keys())},
        "removed": {name: before[name] for name in sorted(before.keys() - after.keys())},
        "changed": {name: [before[name], after[name]] for name in both if before[name] != after[name]},
    }


def _to_mapping(value: Any) -> dict[str, Any] | None:
    """The parts by which a value is compared; None for one that is compared as a whole."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list) and value and all(isinstance(part, Mapping) and "name" in part for part in value):
        named = {str(part["name"]): part for part in value}
        return named if len(named) == len(value) else None
    return None


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")

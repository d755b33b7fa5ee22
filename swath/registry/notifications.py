"""What a registry tells of itself: the envelope of the distribution project's notifications, read strictly. Pure.

    {"events": [{"action": "push", "target": {"mediaType": ..., "digest": "sha256:...", "repository": "eo/ndvi", "tag": "1"},
                 "request": {"host": "registry.example:5000"}, ...}]}

Registries of every version put more into it than is read here. An event of another kind, of a layer, or that cannot be
understood is passed by: the registry would send it again for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from swath.domain.errors import InvalidInputError
from swath.domain.references import LONGEST, Reference, is_digest, is_host, is_repository, is_tag
from swath.domain.strict_json import read_strictly
from swath.registry.manifests import INDEXES, MANIFESTS

MOST_EVENTS = 1000  # of one envelope; registries send one at a time


class Action(StrEnum):
    """What happened to a manifest."""

    PUSH = "push"
    DELETE = "delete"


@dataclass(frozen=True, kw_only=True, slots=True)
class Happening:
    """A manifest that came, or went."""

    action: Action
    reference: Reference  # with its digest, and the tag that it was pushed by


def read_envelope(body: bytes) -> tuple[list[Happening], int]:
    """The events that matter, each once, in order, and how many were passed by; raises InvalidInputError for no envelope."""
    try:
        document = read_strictly(body)
    except ValueError as error:
        raise InvalidInputError.at("", f"is no JSON: {error}") from error
    events = document.get("events") if isinstance(document, dict) else None
    if not isinstance(events, list):
        raise InvalidInputError.at("/events", "is required: a list, as a registry's notification has it")
    if len(events) > MOST_EVENTS:
        raise InvalidInputError.at("/events", f"has {len(events)} entries, {MOST_EVENTS} at most")
    found = [happening for event in events for happening in _read(event)]
    return list(dict.fromkeys(found)), len(events) - len(found)


def _read(event: Any) -> Iterator[Happening]:
    """What an event says, if it is about a manifest."""
    target, request = _object(event, "target"), _object(event, "request")
    action, kind = event.get("action") if isinstance(event, dict) else None, target.get("mediaType")
    pushed = action == Action.PUSH and kind in (*INDEXES, *MANIFESTS)
    deleted = action == Action.DELETE and kind in (*INDEXES, *MANIFESTS, None, "")  # older registries do not say
    if not (pushed or deleted):
        return
    reference = _to_reference(request.get("host"), target, tagged=pushed)
    if reference is not None:
        yield Happening(action=Action.PUSH if pushed else Action.DELETE, reference=reference)


def _to_reference(host: Any, target: Mapping[str, Any], *, tagged: bool) -> Reference | None:
    """The manifest's name; None for what is none."""
    repository, digest = target.get("repository"), target.get("digest")
    tag = (target.get("tag") or None) if tagged else None
    if not (isinstance(host, str) and is_host(host) and isinstance(repository, str) and is_repository(repository)):
        return None
    if len(host) + len(repository) + 1 > LONGEST:
        return None
    if not (isinstance(digest, str) and is_digest(digest)):
        return None
    if tag is not None and not (isinstance(tag, str) and is_tag(tag)):
        return None
    return Reference(host=host.lower(), repository=repository, tag=tag, digest=digest)


def _object(value: Any, name: str) -> Mapping[str, Any]:
    part = value.get(name) if isinstance(value, dict) else None
    return part if isinstance(part, dict) else {}

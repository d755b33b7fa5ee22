"""What the store gives back of the image catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from swath.domain.catalogue import ImageState


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRow:
    """One version of an image: a digest with its manifest."""

    id: int
    name: str
    version: str
    digest: str  # "sha256:..."
    reference: str | None  # "registry/repository@sha256:..."
    image_id: str | None  # an image that exists on one engine only
    context: str | None  # absolute path of the build context, or "builtin:true"
    manifest: Mapping[str, Any]  # Seed
    swath_manifest: Mapping[str, Any] | None
    state: ImageState
    created_at: datetime
    registered_at: datetime  # the last time; the newest of several digests serves "name:version"

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"


@dataclass(frozen=True, kw_only=True, slots=True)
class DetailsRow:
    """What is known of a version beyond what a run needs; None where nobody has said it."""

    media_type: str | None = None
    size: int | None = None  # bytes, compressed as a registry keeps them
    platform: str | None = None  # "linux/amd64"
    runs_as: str | None = None  # the user in its configuration; "" for root
    layers: Sequence[Mapping[str, Any]] | None = None  # {"digest": "sha256:...", "size": bytes}
    labels: Mapping[str, str] | None = None
    provenance: Mapping[str, str] | None = None  # revision, source, pipeline, sbom: where each is to be found
    packages: Mapping[str, str] | None = None  # version by name, from the bill of materials
    tag: str | None = None  # "registry/repository:tag" that it was registered by
    tag_digest: str | None = None  # what that tag pointed to when somebody looked last
    signed_by: str | None = None  # fingerprint of the key whose signature was verified
    pushed_by: str | None = None
    profile: Mapping[str, Any] | None = None  # what its verification has measured
    missing_since: datetime | None = None  # since when its registry does not have the digest


@dataclass(frozen=True, kw_only=True, slots=True)
class CataloguedRow:
    """A version as the catalogue shows it."""

    image: ImageRow
    details: DetailsRow
    owner: str | None  # None where it was registered before images had owners
    projects: Sequence[str] | None  # that may run it; None for all


@dataclass(frozen=True, kw_only=True, slots=True)
class TransitionRow:
    """One change of a version's state."""

    before: ImageState | None  # None at its registration
    after: ImageState
    user: str
    why: str
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFilters:
    """Which versions to list; None lets all pass."""

    name: str | None = None
    text: str | None = None  # somewhere in its name, title, description, tags or labels
    state: ImageState | None = None
    owner: str | None = None
    project: str | None = None  # that may run it
    labels: Mapping[str, str] = field(default_factory=dict)  # all of them

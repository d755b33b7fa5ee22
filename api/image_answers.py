"""What the image catalogue answers."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from api.answers import Answered
from api.tenant_answers import UsageAnswer


class ImageAnswer(Answered):
    """An image version; what nobody knows is null."""

    name: str
    version: str
    digest: str
    reference: str | None
    image_id: str | None
    context: str | None
    manifest: dict[str, Any]
    swath_manifest: dict[str, Any] | None
    state: str = Field(description="REGISTERED, VERIFYING, ACTIVE, REJECTED, DEPRECATED or RETIRED")
    created_at: str
    registered_at: str
    owner: str | None
    projects: list[str] | None = Field(description="that may run it; null for all")
    media_type: str | None
    size: int | None = Field(description="bytes, compressed")
    platform: str | None
    runs_as: str | None = Field(description='the user in its configuration; "" for root')
    layers: list[dict[str, Any]] | None
    labels: dict[str, str] | None
    provenance: dict[str, str] | None = Field(description="revision, source, pipeline, sbom")
    packages: dict[str, str] | None = Field(description="version by name; in lists always null")
    tag: str | None = Field(description="that it was registered by")
    tag_digest: str | None = Field(description="what that tag pointed to when somebody looked last")
    signed_by: str | None
    pushed_by: str | None
    profile: dict[str, Any] | None = Field(description="what its verification has measured")
    missing_since: str | None = Field(description="since when its registry does not have it")


class ImagePage(Answered):
    """Image versions."""

    items: list[ImageAnswer]
    next: str | None


class TransitionAnswer(Answered):
    """One change of a version's state."""

    before: str | None
    after: str
    user: str
    why: str
    at: str


class TransitionList(Answered):
    """What became of a version."""

    items: list[TransitionAnswer]


class ImageUsageAnswer(UsageAnswer):
    """What the attempts of a name and version have held and used, whatever its digest was."""

    failure_rate: float | None = Field(description="of the attempts that say something about the image")


class DifferenceAnswer(Answered):
    """One place of the manifests that differs."""

    path: str
    before: Any
    after: Any


class ComparisonAnswer(Answered):
    """What differs between two versions."""

    before: str
    after: str
    manifest: list[DifferenceAnswer]
    size: dict[str, int | None]
    layers: dict[str, int] | None
    packages: dict[str, dict[str, Any]] | None

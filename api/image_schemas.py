"""What may be sent to the image catalogue."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from api.schemas import AbsolutePath, Key, Line, Sent, Shown
from swath.domain.references import LONGEST_TEXT

MOST_PROJECTS = 200  # that are named for one image
Why = Annotated[str, StringConstraints(min_length=1, max_length=1000), Shown]
Place = Annotated[str, StringConstraints(min_length=1, max_length=2048, pattern=r"^[^\s\x00-\x1f\x7f]+$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
RegistryReference = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_TEXT), Shown]


class ProvenanceDocument(Sent):
    """Where an image comes from."""

    revision: Line | None = Field(default=None, description="of the source, such as git's commit")
    source: Place | None = Field(default=None, description="address of the source")
    pipeline: Place | None = Field(default=None, description="address of the pipeline's run that built it")
    sbom: Place | None = Field(default=None, description="where its bill of materials is kept")


class ImageDocument(Sent):
    """An image version to register: its Seed manifest, and at least one place where it is found."""

    manifest: dict[str, Any] | None = Field(
        default=None,
        description="Seed 1.0.0; its job's name and jobVersion name the image version. Read from the image's label where "
        "it is not given",
    )
    swath_manifest: dict[str, Any] | None = None
    reference: RegistryReference | None = Field(default=None, description="REGISTRY/REPOSITORY[:TAG]@sha256:DIGEST")
    image_id: Line | None = Field(default=None, description="sha256:... of an image that exists on one engine only")
    context: AbsolutePath | None = Field(default=None, description="absolute path of the build context")
    provenance: ProvenanceDocument = ProvenanceDocument()
    sbom: dict[str, Any] | None = Field(default=None, description="SPDX or CycloneDX, for its list of packages")


class StateDocument(Sent):
    """What a version is to become, and why."""

    state: Literal["REGISTERED", "VERIFYING", "ACTIVE", "REJECTED", "DEPRECATED", "RETIRED"]
    why: Why


class OwnershipDocument(Sent):
    """Whose an image is, and who may run it."""

    owner: Line
    projects: list[Key] | None = Field(
        default=None, max_length=MOST_PROJECTS, description="that may run it, with what is below them; null for all"
    )

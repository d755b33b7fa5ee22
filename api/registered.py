"""What an image's registry says of it, where it is registered by a reference: manifests from its labels, digest, size, user."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict
from typing import Any

from api.errors import MOST_ERRORS
from api.image_schemas import ImageDocument, ProvenanceDocument
from api.parsing import find_unstorable
from swath.domain.errors import InvalidInputError, NotInRegistryError, RegistryError
from swath.domain.manifest import LABEL, SWATH_LABEL
from swath.domain.references import Reference
from swath.domain.strict_json import read_strictly
from swath.registry.client import RegistryClient, RegistryImage
from swath.store.rows import DetailsRow

DEADLINE_S = 30.0  # for all that is asked; a registry's webhook waits as long
REVISION, SOURCE = "org.opencontainers.image.revision", "org.opencontainers.image.source"


def describe(
    document: ImageDocument, registries: RegistryClient, *, always: bool = False
) -> tuple[ImageDocument, DetailsRow]:
    """The document with what the image says of itself, and the details that its registry knows.

    A registry is asked where the document leaves the manifest to it, where SWATH_REGISTRIES names it, and `always`. Raises
    InvalidInputError for what is not there, or says otherwise than the document; RegistryError where nobody can tell.
    """
    if document.reference is None:
        return document, DetailsRow()
    reference = Reference.parse(document.reference, "/reference")
    needed = document.manifest is None or registries.knows(reference.host)
    if not (needed or always):
        return document, DetailsRow()
    try:
        image = registries.inspect(reference, deadline_s=DEADLINE_S)
    except NotInRegistryError as error:
        raise InvalidInputError.at("/reference", str(error)) from error
    except RegistryError:
        if needed:
            raise
        return document, DetailsRow()  # the policy says that it knows too little
    changed: dict[str, Any] = {
        "reference": reference.pinned(image.digest).familiar,
        "manifest": _to_manifest(document.manifest, image, LABEL, "/manifest"),
        "swath_manifest": _to_manifest(document.swath_manifest, image, SWATH_LABEL, "/swath_manifest"),
        "provenance": _to_provenance(document.provenance, image),
    }
    return document.model_copy(update=changed), _to_details(reference, image)


def _to_manifest(said: dict[str, Any] | None, image: RegistryImage, label: str, place: str) -> dict[str, Any] | None:
    """The manifest in the image's label, which is the image's own word; one that is said beside it has to be the same."""
    text = image.labels.get(label)
    if text is None:
        if said is None and label == LABEL:
            raise InvalidInputError.at(place, f"is required: the image has no label {LABEL}")
        return said
    try:
        found = read_strictly(text)
    except ValueError as error:
        raise InvalidInputError.at(place, f"the image's label {label} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidInputError.at(place, f"the image's label {label} is no JSON object")
    if problems := list(itertools.islice(find_unstorable(found, (place.strip("/"),)), MOST_ERRORS)):
        raise InvalidInputError(problems)
    if said is not None and json.dumps(said, sort_keys=True) != json.dumps(found, sort_keys=True):
        raise InvalidInputError.at(place, f"is another than the image's own, in its label {label}: leave it out")
    return found


def _to_provenance(said: ProvenanceDocument, image: RegistryImage) -> ProvenanceDocument:
    """What the labels say where the document does not."""
    labels = {"revision": image.labels.get(REVISION), "source": image.labels.get(SOURCE)}
    told = {name: value for name, value in labels.items() if value and getattr(said, name) is None}
    try:
        return ProvenanceDocument.model_validate({**said.model_dump(), **told})
    except ValueError:  # labels are anybody's: what is no address is left out
        return said


def _to_details(reference: Reference, image: RegistryImage) -> DetailsRow:
    by_tag = Reference(host=reference.host, repository=reference.repository, tag=reference.tag)
    return DetailsRow(
        media_type=image.media_type,
        size=image.size,
        platform=image.platform,
        runs_as=image.user,
        layers=[asdict(layer) for layer in image.layers],
        labels=image.labels,
        tag=str(by_tag) if reference.tag else None,
        tag_digest=image.digest if reference.tag else None,
    )

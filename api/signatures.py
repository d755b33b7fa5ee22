"""Who has signed an image: cosign keeps its signatures beside it, under a tag that the digest names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from swath.domain.errors import NotInRegistryError
from swath.domain.references import Reference
from swath.registry.client import RegistryClient
from swath.registry.manifests import to_descriptor

if TYPE_CHECKING:
    from swath.vault.signatures import Key

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
_MOST = 20  # signatures of one image that are looked at


def find_signer(registries: RegistryClient, reference: str, keys: Mapping[str, Key]) -> str | None:
    """The fingerprint of one of `keys` that has signed what "registry/repository@digest" names; None where none has.

    Raises RegistryError where nobody can tell.
    """
    from swath.vault import signatures

    image = Reference.parse(reference, "/reference")
    digest = image.digest or ""
    place = replace(image, tag=f"{digest.replace(':', '-')}.sig", digest=None)
    try:
        _, manifest = registries.read_manifest(place)
        for layer in _list_signatures(manifest):
            payload = registries.read_blob(place, to_descriptor(layer, str(place)))
            signer = signatures.find_signer(keys, digest, payload, layer["annotations"][SIGNATURE])
            if signer is not None:
                return signer
    except NotInRegistryError:
        return None
    return None


def _list_signatures(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    layers = manifest.get("layers")
    found = [layer for layer in layers if _is_signature(layer)] if isinstance(layers, list) else []
    return found[:_MOST]


def _is_signature(layer: Any) -> bool:
    if not isinstance(layer, dict) or layer.get("mediaType") != PAYLOAD:
        return False
    annotations = layer.get("annotations")
    return isinstance(annotations, dict) and isinstance(annotations.get(SIGNATURE), str)

"""The client's part for the image catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from swath.asking import Asking


class ImageCalls(Asking):
    """What `swath.client.Client` says of images. A reference is "name", "name:version" or "name:version@sha256:..."."""

    def images(self, **filters: Any) -> list[dict[str, Any]]:
        """The catalogue's versions; filters are name, text, state, owner, project and label (a list of "key=value")."""
        return list(self._pages("/v1/images", filters, None))

    def image(self, reference: str) -> dict[str, Any]:
        """One version, whatever its state; of a name alone the one that serves it."""
        path, digest = _to_path(reference)
        return dict(self._ask("GET", path, params=digest))

    def register_image(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Add an image version: its manifest and where it is found (reference, image_id, context)."""
        return dict(self._ask("POST", "/v1/images", json=dict(document)))

    def move_image(self, reference: str, state: str, why: str) -> dict[str, Any]:
        """Bring a version into another state; raises ConflictError that says what it may become."""
        path, digest = self._to_version(reference)
        return dict(self._ask("POST", f"{path}/state", params=digest, json={"state": state, "why": why}))

    def image_transitions(self, reference: str) -> list[dict[str, Any]]:
        """What became of a version, the oldest first."""
        path, digest = self._to_version(reference)
        return list(self._ask("GET", f"{path}/transitions", params=digest)["items"])

    def image_usage(self, reference: str) -> dict[str, Any]:
        """What the attempts of a name and version held and used, how they ended, and which part of them failed."""
        return dict(self._ask("GET", f"{self._to_version(reference)[0]}/usage"))

    def compare_images(self, before: str, after: str) -> dict[str, Any]:
        """What differs between two versions; each "name:version" with or without a digest."""
        path, digest = self._to_version(before)
        return dict(self._ask("GET", f"{path}/compare", params={**digest, "with": after}))

    def own_image(self, name: str, owner: str, projects: Sequence[str] | None) -> dict[str, Any]:
        """Say whose an image is, and which projects may run it; None for all."""
        document = {"owner": owner, "projects": None if projects is None else list(projects)}
        return dict(self._ask("PUT", f"/v1/images/{quote(name, safe='')}", json=document))

    def _to_version(self, reference: str) -> tuple[str, dict[str, str]]:
        """(path, query) of the one version that is meant: what a name alone means is looked up first."""
        if ":" in reference.partition("@")[0]:
            return _to_path(reference)
        image = self.image(reference)
        return _to_path(f"{image['name']}:{image['version']}@{image['digest']}")


def _to_path(reference: str) -> tuple[str, dict[str, str]]:
    name, _, digest = reference.partition("@")
    name, _, version = name.partition(":")
    path = f"/v1/images/{quote(name, safe='')}" + (f"/{quote(version, safe='')}" if version else "")
    return path, {"digest": digest} if digest and version else {}

"""Images that are pushed through the protocol itself, byte for byte as a test wants them."""

from __future__ import annotations

import hashlib
import json
import ssl
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest_of(content: bytes) -> str:
    """The SHA-256 of it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def to_bytes(document: Any) -> bytes:
    """JSON as it is stored."""
    return json.dumps(document).encode()


@dataclass(frozen=True, slots=True)
class Image:
    """The parts of an image."""

    manifest: bytes
    media_type: str
    blobs: tuple[bytes, ...]  # the configuration, and the layers

    @property
    def digest(self) -> str:
        """Of its manifest."""
        return digest_of(self.manifest)

    def entry(self, platform: str, **annotations: str) -> dict[str, Any]:
        """What an index says of it."""
        os, architecture, *variant = platform.split("/")
        place = {"os": os, "architecture": architecture, **({"variant": variant[0]} if variant else {})}
        return {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": len(self.manifest),
            "platform": place,
            **({"annotations": annotations} if annotations else {}),
        }


def an_image(
    *,
    platform: str = "linux/amd64",
    labels: Mapping[str, Any] | None = None,
    layers: tuple[bytes, ...] = (b"a layer",),
    user: str = "",
    media_type: str = OCI_MANIFEST,
) -> Image:
    """An image whose layers are any bytes: nobody here unpacks them."""
    os, architecture, *variant = platform.split("/")
    config = to_bytes(
        {
            "os": os,
            "architecture": architecture,
            **({"variant": variant[0]} if variant else {}),
            "created": "2026-08-15T10:20:30.123456789Z",
            "config": {"Labels": labels, "User": user},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        }
    )
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [{"mediaType": LAYER, "digest": digest_of(layer), "size": len(layer)} for layer in layers],
    }
    return Image(to_bytes(document), media_type, (config, *layers))


def an_index(*entries: Mapping[str, Any], media_type: str = OCI_INDEX) -> Image:
    """An index of such entries."""
    return Image(to_bytes({"schemaVersion": 2, "mediaType": media_type, "manifests": list(entries)}), media_type, ())


class Pusher:
    """Pushes to one registry."""

    def __init__(self, url: str, *, tls: ssl.SSLContext | None = None, authorization: str | None = None) -> None:
        self._url = url
        self._tls = tls
        self._headers = {"Authorization": authorization} if authorization else {}

    def push(self, repository: str, image: Image, *names: str) -> str:
        """Put it in, under these tags or its digest; the digest."""
        for blob in image.blobs:
            place = self.send("POST", f"/v2/{repository}/blobs/uploads/")["Location"]
            query = "&" if "?" in place else "?"
            self.send("PUT", f"{place}{query}digest={digest_of(blob)}", blob)
        for name in names or (image.digest,):
            self.send("PUT", f"/v2/{repository}/manifests/{name}", image.manifest, image.media_type)
        return image.digest

    def delete(self, repository: str, digest: str) -> None:
        """Take a manifest away."""
        self.send("DELETE", f"/v2/{repository}/manifests/{digest}")

    def send(
        self, method: str, path: str, body: bytes = b"", kind: str = "application/octet-stream"
    ) -> Mapping[str, str]:
        """One request; the headers of what comes back."""
        url = path if path.startswith("http") else self._url + path
        request = urllib.request.Request(
            url, data=body or None, method=method, headers={**self._headers, "Content-Type": kind}
        )
        with urllib.request.urlopen(request, timeout=10, context=self._tls) as answer:
            return dict(answer.headers)

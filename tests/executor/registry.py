"""A registry with one image whose layer comes as slowly as a test likes: the engine's own way of pulling, for real."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.executor.programs import files_of
from tests.fixtures.loopback import LoopbackServer

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_FIRST = 1000  # bytes of a layer that come at once


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _make_layer(content: bytes, programs: tuple[str, ...]) -> tuple[bytes, str]:
    """A layer with one file, and these programs: as it travels, and the digest of what is in it."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("content")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
        for name, path in sorted(files_of(programs).items()):
            tar.add(path, arcname=name)
    return gzip.compress(archive.getvalue(), mtime=0, compresslevel=1), _digest(archive.getvalue())


class SlowRegistry(LoopbackServer):
    """Serves images of one layer on loopback. `let_go` lets layers through; until then they stop after their first bytes."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}
        self._slow: set[str] = set()
        self._manifests: dict[str, bytes] = {}
        self.begun: list[str] = []  # layers that were asked for, in order
        self.stalls = False  # not even a byte now and then
        self.status = 200  # of every answer below /v2/NAME, where that is another one
        self.credentials: str | None = None  # "user:password" that everybody has to show
        self.shown: list[str] = []  # what was shown
        self.damage: Callable[[bytes], bytes] | None = None  # what becomes of layers on the way
        self.broken_off = threading.Event()  # a reader of a layer went away
        super().__init__(self._make_handler())

    def add(
        self,
        name: str,
        content: bytes = b"",
        *,
        slow: bool = False,
        architecture: str = "amd64",
        programs: tuple[str, ...] = (),
        config: Mapping[str, Any] | None = None,
    ) -> tuple[str, str]:
        """Put an image in; its reference, and its layer's digest."""
        layer, diff_id = _make_layer(content, programs)
        document_of_image = {
            "architecture": architecture,
            "os": "linux",
            "config": dict(config or {}),
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        }
        text = json.dumps(document_of_image).encode()
        kind = "application/vnd.docker.container.image.v1+json"
        document = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": kind, "size": len(text), "digest": _digest(text)},
            "layers": [
                {
                    "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                    "size": len(layer),
                    "digest": _digest(layer),
                }
            ],
        }
        manifest = json.dumps(document).encode()
        self._blobs |= {_digest(text): text, _digest(layer): layer}
        self._manifests[_digest(manifest)] = manifest
        if slow:
            self._slow.add(_digest(layer))
        return f"{self.host}/{name}@{_digest(manifest)}", _digest(layer)

    def let_go(self) -> None:
        """Let all layers through."""
        self.released.set()

    def _make_handler(registry) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self.do_GET(body=False)

            def do_GET(self, *, body: bool = True) -> None:
                name = self.path.rsplit("/", 1)[-1]
                data = registry._manifests.get(name) or registry._blobs.get(name)
                if self.path == "/v2/":
                    data = b"{}"
                elif registry.status != 200:
                    self._refuse(registry.status)
                    return
                if not registry._lets_in(self.headers.get("Authorization")):
                    self._refuse(401)
                    return
                self.send_response(200 if data is not None else 404)
                kind = _MANIFEST if "/manifests/" in self.path else "application/octet-stream"
                self.send_header("Content-Type", kind)
                self.send_header("Docker-Content-Digest", name)
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                if body and data:
                    registry._send(self, name, data)

            def _refuse(self, status: int) -> None:
                self.send_response(status)
                self.send_header("WWW-Authenticate", 'Basic realm="test"')
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        return Handler

    def _lets_in(self, shown: str | None) -> bool:
        if self.credentials is None:
            return True
        said = base64.b64decode((shown or "").removeprefix("Basic ")).decode()
        self.shown.append(said)
        return said == self.credentials

    def _send(self, request: BaseHTTPRequestHandler, name: str, data: bytes) -> None:
        if self.damage is not None and data[:2] == b"\x1f\x8b":
            request.wfile.write(self.damage(data))
            request.close_connection = True
            return
        if name not in self._slow:
            request.wfile.write(data)
            return
        self.begun.append(name)
        try:
            # A byte now and then, as over a bad line: whoever is not there any more is noticed, and progress is told.
            at = _FIRST
            request.wfile.write(data[:at])
            while not self.released.wait(0.05):
                if not self.stalls:
                    request.wfile.write(data[at : at + 512])
                    at += 512
            request.wfile.write(data[at:])
        except OSError:
            self.broken_off.set()

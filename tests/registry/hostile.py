"""A server on the loopback that says whatever a test wants, as slowly as it wants, and remembers what it was told."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from swath.domain.references import Reference
from swath.registry.client import RegistryClient
from swath.registry.exchange import Patience
from swath.registry.settings import RegistrySettings
from tests.fixtures.loopback import LoopbackServer
from tests.registry.pushing import Image, digest_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What is said to one request."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None  # what Content-Length says, where that is a lie
    pause_s: float = 0.0  # before each byte of the body
    dropped: bool = False  # the connection is ended without a word


@dataclass(frozen=True, slots=True)
class Heard:
    """One request."""

    method: str
    path: str  # with its query
    headers: Mapping[str, str]  # names in lower case


Script = Callable[[Heard], Reply]


def always(**reply: Any) -> Script:
    """The same to every request."""
    return lambda heard: Reply(**reply)


def served(*images: Image, **tags: Image) -> Script:
    """What an honest registry would say."""
    parts = {
        blob_digest: Reply(body=blob) for image in images for blob in image.blobs for blob_digest in [digest_of(blob)]
    }
    for name, image in {**{image.digest: image for image in images}, **tags}.items():
        headers = {"Content-Type": image.media_type, "Docker-Content-Digest": image.digest}
        parts[name] = Reply(body=image.manifest, headers=headers)
    return lambda heard: parts.get(heard.path.partition("?")[0].rpartition("/")[2], Reply(status=404))


class HostileServer(LoopbackServer):
    """Runs `script` for every request."""

    def __init__(self, script: Script | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        self.script: Script = script or (lambda heard: Reply(status=404))
        self.heard: list[Heard] = []
        self.raw: tuple[bytes, float] | None = (
            None  # sent as it is instead of any answer, with a pause before each byte
        )
        super().__init__(self._make_handler(), tls)

    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [heard.path for heard in self.heard]

    def secrets(self) -> list[str]:
        """Every Authorization header that was sent here."""
        return [heard.headers["authorization"] for heard in self.heard if "authorization" in heard.headers]

    def _make_handler(server) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                heard = Heard(self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
                server.heard.append(heard)
                if server.raw is not None:
                    self._send(*server.raw)
                    self.close_connection = True
                    return
                reply = server.script(heard)
                if reply.dropped:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                length = len(reply.body) if reply.length is None else reply.length
                self.send_header("Content-Length", str(length))
                self.end_headers()
                if self.command != "HEAD":
                    self._send(reply.body, reply.pause_s)
                if length != len(reply.body):
                    self.close_connection = True

            do_GET = do_HEAD = do_POST = _serve

            def _send(self, body: bytes, pause_s: float) -> None:
                if not pause_s:
                    self.wfile.write(body)
                    return
                for byte in body:
                    if server.released.wait(pause_s):
                        return
                    self.wfile.write(bytes([byte]))

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:  # whoever asked has gone away
                    self.close_connection = True

            def log_message(self, *arguments: Any) -> None:
                pass

        return Handler


@dataclass
class Asking:
    """A hostile registry and a client of it."""

    server: HostileServer
    pauses: list[float]

    def client(self, *, patience: Patience | None = None, **settings: Any) -> RegistryClient:
        """A client that writes down its pauses instead of waiting."""
        registries = {self.server.host: RegistrySettings.model_validate(settings)}
        return RegistryClient(registries, patience=patience, wait=self.pauses.append)

    def reference(self, end: str = ":1") -> Reference:
        """An image in it."""
        return Reference.parse(f"{self.server.host}/eo/ndvi{end}")

"""A real web server of files, and of all the ways in which servers misbehave."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

LETTERS = bytes(range(65, 91)) * 40_000  # a megabyte in which every place tells where it is


@dataclass
class Site:
    """What the server has and does; tests change it under its hands."""

    files: dict[str, bytes] = field(default_factory=dict)
    etags: dict[str, str | None] = field(default_factory=dict)  # instead of one of the content; None: none
    breaks_after: dict[str, list[int]] = field(default_factory=dict)  # bytes, for one answer each
    answers: dict[str, list[tuple[int, dict[str, str]]]] = field(default_factory=dict)  # instead of a file, one each
    redirects: dict[str, str] = field(default_factory=dict)
    without_head: bool = False
    without_ranges: bool = False
    pause_s: float = 0.0  # before each 64 KiB
    endless: dict[str, tuple[bytes, bytes]] = field(
        default_factory=dict
    )  # instead of an answer: this, then that for ever
    closed: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)  # (method, path, range)
    hosts: list[str | None] = field(default_factory=list)
    url: str = ""

    def asked(self, method: str, path: str) -> list[str | None]:
        """The ranges of the requests for a path."""
        return [ranges for how, what, ranges in self.requests if (how, what) == (method, path)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def _serve(self) -> None:
        site, path = self.site, urlsplit(self.path).path
        site.requests.append((self.command, path, self.headers.get("Range")))
        site.hosts.append(self.headers.get("Host"))
        if self.command == "HEAD" and site.without_head:
            self._say(405)
        elif path in site.endless:
            self._go_on(*site.endless[path])
        elif path in site.redirects:
            self._say(302, {"Location": site.redirects[path]})
        elif self.command == "GET" and site.answers.get(path):
            self._say(*site.answers[path].pop(0))
        elif path not in site.files:
            self._say(404)
        else:
            self._send_file(path, site.files[path])

    def _say(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def _go_on(self, first: bytes, again: bytes) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.wfile.write(first)
            while not self.site.closed.wait(0.01):
                self.wfile.write(again)

    def _send_file(self, path: str, data: bytes) -> None:
        etag = self.site.etags.get(path, f'"{hash(data)}"')
        first, asked = 0, self.headers.get("Range")
        if asked and not self.site.without_ranges and self.headers.get("If-Range", etag) == etag:
            first = int(asked.removeprefix("bytes=").split("-")[0])
            if first >= len(data):
                self._say(416, {"Content-Range": f"bytes */{len(data)}"})
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - first))
        if etag:
            self.send_header("ETag", etag)
        self.end_headers()
        if self.command == "GET":
            self._send_bytes(path, data[first:])

    def _send_bytes(self, path: str, data: bytes) -> None:
        breaks = self.site.breaks_after.get(path)
        end = breaks.pop(0) if breaks else len(data)
        for start in range(0, end, 2**16):
            time.sleep(self.site.pause_s)
            try:
                self.wfile.write(data[start : min(start + 2**16, end)])
            except OSError:
                break
        if end < len(data):
            self.close_connection = True


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    """A server on the loopback; by https where it has a certificate."""
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    site.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        site.closed.set()
        server.shutdown()
        server.server_close()
        thread.join()

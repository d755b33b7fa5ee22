"""A stand-in for an agent's READ_FILE, as wire transcript 12 shows it, over real files."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LARGEST_READ = 16 * 4096  # bytes: 16 pages of memory


class _Files(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    credential: str | None = None  # "principal:secret"

    def do_POST(self) -> None:
        if self.credential is not None and self.headers["Authorization"] != _to_basic(self.credential):
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(401, b"")
            return
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert (self.path, self.headers["Content-Type"], call["type"]) == ("/api/v1", "application/json", "READ_FILE")
        asked = call["read_file"]
        path = Path(asked["path"])
        if not path.is_file():
            self._answer(404, b"")
            return
        content = path.read_bytes()
        data = content[asked["offset"] :][: min(asked["length"], LARGEST_READ)]
        said = {"size": len(content), "data": base64.b64encode(data).decode()}
        self._answer(200, json.dumps({"type": "READ_FILE", "read_file": said}).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        return


def _to_basic(credential: str) -> str:
    return f"Basic {base64.b64encode(credential.encode()).decode()}"


@contextmanager
def an_agent_serving_files(credential: str | None = None) -> Iterator[str]:
    """The URL of an agent whose sandboxes are any files of this machine, for anybody or for `credential` only."""
    handler = type("Files", (_Files,), {"credential": credential})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

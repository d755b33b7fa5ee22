"""A stand-in for an agent's /files/read, as wire transcript 12 shows it, over real files."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

LARGEST_READ = 16 * 4096  # bytes: 16 pages of memory


class _Files(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        path = Path(query["path"])
        if not path.is_file():
            self._answer(404, b"")
            return
        content = path.read_bytes()
        if int(query.get("offset", -1)) < 0:
            self._answer(200, json.dumps({"data": "", "offset": len(content)}).encode())
            return
        offset, length = int(query["offset"]), min(int(query.get("length", LARGEST_READ)), LARGEST_READ)
        text = content[offset : offset + length].decode("utf-8", "surrogateescape")
        document = json.dumps({"data": text, "offset": offset}, ensure_ascii=False)
        self._answer(200, document.encode("utf-8", "surrogateescape"))  # bytes as they are: Mesos checks no encoding

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        return


@contextmanager
def an_agent_serving_files() -> Iterator[str]:
    """The URL of an agent whose sandboxes are any files of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

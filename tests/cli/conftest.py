"""A stand-in for the API: answers what a test tells it to, over real HTTP."""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner, Result

from swath.cli.main import app
from tests.fixtures.machine import skip_or_fail

JOB_ID = "01JD0000000000000000000000"
IMAGE = {
    "name": "ndvi",
    "version": "1.0.0",
    "context": "/images/ndvi",
    "manifest": {
        "job": {
            "name": "ndvi",
            "title": "Vegetation index",
            "interface": {"command": "python ndvi.py", "inputs": {"files": [{"name": "SCENE"}], "json": []}},
        }
    },
}


def require(package: str) -> None:
    """Skip the test where a package is absent; in CI, fail it."""
    if importlib.util.find_spec(package) is None:
        skip_or_fail(f"the package {package} is absent")


def a_job(state: str = "RUNNING", **changes: Any) -> dict[str, Any]:
    """A job of three tasks as the API shows it."""
    ended = {"SUCCEEDED": "succeeded", "FAILED": "failed", "CANCELLED": "cancelled", "RUNNING": "active"}
    counts = {"total": 3, "pending": 0, "active": 0, "succeeded": 0, "failed": 0, "cancelled": 0}
    document = {
        "id": JOB_ID,
        "name": "ndvi-august",
        "project": "forest",
        "user": None,
        "image": "ndvi:1.0.0",
        "state": state,
        "desired": "RUN",
        "counts": {**counts, ended.get(state, "pending"): 3},
        "priority": 50,
        "resources": {"cpus": 1, "mem": 768, "disk": 0, "gpus": 0},
        "labels": {"campaign": "2023"},
        "submitted_at": "2026-01-01T00:00:00Z",
        "started_at": "2026-01-01T00:00:01Z",
        "ended_at": "2026-01-01T00:00:09Z" if state in ("SUCCEEDED", "FAILED", "CANCELLED") else None,
        "why": None,
        "spec": {},
    }
    return document | changes


def a_task(index: int, state: str, **changes: Any) -> dict[str, Any]:
    """A task as the API shows it."""
    document = {
        "job": JOB_ID,
        "index": index,
        "state": state,
        "attempts": 1,
        "item": {"href": f"file:///eos/scene-{index}.tif"},
        "agent": {"id": "a1", "hostname": "laptop"},
        "cause": None,
        "exit_code": 0,
        "message": None,
        "started_at": "2026-01-01T00:00:01Z",
        "ended_at": "2026-01-01T00:00:03Z",
        "why": None,
    }
    return document | changes


class StandIn:
    """What the API answers, and what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], tuple[int, Any]] = {}
        self.asked: list[tuple[str, str, Any]] = []  # method, path with query, document

    def answer(self, method: str, path: str, document: Any, status: int = 200) -> None:
        """Answer `method path` (without its query) with a document, or with text as it is."""
        self.answers[(method, path)] = (status, document)

    def refuse(self, method: str, path: str, status: int, kind: str, detail: str, errors: Any = ()) -> None:
        """Answer with a problem document."""
        problem = {"type": f"urn:swath:problem:{kind}", "title": kind, "detail": detail, "errors": list(errors)}
        self.answer(method, path, problem, status)

    def has_job(self, job: dict[str, Any]) -> None:
        """Show this job, in the list, alone and as the last word of its event stream."""
        self.answer("GET", "/v1/jobs", {"items": [job], "next": None})
        self.answer("GET", f"/v1/jobs/{job['id']}", job)
        self.answer("GET", f"/v1/jobs/{job['id']}/events", f"event: job\ndata: {json.dumps(job)}\n\n")


def _handler(stand_in: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            stand_in.asked.append((self.command, self.path, json.loads(body) if body else None))
            nothing = (404, {"type": "urn:swath:problem:not-found", "detail": f"there is no {self.path}"})
            status, document = stand_in.answers.get((self.command, urlsplit(self.path).path), nothing)
            data = (document if isinstance(document, str) else json.dumps(document)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = answer

        def log_message(self, *_: Any) -> None:
            """Tests are quiet."""

    return Handler


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A stand-in that listens, and an environment that names it."""
    stand_in = StandIn()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(stand_in))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("SWATH_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("SWATH_TOKEN", "secret")
    yield stand_in
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def swath() -> Callable[..., Result]:
    """Run the command in this process."""
    return lambda *words, **options: CliRunner().invoke(app, list(words), **options)

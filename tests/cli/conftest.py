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
    "digest": "sha256:1",
    "state": "ACTIVE",
    "owner": "ada",
    **dict.fromkeys(
        ("reference", "image_id", "projects", "tag", "tag_digest", "platform", "size", "layers", "pushed_by")
    ),
    **dict.fromkeys(
        ("provenance", "signed_by", "packages", "profile", "labels", "media_type", "runs_as", "missing_since")
    ),
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


def an_agent(**changes: Any) -> dict[str, Any]:
    """An agent as the API shows it."""
    document = {
        "id": "a1",
        "hostname": "node-7",
        "url": "http://node-7:5051",
        "resources": {"cpus": 8, "mem": 16384, "disk": 50000, "gpus": 0},
        "attributes": {"rack": "b"},
        "region": None,
        "zone": None,
        "active": True,
        "first_seen": "2026-01-01T00:00:00Z",
        "last_seen": "2026-01-01T00:00:00Z",
        "attempts": 0,
        "images": None,
        "mode": "ACTIVE",
        "mode_pending": False,
        "mode_message": None,
        "mode_user": None,
        "mode_at": None,
        "max_grace_s": None,
        "mark_gone": False,
        "deactivated": False,
        "drain": None,
        "unavailable_from": None,
        "unavailable_until": None,
    }
    return document | changes


def a_scheduler(**changes: Any) -> dict[str, Any]:
    """The scheduler as the API shows it."""
    document = {
        "health": "ok",
        "connected": True,
        "master": "10.0.0.1:5050",
        "heartbeat_at": "2026-01-01T00:00:00Z",
        "leader": "scheduler-1",
        "epoch": 3,
        "lease_expires_at": "2026-01-01T00:00:10Z",
        "framework_id": "f-1",
        "torn_down": False,
        "wish": None,
        "running": {"attempts": 3, "jobs": 2, "agents": 1},
        "open_jobs": 4,
        "figures": {"framework_id": "f-1", "executor": {"cpus": 0.1, "mem": 64}},
    }
    return document | changes


def an_attempt(number: int, state: str, **changes: Any) -> dict[str, Any]:
    """An attempt of task 0 as the API shows it."""
    document = {
        "id": f"attempt-{number}",
        "job": JOB_ID,
        "task": 0,
        "number": number,
        "state": state,
        "agent": {"id": f"a{number}", "hostname": f"node-{number}"},
        "runtime": "docker",
        "cause": None,
        "exit_code": None,
        "error": None,
        "message": None,
        "resources": {"cpus": 1},
        "warnings": [],
        "launched_at": "2026-01-01T00:00:00Z",
        "started_at": "2026-01-01T00:00:01Z",
        "ended_at": None,
        "unreachable_at": None,
        "usage": {},
    }
    return document | changes


class StandIn:
    """What the API answers, and what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], list[tuple[int, Any]]] = {}
        self.asked: list[tuple[str, str, Any]] = []  # method, path with query, document

    def answer(self, method: str, path: str, document: Any, status: int = 200) -> None:
        """Answer `method path` (without its query) with a document, or with text as it is."""
        self.answers[(method, path)] = [(status, document)]

    def answer_in_turn(self, method: str, path: str, *documents: Any) -> None:
        """Answer with one document after the other, and with the last one ever after."""
        self.answers[(method, path)] = [(200, document) for document in documents]

    def next_answer(self, method: str, path: str) -> tuple[int, Any]:
        """What to say now; without a word, that there is nothing."""
        nothing = (404, {"type": "urn:swath:problem:not-found", "detail": f"there is no {path}"})
        answers = self.answers.get((method, path), [nothing])
        return answers.pop(0) if len(answers) > 1 else answers[0]

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
            status, document = stand_in.next_answer(self.command, urlsplit(self.path).path)
            data = (document if isinstance(document, str) else json.dumps(document)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

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

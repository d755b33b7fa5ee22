"""The real service over a real database, on a port of its own, with short words for what tests say to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import structlog

from api.app import create_app
from api.server import Server
from api.settings import Settings
from swath.cli.secrets import make_key
from swath.cli.var import write_private
from swath.store.rows import ImageRow
from tests.store.build import NOW, Scene

TOKEN = "a-token-of-a-good-length"
MANIFEST: dict[str, Any] = {
    "seedVersion": "1.0.0",
    "job": {
        "name": "ndvi",
        "jobVersion": "1.0.0",
        "packageVersion": "1.0.0",
        "title": "NDVI",
        "description": "A vegetation index",
        "maintainer": {"name": "Ada", "email": "ada@example.org"},
        "timeout": 3600,
        "resources": {"scalar": [{"name": "cpus", "value": 1.0}, {"name": "mem", "value": 512.0}]},
        "interface": {
            "command": "ndvi ${SCENE} ${INDEX}",
            "inputs": {
                "files": [{"name": "SCENE", "multiple": True}, {"name": "MASK", "required": False}],
                "json": [
                    {"name": "INDEX", "type": "string", "required": False},
                    {"name": "STEP", "type": "integer", "required": False},
                ],
            },
            "outputs": {"files": [{"name": "ndvi", "pattern": "*.tif"}]},
        },
    },
}


@dataclass(frozen=True, kw_only=True)
class Api:
    """A running service."""

    url: str
    http: httpx.Client
    server: Server

    def get(self, path: str, **arguments: Any) -> httpx.Response:
        """GET with the token."""
        return self.http.get(path, **arguments)

    def post(self, path: str, **arguments: Any) -> httpx.Response:
        """POST with the token."""
        return self.http.post(path, **arguments)

    def submit(self, **document: Any) -> dict[str, Any]:
        """Submit a job that is accepted; its document."""
        response = self.post("/v1/jobs", json={"image": "ndvi", **document})
        assert response.status_code in (200, 201), response.text
        return dict(response.json())

    def refusal(self, document: Any, path: str = "/v1/jobs") -> dict[str, str]:
        """Submit what is refused; the messages by path."""
        response = self.post(path, json=document)
        assert response.status_code == 422, response.text
        assert response.headers["content-type"] == "application/problem+json"
        return {entry["path"]: entry["message"] for entry in response.json()["errors"]}


def declare(directory: Path, *registries: str) -> Path:
    """A file of SWATH_REGISTRIES with these."""
    file = directory / "registries.toml"
    file.write_text("".join(f'["{registry}"]\n' for registry in registries))
    return file


def make_settings(directory: Path, database_url: str, **changed: Any) -> Settings:
    """Settings with a token file that is as it should be."""
    token_file = directory / "token"
    token_file.touch(mode=0o600)
    token_file.write_text(TOKEN + "\n")
    if "secrets_key_file" not in changed:
        changed["secrets_key_file"] = directory / "secrets.key"
        if not changed["secrets_key_file"].exists():
            write_private(changed["secrets_key_file"], make_key() + "\n")
    return Settings(database_url=database_url, token_file=token_file, **{"heartbeat_s": 0.2, **changed})


@contextmanager
def serving(settings: Settings, *, port: int = 0) -> Iterator[Api]:
    """The service of `settings`, until the end of the block."""
    if not structlog.is_configured():  # its own way with tracebacks shows every variable, and takes seconds over that
        plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        structlog.configure(processors=[structlog.processors.add_log_level, plain])
    server = Server(create_app(settings), host="127.0.0.1", port=port)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=20, trust_env=False) as http:
        yield Api(url=url, http=http, server=server)
    server.should_exit = True
    thread.join()


def register_ndvi(scene: Scene) -> ImageRow:
    """The image ndvi:1.0.0 of MANIFEST, newest of its kind."""
    return scene.register(digest="sha256:2", manifest=MANIFEST, now=NOW.replace(year=2027))

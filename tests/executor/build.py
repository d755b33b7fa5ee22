"""Builders of what the executor is given: manifests and attempts."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from swath.domain.attempts import AttemptSpec, ImageSource
from swath.domain.ids import make_ulid

JOB = "01JD0000000000000000000000"


def an_id() -> str:
    """An id that was never used."""
    return make_ulid(datetime.now(UTC), secrets.token_bytes(10))


def a_manifest(
    command: str,
    *,
    inputs: list[dict[str, Any]] | None = None,
    outputs: list[dict[str, Any]] | None = None,
    json_outputs: list[dict[str, Any]] | None = None,
    errors: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """A Seed manifest whose command is `command`."""
    return {
        "seedVersion": "1.0.0",
        "job": {
            "name": "trial",
            "jobVersion": "1.0.0",
            "packageVersion": "1.0.0",
            "title": "Trial",
            "description": "Made for a test",
            "maintainer": {"name": "Test", "email": "test@example.org"},
            "timeout": 60,
            "interface": {
                "command": command,
                "inputs": {"files": inputs or [], "json": [{"name": "LETTER", "type": "string", "required": False}]},
                "outputs": {"files": outputs or [], "json": json_outputs or []},
                "settings": [],
            },
            "errors": errors or [],
        },
    }


def an_output(pattern: str = "result.txt", **fields: Any) -> dict[str, Any]:
    """A declared output."""
    return {"name": "RESULT", "pattern": pattern, "mediaType": "text/plain", **fields}


def a_spec(manifest: dict[str, Any], outputs_root: object, **fields: Any) -> AttemptSpec:
    """An attempt of that manifest, of a process unless `image` says otherwise."""
    given: dict[str, Any] = {
        "attempt": an_id(),
        "job": JOB,
        "task": 0,
        "number": 1,
        "name": "trial",
        "image": ImageSource(name="trial", version="1.0.0", context="builtin:true"),
        "resources": {"cpus": 0.1, "mem": 64, "disk": 0, "gpus": 0},
        "timeout_s": 60.0,
        "kill_grace_s": 5.0,
    }
    return AttemptSpec(**{**given, "manifest": manifest, "outputs_root": str(outputs_root), **fields})

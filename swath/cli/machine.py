"""What this machine has: processors, memory, disk, a Docker engine. Standard library only."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

DEFAULT_SOCKET = "/var/run/docker.sock"
SEED_LABEL = "com.ngageoint.seed.manifest"
_MEMORY_SHARE = 0.75  # of the machine's memory goes to tasks
_DISK_SHARE = 0.5  # of what is free now


def processors() -> int:
    """Processors that this process may use."""
    with suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_mib() -> int:
    """What tasks may have of the machine's memory, in MiB."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return max(512, int(total * _MEMORY_SHARE))


def disk_mib(directory: Path) -> int:
    """What tasks may have of the disk that holds `directory`, in MiB."""
    return max(512, int(shutil.disk_usage(directory).free // 2**20 * _DISK_SHARE))


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """A Docker engine, asked over its own HTTP API: the docker package is no dependency of the command line."""

    address: str  # unix:///path or tcp://host:port

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Engine:
        """$DOCKER_HOST, else the usual socket."""
        return cls(address=environ.get("DOCKER_HOST") or f"unix://{DEFAULT_SOCKET}")

    def version(self) -> str | None:
        """The engine's version; None when none answers."""
        found = self._get("/version")
        return str(found.get("Version", "unknown")) if isinstance(found, dict) else None

    def seed_images(self) -> dict[tuple[str, str], dict[str, Any]]:
        """The images that carry a Seed manifest, by its name and version: {"image_id", "manifest", "swath_manifest"}."""
        labelled = self._get(f"/images/json?filters={quote(json.dumps({'label': [SEED_LABEL]}))}")
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for image in labelled if isinstance(labelled, list) else ():
            labels = image.get("Labels") or {}
            with suppress(ValueError, KeyError, TypeError):
                manifest = json.loads(labels[SEED_LABEL])
                other = json.loads(labels["swath.manifest"]) if labels.get("swath.manifest") else None
                key = (str(manifest["job"]["name"]), str(manifest["job"]["jobVersion"]))
                # The engine lists the newest first, and an image that was built anew leaves its former self behind.
                found.setdefault(key, {"image_id": image["Id"], "manifest": manifest, "swath_manifest": other})
        return found

    def _get(self, path: str) -> Any:
        """The JSON answer to a GET; None when there is none."""
        connection = self._connect()
        if connection is None:
            return None
        try:
            connection.request("GET", path, headers={"Host": "docker"})
            response = connection.getresponse()
            return json.loads(response.read()) if response.status == 200 else None
        except (OSError, ValueError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection | None:
        parts = urlsplit(self.address)
        if parts.scheme == "tcp" and parts.hostname:
            return http.client.HTTPConnection(parts.hostname, parts.port or 2375, timeout=5.0)
        connection = http.client.HTTPConnection("docker", timeout=5.0)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(5.0)
        try:
            connection.sock.connect(parts.path)
        except OSError:
            connection.close()
            return None
        return connection

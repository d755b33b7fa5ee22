"""From a task's data to an order: decoded, and every field that becomes a path or a limit checked. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from executor.events import Order
from swath.domain.attempts import AttemptSpec
from swath.domain.checksums import read_checksum
from swath.domain.errors import InvalidInputError, Problem
from swath.domain.ids import is_ulid
from swath.domain.manifest import Manifest, SwathManifest
from swath.domain.resources import Resources

BUILTIN = "builtin:true"  # the context of the image that needs none: its command runs from the attempt's own directory


def to_order(task_id: str, data: bytes | Mapping[str, Any], slot: str | None = None) -> Order:
    """The order in a task's data; raises InvalidInputError with the path of every problem that was found."""
    spec = AttemptSpec.from_json(data) if isinstance(data, bytes) else AttemptSpec.from_value(data)
    problems = [*_identity_problems(spec), *_shape_problems(spec), *_port_problems(spec.ports)]
    if problems:
        raise InvalidInputError(problems)
    Resources.from_document(spec.resources)
    manifest = _read_manifest(json.dumps(spec.manifest))
    problems = [
        *manifest.check_binding(spec.files, spec.parameters),
        *manifest.check_settings(spec.settings, spec.secrets),
    ]
    problems += [Problem("/manifest/job/interface/mounts", "this site offers no mounts")] * bool(
        manifest.job.interface.mounts
    )
    if problems:
        raise InvalidInputError(problems)
    return Order(
        task_id=task_id,
        spec=spec,
        manifest=manifest,
        swath_manifest=_read_swath_manifest(json.dumps(spec.swath_manifest or {})),
        slot=slot,
    )


# The attempts of a job share their manifests.
@lru_cache(maxsize=64)
def _read_manifest(text: str) -> Manifest:
    return Manifest.from_json(text)


@lru_cache(maxsize=64)
def _read_swath_manifest(text: str) -> SwathManifest:
    return SwathManifest.from_json(text)


def _identity_problems(spec: AttemptSpec) -> Iterator[Problem]:
    """Ids become parts of paths and names of containers, so they have to be ids."""
    if not (isinstance(spec.attempt, str) and is_ulid(spec.attempt)):
        yield Problem("/attempt", "is no ULID")
    if not (isinstance(spec.job, str) and is_ulid(spec.job)):
        yield Problem("/job", "is no ULID")
    if isinstance(spec.task, bool) or not isinstance(spec.task, int) or spec.task < 0:
        yield Problem("/task", "is no index")
    image: dict[str, Any] = asdict(spec.image)
    named: dict[str, Any] = {"user": spec.user, **{f"image/{name}": value for name, value in image.items()}}
    for name, value in named.items():
        if value is not None and not isinstance(value, str):
            yield Problem(f"/{name}", "is no text")
    context = image["context"]
    if isinstance(context, str) and context != BUILTIN and not context.startswith("/"):
        yield Problem("/image/context", "is no absolute path")
    root: Any = spec.outputs_root
    if not isinstance(root, str) or not root.startswith(("/", "s3://")) or ".." in PurePosixPath(root).parts:
        yield Problem("/outputs_root", "is no absolute path, nor s3://bucket/prefix")


def _shape_problems(spec: AttemptSpec) -> Iterator[Problem]:
    """The fields whose types nothing has checked yet: JSON may hold anything."""
    seconds: dict[str, Any] = {"timeout_s": spec.timeout_s, "kill_grace_s": spec.kill_grace_s}
    for name, value in seconds.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value < 0:
            yield Problem(f"/{name}", "is no number of seconds")
    for name in ("manifest", "files", "parameters", "settings", "secrets", "resources"):
        if not isinstance(getattr(spec, name), dict):
            yield Problem(f"/{name}", "is no object")
            return
    for name, hrefs in spec.files.items():
        if not hrefs or not isinstance(hrefs, list) or not all(isinstance(href, str) for href in hrefs):
            yield Problem(f"/files/{name}", "is no list of hrefs")
    yield from _checksum_problems(spec.checksums)
    settings: dict[str, Any] = dict(spec.settings)
    for name, text in settings.items():
        if not isinstance(text, str):
            yield Problem(f"/settings/{name}", "is no text")


def _checksum_problems(checksums: Any) -> Iterator[Problem]:
    if not isinstance(checksums, dict):
        yield Problem("/checksums", "is no object")
        return
    for href, text in checksums.items():
        try:
            read_checksum(text)
        except ValueError as error:
            yield Problem(f"/checksums/{href}", str(error))


def _port_problems(ports: Any) -> Iterator[Problem]:
    if not isinstance(ports, list) or not all(map(_is_port, ports)) or len(set(ports)) < len(ports):
        yield Problem("/ports", "is no list of different ports")


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536

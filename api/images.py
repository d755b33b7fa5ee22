"""Which image version a registration document means: its name, its digest, and whether it can be run at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.image_schemas import ImageDocument
from swath.domain.errors import InvalidInputError, Problem
from swath.domain.manifest import Job, Manifest, SwathManifest

BUILTIN = "builtin:true"  # the one context that is no directory
LARGEST_EXIT_CODE = 255
MOST_FILES = 10_000  # of a build context
LARGEST_CONTEXT = 512 * 1024 * 1024  # bytes
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Registration:
    """What is registered."""

    name: str
    version: str
    digest: str
    manifest: dict[str, Any]
    swath_manifest: dict[str, Any] | None
    reference: str | None
    image_id: str | None
    context: str | None


def to_registration(document: ImageDocument) -> Registration:
    """The checked registration; raises InvalidInputError with everything that is wrong."""
    problems: list[Problem] = []
    manifest = _read_manifest(document, problems)
    if not (document.reference or document.image_id or document.context):
        problems.append(Problem("", "needs at least one place to find the image: reference, image_id or context"))
    problems += _check_context(document.context)
    digest = _find_digest(document, problems)
    if problems or manifest is None or digest is None:
        raise InvalidInputError(problems)
    return Registration(
        name=manifest.job.name,
        version=manifest.job.jobVersion,
        digest=digest,
        manifest=document.manifest or {},
        swath_manifest=document.swath_manifest,
        reference=document.reference,
        image_id=document.image_id,
        context=_to_context(document.context),
    )


def _read_manifest(document: ImageDocument, problems: list[Problem]) -> Manifest | None:
    manifest = None
    if document.manifest is None:
        problems.append(Problem("/manifest", "is required"))
        return None
    try:
        manifest = Manifest.from_json(document.manifest)
        manifest.resources()
        problems += (Problem(f"/manifest/job{path}", message) for path, message in _find_unrunnable(manifest.job))
    except InvalidInputError as error:
        problems += [Problem("/manifest" + problem.path, problem.message) for problem in error.problems]
    if document.swath_manifest is not None:
        try:
            other = SwathManifest.from_json(document.swath_manifest)
            problems += _find_open_files(manifest, other)
        except InvalidInputError as error:
            problems += [Problem("/swath_manifest" + problem.path, problem.message) for problem in error.problems]
    return manifest


def _find_open_files(manifest: Manifest | None, other: SwathManifest) -> Iterator[Problem]:
    """Settings that are to be files and are no secrets."""
    secret = {entry.name for entry in manifest.job.interface.settings if entry.secret} if manifest else set()
    for index, name in enumerate(other.secret_files):
        if manifest is not None and name not in secret:
            yield Problem(
                f"/swath_manifest/secret_files/{index}", f"{name} is no setting that the manifest declares secret"
            )


def _find_unrunnable(job: Job) -> Iterator[tuple[str, str]]:
    """(path below the job, message) of what Seed allows and no executor here can do."""
    if job.interface.mounts:
        yield "/interface/mounts", "are not offered by any site here: take such data as an input"
    for index, output in enumerate(job.interface.outputs.files):
        if output.pattern.startswith("/") or ".." in output.pattern.split("/") or not output.pattern.strip("/."):
            yield f"/interface/outputs/files/{index}/pattern", "must match files below OUTPUT_DIR, without '..'"
    known: set[int] = set()
    for index, error in enumerate(job.errors):
        if not 0 <= error.code <= LARGEST_EXIT_CODE:
            yield f"/errors/{index}/code", f"must be an exit code, 0 to {LARGEST_EXIT_CODE}"
        elif error.code in known:
            yield f"/errors/{index}/code", f"{error.code} stands there twice"
        known.add(error.code)


def _check_context(context: str | None) -> list[Problem]:
    if context is None or context == BUILTIN:
        return []
    if not context.startswith("/"):
        return [Problem("/context", f"{context!r} is not built in; there is {BUILTIN!r} only")]
    return [Problem("/context", "must be without '..'")] if ".." in context.split("/") else []


def _to_context(context: str | None) -> str | None:
    """The context's path in its one form."""
    return context if context in (None, BUILTIN) else "/" + os.path.normpath(context).lstrip("/")


def _find_digest(document: ImageDocument, problems: list[Problem]) -> str | None:
    """The digest that the document names; else that of the context's files."""
    if document.reference is not None:
        _, _, digest = document.reference.partition("@")
        if _DIGEST.fullmatch(digest):
            return digest
        if document.image_id is None:
            problems.append(Problem("/reference", "must name a digest, for tags move: REPOSITORY@sha256:..."))
            return None
    if document.image_id is not None:
        if _DIGEST.fullmatch(document.image_id):
            return document.image_id
        problems.append(Problem("/image_id", "must be sha256: and 64 hexadecimal digits (docker inspect -f '{{.Id}}')"))
        return None
    if document.context is None:
        return None
    try:
        return digest_context(document)
    except InvalidInputError as error:
        problems += error.problems
        return None


def digest_context(document: ImageDocument) -> str:
    """A digest of the context's files and the manifests; raises InvalidInputError for a context that cannot be one."""
    digest = hashlib.sha256(json.dumps([document.manifest, document.swath_manifest], sort_keys=True).encode())
    if document.context is not None and document.context != BUILTIN:
        root, total = Path(document.context), 0
        if not root.is_dir():
            raise InvalidInputError.at("/context", f"{root} is no directory here")
        for number, path in enumerate(_files_below(root)):
            total += path.stat().st_size
            if number >= MOST_FILES or total > LARGEST_CONTEXT:
                raise InvalidInputError.at("/context", f"{root} is no build context: it holds too much")
            digest.update(f"\0{path.relative_to(root)}\0".encode("utf-8", "surrogateescape"))
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{digest.hexdigest()}"


def _files_below(root: Path) -> Iterator[Path]:
    """The regular files in a fixed order, without what Python and editors leave behind."""
    for directory, names, files in os.walk(root):
        names[:] = sorted(name for name in names if name != "__pycache__" and not name.startswith("."))
        for name in sorted(files):
            path = Path(directory, name)
            if path.is_file() and not path.is_symlink():
                yield path

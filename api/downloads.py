"""The files of an output directory, and none beside them."""

from __future__ import annotations

import base64
import mimetypes
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from api.ranges import find_range
from swath.domain.errors import InvalidInputError, NotFoundError
from swath.store.rows import AttemptRow

# What browsers may show. Anything else, HTML and SVG above all, is a script of an image's author: it is only ever saved.
SHOWN = frozenset({"image/png", "image/jpeg", "image/webp", "text/plain", "application/json", "application/geo+json"})
# Formats of Earth observation that Python's table lacks.
MEDIA_TYPES = {
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".jp2": "image/jp2",
    ".nc": "application/x-netcdf",
    ".geojson": "application/geo+json",
    ".parquet": "application/vnd.apache.parquet",
    ".gpkg": "application/geopackage+sqlite3",
}
_RANGE = re.compile(r"(\d{0,18})-(\d{0,18})", re.ASCII)
MOST_RANGES = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Download:
    """A published file."""

    path: Path
    status: os.stat_result
    media_type: str
    etag: str  # what an attempt has published never changes
    sha256: str | None


def check_path(path: str) -> None:
    """Raises InvalidInputError for a path that climbs."""
    if path.startswith("/") or "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise InvalidInputError.at("path:path", "must lead to a file below the task's outputs, without '..'")


def find_download(attempt: AttemptRow, path: str) -> Download:
    """The file `path` of the attempt's outputs, which was checked.

    Raises NotFoundError for one that leads nowhere, or elsewhere by a symbolic link.
    """
    missing = NotFoundError(f"task {attempt.task_index} has no output {path!r}")
    if attempt.output_dir is None:
        raise missing
    try:
        root = Path(attempt.output_dir).resolve(strict=True)
        real = (root / path).resolve(strict=True)
        status = real.stat()
    except (OSError, RuntimeError):  # RuntimeError: a loop of symbolic links
        raise missing from None
    if not real.is_relative_to(root) or not stat.S_ISREG(status.st_mode):
        raise missing
    listed = find_listed(attempt, path)
    return Download(
        path=real,
        status=status,
        media_type=listed.get("media_type") or guess_media_type(path),
        sha256=listed.get("sha256"),
        etag=f'"{attempt.id}-{status.st_size:x}-{status.st_mtime_ns:x}"',
    )


def find_listed(attempt: AttemptRow, path: str) -> Mapping[str, Any]:
    """What the attempt said of an output; nothing of a file that it did not list."""
    return next((entry for entry in attempt.outputs if entry.get("path") == path), {})


def guess_media_type(path: str) -> str:
    """The media type that a file's name suggests."""
    known = MEDIA_TYPES.get(os.path.splitext(path)[1].lower())  # noqa: PTH122 (a name in a URL, not a path)
    return known or mimetypes.guess_type(path)[0] or "application/octet-stream"


def to_response(download: Download, headers: Headers) -> Response:
    """The file, the ranges of it that are asked for, or 304 where the client has it. Raises RangeError."""
    if is_known(download.etag, headers):
        return Response(status_code=304, headers={"ETag": download.etag})
    kind = FileResponse
    if (asked := headers.get("range")) is not None:
        kind = FileResponse if _is_valid(asked) else _WholeFileResponse
        find_range(asked, download.status.st_size)
    return kind(
        download.path,
        media_type=download.media_type,
        filename=download.path.name,
        content_disposition_type="inline" if is_shown(download.media_type) else "attachment",
        stat_result=download.status,
        headers=make_headers(download.etag, download.sha256),
    )


def is_known(etag: str, headers: Headers) -> bool:
    """Whether the client has it already."""
    return etag in [tag.strip().removeprefix("W/") for tag in headers.get("if-none-match", "").split(",")]


def is_shown(media_type: str) -> bool:
    """Whether browsers may show it."""
    return media_type.partition(";")[0] in SHOWN


def make_headers(etag: str, sha256: str | None) -> dict[str, str]:
    """What is told of every output that is sent."""
    digest = base64.b64encode(bytes.fromhex(sha256 or "")).decode()
    return {
        "ETag": etag,
        "Cache-Control": "private, no-cache",
        "Content-Security-Policy": "sandbox",
        **({"Repr-Digest": f"sha-256=:{digest}:"} if digest else {}),  # RFC 9530: of the whole file, whatever the range
    }


class _WholeFileResponse(FileResponse):
    """The file whatever range was asked for: "a recipient of an invalid ranges-specifier MUST ignore it" (RFC 9110, 14.2)."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name, value) for name, value in scope["headers"] if name != b"range"]
        await super().__call__({**scope, "headers": headers}, receive, send)


def _is_valid(header: str) -> bool:
    """True for ranges of bytes, none of which ends before it begins."""
    unit, _, ranges = header.replace(" ", "").partition("=")
    found = [_RANGE.fullmatch(entry) for entry in ranges.split(",", MOST_RANGES)]
    return unit == "bytes" and all(match is not None and _is_in_order(*match.groups()) for match in found)


def _is_in_order(first: str, last: str) -> bool:
    return int(first) <= int(last) if first and last else bool(first or last)

"""Files of outputs that lie in an object store, served as those of a file system are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.downloads import find_listed, guess_media_type, is_known, is_shown, make_headers
from api.ranges import find_range
from api.views import to_place
from swath.domain.errors import NotFoundError, OutputsUnreachableError
from swath.s3 import NoBucketError, Stores, split_href
from swath.store.rows import AttemptRow

if TYPE_CHECKING:
    from obstore.store import S3Store

_CHUNK = 2**20


class RemoteOutputs:
    """Objects of the stores in the site's file; from any thread."""

    def __init__(self, stores: Path | None) -> None:
        self._stores = Stores(stores)

    def serve(self, attempt: AttemptRow, path: str, request: Request) -> Response:
        """A file of an attempt's outputs, or the range of it that is asked for.

        Raises RangeError, NotFoundError and OutputsUnreachableError.
        """
        listed = find_listed(attempt, path)
        etag = f'"{attempt.id}-{hashlib.sha256(path.encode()).hexdigest()[:16]}"'  # what is published never changes
        if is_known(etag, request.headers):
            return Response(status_code=304, headers={"ETag": etag})
        media_type = listed.get("media_type") or guess_media_type(path)
        kind = "inline" if is_shown(media_type) else "attachment"
        name = quote(path.rpartition("/")[2], safe="")
        headers = {
            **make_headers(etag, listed.get("sha256")),
            "Content-Type": media_type,
            "Content-Disposition": f"{kind}; filename*=utf-8''{name}",
            "Accept-Ranges": "bytes",
        }
        bucket, key = split_href(to_place(str(attempt.output_dir), path))
        try:
            return self._send(self._stores.open(bucket), key, headers, request)
        except FileNotFoundError:
            raise NotFoundError(f"task {attempt.task_index} has no output {path!r}") from None
        except (OSError, ValueError, NoBucketError, _find_base_error()) as error:
            reason = str(error).partition("\n")[0][:300]
            raise OutputsUnreachableError(f"the output cannot be read from s3://{bucket}: {reason}") from error

    def _send(self, store: S3Store, key: str, headers: dict[str, str], request: Request) -> Response:
        size = int(store.head(key)["size"])
        asked = find_range(request.headers.get("range"), size)
        start, end = asked or (0, size)
        headers |= {"Content-Length": str(end - start)}
        if asked:
            headers |= {"Content-Range": f"bytes {start}-{end - 1}/{size}"}
        status = 206 if asked else 200
        if request.method == "HEAD" or start == end:
            return Response(status_code=status, headers=headers)
        return StreamingResponse(_read(store.get(key, options={"range": (start, end)})), status, headers)


def _read(found: Any) -> Iterator[bytes]:
    for chunk in found.stream(min_chunk_size=_CHUNK):
        yield bytes(chunk)


def _find_base_error() -> type[Exception]:
    """Imported when it is needed: where outputs lie on a file system nobody needs the library."""
    from obstore.exceptions import BaseError

    return BaseError

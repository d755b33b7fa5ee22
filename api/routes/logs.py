"""stdout and stderr of tasks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.follow import find_log, get_log, log_bytes
from api.openapi import PROBLEMS
from api.pages import JobId, TaskIndex, check_job_id
from api.ranges import clip, find_range
from api.service import Injected

router = APIRouter(prefix="/v1/jobs/{job_id}/tasks/{index}/logs", tags=["logs"], responses=PROBLEMS)

_TEXT: dict[int | str, dict[str, Any]] = {200: {"description": "The log, as bytes", "content": {"text/plain": {}}}}
_MEDIA_TYPE = "text/plain; charset=utf-8"


@router.get("/{stream}", response_class=Response, responses=_TEXT)
async def read_log(
    service: Injected,
    job_id: JobId,
    index: TaskIndex,
    stream: Literal["stdout", "stderr"],
    attempt: Annotated[int | None, Query(ge=1, lt=2**31, description="number of the attempt; the last one")] = None,
    offset: Annotated[int, Query(gt=-(2**62), lt=2**62, description="first byte; negative counts from the end")] = 0,
    length: Annotated[int | None, Query(ge=0, lt=2**62, description="bytes at most")] = None,
    follow: Annotated[bool, Query(description="go on until the attempt has ended")] = False,
    range_: Annotated[str | None, Header(alias="Range", max_length=200)] = None,
) -> Response:
    """A log, or a part of it. It is read from the agent's sandbox: 503 while that agent does not answer."""
    check_job_id(job_id)
    if follow:
        known = await run_in_threadpool(find_log, service, job_id, index, attempt, stream)
        # asked now, while a refusal can still be a status and not a stream that breaks off
        size = 0 if known is None else await service.sandboxes.get_size(known)
        start = offset if offset >= 0 else max(0, size + offset)
        return StreamingResponse(
            log_bytes(service, job_id, index, attempt, stream, start), media_type=_MEDIA_TYPE, headers=_HEADERS
        )
    file = await run_in_threadpool(get_log, service, job_id, index, attempt, stream)
    size = await service.sandboxes.get_size(file)
    asked = find_range(range_, size)
    start, end = asked or clip(offset, length, size)
    headers = {**_HEADERS, "Accept-Ranges": "bytes"}
    if asked:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return StreamingResponse(
        service.sandboxes.stream(file, start, end),
        status_code=206 if asked else 200,
        media_type=_MEDIA_TYPE,
        headers=headers,
    )


_HEADERS = {"Cache-Control": "no-store"}

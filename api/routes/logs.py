"""stdout and stderr of tasks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.follow import find_log, get_log, log_bytes, log_events, to_sse
from api.openapi import PROBLEMS
from api.pages import JobId, TaskIndex, check_job_id
from api.ranges import clip, find_range
from api.service import Injected

router = APIRouter(prefix="/v1/jobs/{job_id}/tasks/{index}/logs", tags=["logs"], responses=PROBLEMS)

_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"description": "The log, as bytes or events", "content": {"text/plain": {}, "text/event-stream": {}}}
}
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
    accept: Annotated[str, Header(max_length=500)] = "",
    last_event_id: Annotated[int | None, Header(ge=0, lt=2**62, description="the byte to go on from")] = None,
) -> Response:
    """A log, or a part of it: from the agent while it is written, from the site's storage once it is there.

    503 while that agent does not answer and nothing was shipped. With `follow` and `Accept: text/event-stream` it comes
    as events "log" with {"text"}, whose ids are offsets, and "end".
    """
    check_job_id(job_id)
    if follow:
        known = await run_in_threadpool(find_log, service, job_id, index, attempt, stream)
        # asked now, while a refusal can still be a status and not a stream that breaks off
        size = 0 if known is None else await known.get_size()
        start = offset if offset >= 0 else max(0, size + offset)
        if "text/event-stream" in accept:
            start = start if last_event_id is None else last_event_id
            return to_sse(service, log_events(service, job_id, index, attempt, stream, start))
        return StreamingResponse(
            log_bytes(service, job_id, index, attempt, stream, start), media_type=_MEDIA_TYPE, headers=_HEADERS
        )
    log = await run_in_threadpool(get_log, service, job_id, index, attempt, stream)
    size = await log.get_size()
    asked = find_range(range_, size)
    start, end = asked or clip(offset, length, size)
    headers = {**_HEADERS, "Accept-Ranges": "bytes", "Swath-Log-Origin": log.origin}
    if asked:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return StreamingResponse(
        log.stream(start, end),
        status_code=206 if asked else 200,
        media_type=_MEDIA_TYPE,
        headers=headers,
    )


_HEADERS = {"Cache-Control": "no-store"}

"""Events as server-sent events: of one job, of all jobs, and a job's progress."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from api.follow import all_events, has_ended, job_events, job_progress, past_events, to_sse
from api.openapi import PROBLEMS
from api.pages import JobId, check_job_id
from api.service import Injected
from swath.domain.jobs import LARGEST_ARRAY

router = APIRouter(prefix="/v1", tags=["events"], responses=PROBLEMS)

EventId = Annotated[int | None, Query(ge=0, lt=2**62, description="only events after this id")]
LastEventId = Annotated[
    int | None, Header(ge=0, lt=2**62, description="the same, as browsers say it when they reconnect")
]
Follow = Annotated[bool, Query(description="go on with what is still to happen")]
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "Server-sent events", "content": {"text/event-stream": {}}}
}


@router.get("/events", response_class=Response, responses=_STREAM)
async def follow_all(
    service: Injected, after: EventId = None, last_event_id: LastEventId = None, follow: Follow = True
) -> Response:
    """What happens to all jobs from now on, or since the given event."""
    since = _latest(after, last_event_id)
    if since is None and follow:
        since = await run_in_threadpool(service.store.last_event_id)
    messages = all_events(service, since or 0) if follow else past_events(service, since or 0, None)
    return to_sse(service, messages)


@router.get("/jobs/{job_id}/events", response_class=Response, responses=_STREAM)
async def follow_job(
    service: Injected,
    job_id: JobId,
    after: EventId = None,
    last_event_id: LastEventId = None,
    follow: Follow = True,
    task: Annotated[int | None, Query(ge=0, lt=LARGEST_ARRAY, description="only events of this task")] = None,
    progress: Annotated[
        bool, Query(description="send the job's document whenever it changes, instead of events")
    ] = False,
) -> Response:
    """What happened and happens to the job, until it has ended. 204 when it has ended and there is nothing more to tell."""
    job = await run_in_threadpool(service.store.get_job, check_job_id(job_id))
    if progress:
        return to_sse(service, job_progress(service, job_id))
    since = _latest(after, last_event_id) or 0
    read = partial(service.store.read_events, since, job_id=job_id, task=task, limit=1)
    if has_ended(job) and not await run_in_threadpool(read):
        return Response(status_code=204)  # "Clients will stop reconnecting if told to with a 204" (HTML, 9.2)
    messages = job_events(service, since, job_id, task) if follow else past_events(service, since, job_id, task)
    return to_sse(service, messages)


def _latest(after: int | None, last_event_id: int | None) -> int | None:
    """A browser that reconnects repeats its first address, and says in the header how far it has come."""
    return after if last_event_id is None else max(after or 0, last_event_id)

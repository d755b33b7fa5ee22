"""Streams that follow what happens: a job's events, its progress, and a log as it is written."""

from __future__ import annotations

import asyncio
import codecs
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from api.logs import Log
from api.observe import BATCH
from api.pace import Pace
from api.service import Service
from api.views import to_event, to_job, why_task
from swath.domain.errors import InternalError, NotFoundError
from swath.domain.states import ENDED_JOB, ENDED_TASK, is_terminal
from swath.store.rows import AttemptRow, EventRow, JobRow

PROGRESS_S, LONGEST_PROGRESS_S = 0.1, 1.0  # at least so long between two documents of one job, unless its state changes
SHORTEST_NAP_S, LONGEST_NAP_S = 0.1, 1.0  # between reads of a log that does not grow


def has_ended(job: JobRow) -> bool:
    """True when nothing more will happen to the job unless somebody asks."""
    return job.state in ENDED_JOB and job.desired_rev == job.observed_rev


def to_sse(service: Service, messages: AsyncIterator[ServerSentEvent]) -> EventSourceResponse:
    """A stream of server-sent events, with a comment now and then that keeps it open."""
    return EventSourceResponse(
        messages,
        sep="\n",
        ping=service.settings.heartbeat_s,
        ping_message_factory=lambda: ServerSentEvent(comment="alive", sep="\n"),
    )


def to_message(event: EventRow) -> ServerSentEvent:
    """An event as a server-sent event, whose id a client gives back as Last-Event-ID."""
    return ServerSentEvent(data=_to_line(to_event(event)), id=str(event.id), event=event.kind, sep="\n")


async def past_events(
    service: Service, after: int, job_id: str | None, task: int | None = None
) -> AsyncIterator[ServerSentEvent]:
    """The events after `after` that have happened; of one task where it is named."""
    while True:
        batch = await run_in_threadpool(service.store.read_events, after, job_id=job_id, task=task, limit=BATCH)
        for event in batch:
            yield to_message(event)
        if len(batch) < BATCH:
            return
        after = batch[-1].id


async def all_events(service: Service, after: int) -> AsyncIterator[ServerSentEvent]:
    """The events of all jobs after `after`, for as long as anybody listens."""
    with service.observer.following():
        async for batch in service.observer.follow_events(after, None):
            for event in batch:
                yield to_message(event)


async def job_events(
    service: Service, after: int, job_id: str, task: int | None = None
) -> AsyncIterator[ServerSentEvent]:
    """The events of one job, or of one of its tasks, after `after`, until the job has ended."""
    with service.observer.following():
        async for batch in service.observer.follow_events(after, job_id):
            for event in batch:
                after = event.id
                if task is None or event.data.get("task") == task:
                    yield to_message(event)
            if len(batch) < BATCH and has_ended(await run_in_threadpool(service.store.get_job, job_id)):
                break
    # what was committed together with the job's end
    async for message in past_events(service, after, job_id, task):
        yield message


async def job_progress(service: Service, job_id: str) -> AsyncIterator[ServerSentEvent]:
    """The job's document at once and whenever it has changed, until it has ended."""
    told: dict[str, Any] = {}
    pace = Pace(first_s=PROGRESS_S, longest_s=LONGEST_PROGRESS_S)
    with service.observer.following():
        while not service.observer.closed:
            news, known = service.observer.next_news(), service.observer.last
            row = await run_in_threadpool(service.store.get_job, job_id)
            document = to_job(row)
            if document != told:
                told = document
                yield ServerSentEvent(data=_to_line(document), event="job", sep="\n")
            if has_ended(row):
                return
            await news.wait()
            await asyncio.sleep(PROGRESS_S)
            await service.observer.gather(pace.next_s(time.monotonic()) - PROGRESS_S, known, job_id)


def find_log(service: Service, job_id: str, index: int, number: int | None, stream: str) -> Log | None:
    """The log of an attempt; None for one that has not started. Raises NotFoundError for no task."""
    attempt, _ = _find_attempt(service, job_id, index, number)
    return None if attempt is None else _to_log(service, attempt, stream)


def get_log(service: Service, job_id: str, index: int, number: int | None, stream: str) -> Log:
    """The log of an attempt. Raises NotFoundError for one that has not started, or left nothing."""
    attempts = service.store.list_attempts(job_id, index)
    attempt = _choose(attempts, number)
    if attempt is None:
        why = why_task(service.store.get_task(job_id, index), service.store.get_job(job_id), service.now())
        what = f"attempt {number} of task {index}" if number else f"task {index}"
        raise NotFoundError(f"{what} has not started" + (f": {why}" if why else ""))
    log = _to_log(service, attempt, stream)
    if log is None:
        state = f"ended before its command started: {attempt.message or attempt.state}"
        raise NotFoundError(
            f"attempt {attempt.number} of task {index} " + (state if is_terminal(attempt.state) else "is starting")
        )
    return log


async def log_pieces(
    service: Service, job_id: str, index: int, number: int | None, stream: str, offset: int
) -> AsyncIterator[tuple[bytes, int]]:
    """The log from `offset` on as it is written, each piece with where it ends, until its attempt has ended.

    Waits for an attempt that is still to come.
    """
    nap_s = SHORTEST_NAP_S
    with service.observer.following():
        while not service.observer.closed:
            news = service.observer.next_news()
            attempt, may_come = await run_in_threadpool(_find_attempt, service, job_id, index, number)
            log = None if attempt is None else _to_log(service, attempt, stream)
            ended = not may_come if attempt is None else is_terminal(attempt.state)
            if attempt is not None and log is not None:
                number = attempt.number  # a retry has a log of its own
                data, size = await log.read(offset)
                while data:
                    offset, nap_s = offset + len(data), SHORTEST_NAP_S
                    yield data, offset
                    data, size = await log.read(offset)
                offset = min(offset, size)  # a log that has grown too large is cut, and goes on from there
            if ended:
                return
            await _wait(news, nap_s if log is not None else LONGEST_NAP_S)
            nap_s = min(nap_s * 2, LONGEST_NAP_S)
    raise InternalError("the service is stopping")  # broken off, so that nobody takes it for the log's end


async def log_bytes(
    service: Service, job_id: str, index: int, number: int | None, stream: str, offset: int
) -> AsyncIterator[bytes]:
    """The same as bytes alone."""
    async for data, _ in log_pieces(service, job_id, index, number, stream, offset):
        yield data


async def log_events(
    service: Service, job_id: str, index: int, number: int | None, stream: str, offset: int
) -> AsyncIterator[ServerSentEvent]:
    """The same as server-sent events: text, whose id is the byte at which the next one begins; in the end one that says so."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    async for data, end in log_pieces(service, job_id, index, number, stream, offset):
        text = decoder.decode(data)
        held, _ = decoder.getstate()  # the beginning of a letter whose end has not come
        offset = end - len(held)
        if text:
            yield ServerSentEvent(data=_to_line({"text": text}), id=str(offset), event="log", sep="\n")
    if rest := decoder.decode(b"", final=True):
        yield ServerSentEvent(data=_to_line({"text": rest}), id=str(offset), event="log", sep="\n")
    yield ServerSentEvent(data="{}", event="end", sep="\n")


def _find_attempt(service: Service, job_id: str, index: int, number: int | None) -> tuple[AttemptRow | None, bool]:
    """(the attempt, whether one may still come)."""
    task = service.store.get_task(job_id, index)  # before the attempts: what ends between the two is seen next time
    attempt = _choose(service.store.list_attempts(job_id, index), number)
    return attempt, task.state not in ENDED_TASK


def _choose(attempts: list[AttemptRow], number: int | None) -> AttemptRow | None:
    if number is None:
        return attempts[-1] if attempts else None
    return next((attempt for attempt in attempts if attempt.number == number), None)


def _to_log(service: Service, attempt: AttemptRow, stream: str) -> Log | None:
    if attempt.sandbox is None:
        return None
    return Log(service.sandboxes, service.archive, attempt, stream)


async def _wait(news: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(news.wait(), seconds)
    except TimeoutError:
        return


def _to_line(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"))

"""Jobs: submit, list, show, cancel, retry."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import JSONResponse

from api.answers import ExplainAnswer, JobAnswer, JobPage
from api.openapi import PROBLEMS, body_of
from api.pages import Cursor, Filter, JobId, Limit, check_job_id, from_cursor, to_cursor, to_labels
from api.parsing import parse
from api.rerun import to_document_again
from api.schemas import JobDocument
from api.service import Body, Injected, Service
from api.submission import admit
from api.views import to_job, to_links
from swath.domain.errors import InvalidInputError
from swath.domain.ids import is_ulid, make_ulid
from swath.domain.states import JobState
from swath.store.rows import JobFilters, JobRow

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=PROBLEMS)

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="the same key with the same body gives back the first job; with another body it is a conflict",
    ),
]


@router.post(
    "",
    status_code=201,
    response_model=JobAnswer,
    responses={200: {"model": JobAnswer | ExplainAnswer, "description": "the same again, or with dry_run"}},
    openapi_extra=body_of("JobDocument"),
)
def submit(
    service: Injected,
    body: Body,
    response: Response,
    idempotency_key: IdempotencyKey = None,
    dry_run: Annotated[bool, Query(description="say what would become of it, and submit nothing")] = False,
) -> Any:
    """Submit a job. One that can never run is refused at once, with every reason; what else keeps it waiting shows as `why`."""
    if dry_run:
        return JSONResponse(_try_out(service, body))
    idempotency = (idempotency_key, hashlib.sha256(body).hexdigest()) if idempotency_key else None
    return _submit(service, lambda: parse(JobDocument, body), idempotency, response)


@router.post("/{job_id}/rerun", status_code=201, response_model=JobAnswer)
def rerun(service: Injected, job_id: JobId, response: Response, idempotency_key: IdempotencyKey = None) -> Any:
    """Submit a job once more, exactly as it was: the same document, items and image digest. What is of its own moment
    (`not_before`, `deadline`, `after`) is left out. Refused where the digest is not to be had any more.
    """
    job = service.store.get_job(check_job_id(job_id))
    idempotency = (idempotency_key, f"rerun of {job.id}") if idempotency_key else None
    return _submit(service, lambda: to_document_again(service.store, job), idempotency, response)


def _submit(
    service: Service,
    make_document: Callable[[], JobDocument],
    idempotency: tuple[str, str] | None,
    response: Response,
) -> dict[str, Any]:
    job = service.store.find_submitted(*idempotency) if idempotency else None
    warnings: Sequence[str] = ()
    response.status_code = 200
    if job is None:
        now = service.now()
        admitted = admit(make_document(), service.store, service.make_file_check(), now, gate=service.image_gate)
        warnings = admitted.warnings
        job_id = make_ulid(now, os.urandom(10))
        job = service.store.submit(
            admitted.spec,
            admitted.image,
            resources=admitted.resources,
            job_id=job_id,
            now=now,
            user=service.settings.token_user,
            idempotency=idempotency,
        )
        response.status_code = 201 if job.id == job_id else 200
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return _with_links(service, job) | {"warnings": list(warnings)}


@router.get("/{job_id}/explain", response_model=ExplainAnswer)
def explain(service: Injected, job_id: JobId) -> Any:
    """Why tasks of the job wait: what keeps them from each agent, the quotas, its place among the others, and when they may
    start by a forward simulation.
    """
    return service.outlook.explain(service.store.get_job(check_job_id(job_id)), service.now())


@router.get("", response_model=JobPage)
def list_jobs(
    service: Injected,
    project: Filter = None,
    state: JobState | None = None,
    image: Filter = None,
    name: Filter = None,
    label: Annotated[list[str] | None, Query(max_length=20, description="KEY=VALUE, several times for several")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """Jobs, the newest first."""
    filters = JobFilters(project=project, state=state, image=image, name=name, labels=to_labels(label or []))
    after = from_cursor("jobs", cursor)
    if after is not None and not is_ulid(str(after)):
        raise InvalidInputError.at("query:cursor", "is none that a page of this list ended with")
    page = service.store.list_jobs(filters, after=after, limit=limit)
    return {"items": [to_job(row) for row in page.items], "next": to_cursor("jobs", page.next)}


@router.get("/{job_id}", response_model=JobAnswer)
def get_job(service: Injected, job_id: JobId) -> Any:
    """One job, `why` it waits, and the jobs `after` which it starts or that start after it (`before` them)."""
    return _with_links(service, service.store.get_job(check_job_id(job_id)))


@router.post("/{job_id}/cancel", status_code=202, response_model=JobAnswer)
def cancel(service: Injected, job_id: JobId) -> Any:
    """Ask for the job's end. Its tasks get their grace; the job is CANCELLED once they have ended."""
    return _with_links(service, service.store.request_cancel(check_job_id(job_id)))


@router.post("/{job_id}/retry", status_code=202, response_model=JobAnswer)
def retry(service: Injected, job_id: JobId) -> Any:
    """Run the job's failed tasks again; a conflict where none has failed, or the deadline has passed.

    Jobs that had failed because this one did wait for it again.
    """
    return _with_links(service, service.store.request_retry(check_job_id(job_id), now=service.now()))


def _try_out(service: Service, body: bytes) -> dict[str, Any]:
    now = service.now()
    document = parse(JobDocument, body)
    admitted = admit(document, service.store, service.make_file_check(), now, gate=service.image_gate)
    return service.outlook.try_out(admitted, make_ulid(now, os.urandom(10)), service.settings.token_user, now)


def _with_links(service: Service, job: JobRow) -> dict[str, Any]:
    return to_job(job) | to_links(service.store.list_links(job.id))

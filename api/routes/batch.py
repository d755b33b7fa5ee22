"""Jobs that are submitted together."""

from __future__ import annotations

import hashlib
from typing import Any

from fastapi import APIRouter, Response

from api.answers import JobList
from api.batch import admit_together
from api.openapi import PROBLEMS, body_of
from api.parsing import parse
from api.routes.jobs import IdempotencyKey
from api.schemas import BatchDocument
from api.service import Body, Injected
from api.views import to_job

router = APIRouter(prefix="/v1", tags=["jobs"], responses=PROBLEMS)


@router.post("/jobs:batch", status_code=201, response_model=JobList, openapi_extra=body_of("BatchDocument"))
def submit_together(service: Injected, body: Body, response: Response, idempotency_key: IdempotencyKey = None) -> Any:
    """Submit several jobs, which may wait for each other by their names: all of them are accepted, or none."""
    idempotency = (idempotency_key, hashlib.sha256(body).hexdigest()) if idempotency_key else None
    jobs = service.store.find_submitted_together(*idempotency) if idempotency else None
    warnings: dict[str, list[str]] = {}
    if jobs is None:
        now = service.now()
        documents = parse(BatchDocument, body).jobs
        submissions = admit_together(documents, service.store, service.make_file_check, now, gate=service.image_gate)
        jobs = service.store.submit_together(
            submissions, now=now, user=service.settings.token_user, idempotency=idempotency
        )
        warnings = {submission.job_id: list(submission.warnings) for submission in submissions}
        response.status_code = 201 if jobs[0].id == submissions[0].job_id else 200
    else:
        response.status_code = 200
    return {"items": [to_job(job) | {"warnings": warnings.get(job.id, [])} for job in jobs]}

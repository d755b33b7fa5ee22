"""Tasks of a job, and their attempts."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from api.answers import AttemptList, TaskAnswer, TaskPage
from api.openapi import PROBLEMS
from api.pages import Cursor, JobId, Limit, TaskIndex, check_job_id, from_cursor, to_cursor
from api.service import Injected
from api.views import to_attempt, to_task
from swath.domain.errors import InvalidInputError
from swath.domain.states import TaskState

router = APIRouter(prefix="/v1/jobs/{job_id}/tasks", tags=["tasks"], responses=PROBLEMS)


@router.get("", response_model=TaskPage)
def list_tasks(
    service: Injected, job_id: JobId, state: TaskState | None = None, limit: Limit = 100, cursor: Cursor = None
) -> Any:
    """Tasks by index, those that were never launched too."""
    after = from_cursor("tasks", cursor)
    if isinstance(after, str):
        raise InvalidInputError.at("query:cursor", "is none that a page of this list ended with")
    job = service.store.get_job(check_job_id(job_id))
    now = service.now()
    page = service.store.list_tasks(job_id, state=state, after=after, limit=limit)
    return {"items": [to_task(row, job, now) for row in page.items], "next": to_cursor("tasks", page.next)}


@router.get("/{index}", response_model=TaskAnswer)
def get_task(service: Injected, job_id: JobId, index: TaskIndex) -> Any:
    """One task, and `why` it waits."""
    job = service.store.get_job(check_job_id(job_id))
    return to_task(service.store.get_task(job_id, index), job, service.now())


@router.get("/{index}/attempts", response_model=AttemptList)
def list_attempts(service: Injected, job_id: JobId, index: TaskIndex) -> Any:
    """Every attempt of the task, the first one first."""
    return {"items": [to_attempt(row) for row in service.store.list_attempts(check_job_id(job_id), index)]}

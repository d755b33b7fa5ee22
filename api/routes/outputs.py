"""What jobs have published: lists, and the files themselves."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from api.answers import OutputPage
from api.downloads import check_path, find_download, to_response
from api.openapi import PROBLEMS
from api.pages import Cursor, JobId, Limit, TaskIndex, check_job_id, from_cursor, to_cursor
from api.service import Injected, Service
from api.views import to_output
from swath.domain.errors import InvalidInputError, NotFoundError

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["outputs"], responses=PROBLEMS)

_FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file", "content": {"application/octet-stream": {}}},
    206: {"description": "The range of it that was asked for"},
    304: {"description": "The client has it already"},
    416: {"description": "The range lies outside of the file"},
}
_CURSOR = re.compile(r"\d{1,9}:\d{1,9}", re.ASCII)


@router.get("/outputs", response_model=OutputPage)
def list_job_outputs(
    service: Injected, request: Request, job_id: JobId, limit: Limit = 100, cursor: Cursor = None
) -> Any:
    """The files of every task that has succeeded, by task."""
    return _list(service, request, job_id, None, limit, cursor)


@router.get("/tasks/{index}/outputs", response_model=OutputPage)
def list_task_outputs(
    service: Injected, request: Request, job_id: JobId, index: TaskIndex, limit: Limit = 100, cursor: Cursor = None
) -> Any:
    """The files of one task; none before it has succeeded."""
    service.store.get_task(check_job_id(job_id), index)
    return _list(service, request, job_id, index, limit, cursor)


@router.get("/tasks/{index}/outputs/{path:path}", response_class=Response, responses=_FILE)
@router.head("/tasks/{index}/outputs/{path:path}", response_class=Response, include_in_schema=False)
def download(
    service: Injected,
    request: Request,
    job_id: JobId,
    index: TaskIndex,
    path: Annotated[str, Path(max_length=4096, description="the output's path")],
) -> Response:
    """A file of a task that has succeeded; ranges and conditional requests are served."""
    winner = service.store.get_task(check_job_id(job_id), index).winner_attempt
    attempts = service.store.list_attempts(job_id, index)
    attempt = next((row for row in attempts if row.id == winner), None)
    if attempt is None:
        raise NotFoundError(f"task {index} has published nothing: only what a succeeded task leaves becomes its output")
    check_path(path)
    if attempt.output_dir is not None and attempt.output_dir.startswith("s3://"):
        return service.remote_outputs.serve(attempt, path, request)
    return to_response(find_download(attempt, path), request.headers)


def _list(
    service: Service, request: Request, job_id: str, index: int | None, limit: int, cursor: str | None
) -> dict[str, Any]:
    after = from_cursor("outputs", cursor)
    if after is not None and not _CURSOR.fullmatch(str(after)):
        raise InvalidInputError.at("query:cursor", "is none that a page of this list ended with")
    page = service.store.list_outputs(check_job_id(job_id), index=index, after=after, limit=limit)
    base_url = (service.settings.public_url or str(request.base_url)).rstrip("/")
    return {
        "items": [to_output(row, base_url) for row in page.items],
        "next": to_cursor("outputs", page.next),
    }

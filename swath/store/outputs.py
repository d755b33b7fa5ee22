"""What succeeded tasks have published, as the api reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from swath.domain.errors import InvalidInputError, NotFoundError
from swath.domain.states import AttemptState, TaskState
from swath.store.models import Attempt, Job, Task
from swath.store.rows import OutputRow, Page
from swath.store.types import AnyRow

_CURSOR = re.compile(r"([0-9]{1,9}):([0-9]{1,9})")  # no job has a thousand million tasks, or a task as many files
_TASKS_A_QUERY = 50  # an attempt may list a thousand files


def list_outputs(
    session: Session, job_id: str, index: int | None, after: str | None, limit: int
) -> Page[OutputRow, str]:
    """Files by task, and within a task as the executor listed them; `index` keeps one task's. Raises NotFoundError.

    Only what a commit has made official: of tasks that have succeeded, from the attempt that won.
    """
    size = session.scalar(select(Job.size).where(Job.id == job_id))
    if size is None:
        raise NotFoundError(f"there is no job {job_id}")
    task, skipped = _from_cursor(after)
    if index is not None and not 0 <= index < size:
        return Page(items=[], next=None)
    found: list[OutputRow] = []
    cursors: list[str] = []
    for row in _find_winners(session, job_id, index, task):
        first = skipped if row.task_index == task else 0
        for position, output in enumerate(row.outputs or [], start=1):
            if position > first:
                found.append(_to_output(job_id, row, output))
                cursors.append(f"{row.task_index}:{position}")
        if len(found) > limit:
            return Page(items=found[:limit], next=cursors[limit - 1])
    return Page(items=found, next=None)


def _find_winners(session: Session, job_id: str, index: int | None, first: int) -> Iterator[AnyRow]:
    """The winning attempts of succeeded tasks from `first` on, a batch at a time."""
    query = (
        select(Attempt.task_index, Attempt.id, Attempt.output_dir, Attempt.outputs)
        .join(Task, Task.winner_attempt == Attempt.id)
        .where(Task.job_id == job_id, Task.state == TaskState.SUCCEEDED, Attempt.state == AttemptState.SUCCEEDED)
        .order_by(Task.index)
        .limit(_TASKS_A_QUERY)
    )
    if index is not None:
        query = query.where(Task.index == index)
    while True:
        batch = session.execute(query.where(Task.index >= first)).all()
        yield from batch
        if len(batch) < _TASKS_A_QUERY:
            return
        first = batch[-1].task_index + 1


def _from_cursor(cursor: str | None) -> tuple[int, int]:
    """(task, files of it that were shown)."""
    if cursor is None:
        return 0, 0
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise InvalidInputError.at("/cursor", "is none that a page of outputs ended with")
    return int(found[1]), int(found[2])


def _to_output(job_id: str, row: AnyRow, output: dict[str, Any]) -> OutputRow:
    return OutputRow(
        job_id=job_id,
        task_index=row.task_index,
        attempt_id=row.id,
        name=output["name"],
        path=output["path"],
        size=output["size"],
        media_type=output.get("media_type"),
        sha256=output.get("sha256"),
        output_dir=row.output_dir,
    )

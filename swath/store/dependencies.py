"""Which jobs wait for which: what the scheduler has to know of those before, and what the api shows of both sides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import Select, func, insert, select, text
from sqlalchemy.orm import Session

from swath.domain.dependencies import Dependency, Upstream, make_upstream
from swath.domain.jobs import JobSpec
from swath.domain.ranges import Ranges
from swath.domain.states import Desired, JobCounts, TaskState
from swath.store.models import TASK_IS_UNSUCCESSFUL, Job, JobDependency, Task
from swath.store.rows import Linked, Links

_COUNTS = ("pending", "active", "succeeded", "failed", "cancelled")
MOST_SHOWN = 1000  # any number of jobs may wait for one
_AT_ONCE = 500  # ids in one query


def add_dependencies(session: Session, job_id: str, spec: JobSpec) -> None:
    """Write what the job waits for, so that it can be found from the other side too."""
    rows = [
        {"job_id": job_id, "on_id": entry.job, "condition": entry.condition, "elementwise": entry.elementwise}
        for entry in spec.after
    ]
    if rows:
        session.execute(insert(JobDependency), rows)


def read_upstream(session: Session, after: Iterable[Dependency]) -> dict[str, Upstream]:
    """The jobs of all of `after` by their ids, whether they have ended or not.

    Their tasks are read as ranges, and only of those that somebody waits for task by task; those that have succeeded, as a
    rule nearly all, are not read at all.
    """
    elementwise: dict[str, bool] = {}
    for entry in after:
        elementwise[entry.job] = elementwise.get(entry.job, False) or entry.elementwise
    return {row.id: _to_upstream(session, row, elementwise[row.id]) for row in _find_jobs(session, elementwise)}


def find_linked(session: Session, job_ids: Iterable[str]) -> dict[str, Upstream]:
    """The jobs with these ids as they are now, without their single tasks; an id that is none is left out."""
    return {row.id: _to_upstream(session, row, False) for row in _find_jobs(session, dict.fromkeys(job_ids))}


def list_links(session: Session, job_id: str) -> Links:
    """The jobs that the job waits for, and those that wait for it, the oldest first, at most MOST_SHOWN of them."""
    after = _select_links().join(JobDependency, JobDependency.on_id == Job.id).where(JobDependency.job_id == job_id)
    before = _select_links().join(JobDependency, JobDependency.job_id == Job.id).where(JobDependency.on_id == job_id)
    before = before.limit(MOST_SHOWN)
    return Links(after=_to_links(session, after), before=_to_links(session, before))


def find_dropped(session: Session, job_id: str) -> list[str]:
    """The jobs, near and far, of which tasks have failed only because `job_id` did not succeed."""
    found: dict[str, None] = {}
    heads = [job_id]
    while heads:
        query = (
            select(Job.id, Job.dropped)
            .join(JobDependency, JobDependency.job_id == Job.id)
            .where(JobDependency.on_id.in_(heads), Job.desired == Desired.RUN)
        )
        heads = list({row.id: None for row in session.execute(query) if row.dropped and row.id not in found})
        found |= dict.fromkeys(heads)
    return list(found)


def _find_jobs(session: Session, wanted: Mapping[str, Any]) -> Iterator[Any]:
    names = ("id", "name", "size", "pending", "dropped", *(f"{name}_count" for name in _COUNTS))
    ids = sorted(wanted)
    for first in range(0, len(ids), _AT_ONCE):
        columns = [getattr(Job, name) for name in names]
        yield from session.execute(select(*columns).where(Job.id.in_(ids[first : first + _AT_ONCE]))).all()


def _to_upstream(session: Session, row: Any, elementwise: bool) -> Upstream:
    counts = _to_counts(row)
    if not elementwise:
        return Upstream(id=row.id, name=row.name, counts=counts)
    return make_upstream(
        id=row.id,
        name=row.name,
        counts=counts,
        pending=Ranges.from_document(row.pending),
        dropped=Ranges.from_document(row.dropped),
        rows=_read_ranges(session, row.id),
    )


def _to_counts(row: Any) -> JobCounts:
    return JobCounts(total=row.size, **{name: getattr(row, f"{name}_count") for name in _COUNTS})


def _read_ranges(session: Session, job_id: str) -> dict[TaskState, Ranges]:
    """The job's rows that have not succeeded, by state: neighbours are one range before they leave the database."""
    place = func.row_number().over(partition_by=Task.state, order_by=Task.index)
    island = (Task.index - place).label("island")
    rows = select(Task.state, Task.index, island).where(Task.job_id == job_id, text(TASK_IS_UNSUCCESSFUL)).subquery()
    first = func.min(rows.c.index)
    islands = select(rows.c.state, first, func.max(rows.c.index)).group_by(rows.c.state, rows.c.island).order_by(first)
    found: dict[TaskState, list[tuple[int, int]]] = {}
    for state, low, high in session.execute(islands):
        found.setdefault(state, []).append((low, high + 1))
    return {state: Ranges(tuple(spans)) for state, spans in found.items()}


def _select_links() -> Select[Any]:
    job = (Job.id, Job.name, Job.state, Job.size, *(getattr(Job, f"{name}_count") for name in _COUNTS))
    return select(*job, JobDependency.condition, JobDependency.elementwise).order_by(Job.id)


def _to_links(session: Session, query: Select[Any]) -> list[Linked]:
    return [
        Linked(
            job_id=row.id,
            name=row.name,
            state=row.state,
            counts=_to_counts(row),
            condition=row.condition,
            elementwise=row.elementwise,
        )
        for row in session.execute(query)
    ]

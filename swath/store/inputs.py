"""The elements of a job's array."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from swath.domain.errors import InternalError
from swath.domain.jobs import item_at
from swath.store.documents import CHUNK, chunks_of, from_stored, has_stored_items
from swath.store.models import JobInput


def read_chunk(session: Session, job_id: str, chunk: int) -> list[Any]:
    """The items of one chunk; raises InternalError when it is missing."""
    wanted = select(JobInput.items).where(JobInput.job_id == job_id, JobInput.chunk == chunk)
    items: list[Any] | None = session.scalar(wanted)
    if items is None:
        raise InternalError(f"the inputs of job {job_id} have no chunk {chunk}")
    return items


def read_items(session: Session, job_id: str, document: Mapping[str, Any], indices: Iterable[int]) -> dict[int, Any]:
    """The elements at `indices` of the job with the stored `document`: items, numbers of a range, or None."""
    wanted = list(indices)
    if not has_stored_items(document):
        spec = from_stored(document)
        return {index: item_at(spec, index) for index in wanted}
    chunks = {chunk: read_chunk(session, job_id, chunk) for chunk in chunks_of(wanted)}
    return {index: chunks[index // CHUNK][index % CHUNK] for index in wanted}

"""Parameters of lists: filters, page sizes, and cursors that mean nothing to anybody but the list that gave them."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Any

from fastapi import Path, Query

from swath.domain.errors import InvalidInputError, NotFoundError
from swath.domain.ids import is_ulid
from swath.domain.jobs import LARGEST_ARRAY

LARGEST_PAGE = 1000
LARGEST_INDEX = 2**31  # what lists are ordered by has so many bits, and PostgreSQL compares with nothing larger

Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="items a page")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before")]
Filter = Annotated[str | None, Query(max_length=300, pattern=r"^[^\x00]*$")]
TaskIndex = Annotated[int, Path(ge=0, lt=LARGEST_ARRAY, description="index in the job's array; 0 without one")]
JobId = Annotated[str, Path(max_length=64, description="the job's id")]


def to_labels(texts: list[str]) -> dict[str, str]:
    """The labels of a list's filter."""
    labels = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key or "\0" in text or len(text) > 512:
            raise InvalidInputError.at("query:label", f"must be KEY=VALUE, is {text[:60]!r}")
        labels[key] = value
    return labels


def check_job_id(job_id: str) -> str:
    """The id; raises NotFoundError for what cannot be one."""
    if not is_ulid(job_id):
        raise NotFoundError(f"there is no job {job_id!r}: a job's id has 26 letters and digits")
    return job_id


def to_cursor(kind: str, after: str | int | None) -> str | None:
    """The cursor of the page that follows `after` in the list `kind`."""
    if after is None:
        return None
    return base64.urlsafe_b64encode(json.dumps([kind, after]).encode()).decode().rstrip("=")


def from_cursor(kind: str, cursor: str | None) -> Any:
    """What `to_cursor` was given; raises InvalidInputError for a cursor that no page of this list ended with."""
    if cursor is None:
        return None
    try:
        known, after = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise _bad_cursor() from None
    if known != kind or not isinstance(after, str | int) or isinstance(after, bool):
        raise _bad_cursor()
    if isinstance(after, int) and not 0 <= after < LARGEST_INDEX:
        raise _bad_cursor()
    return after


def _bad_cursor() -> InvalidInputError:
    return InvalidInputError.at("query:cursor", "is none that a page of this list ended with")

"""Usage accounting: what attempts held and used, by day, project, user, image and outcome."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from api.openapi import PROBLEMS
from api.pages import LARGEST_PAGE, Filter, Limit, from_cursor, to_cursor
from api.service import Injected, Service
from api.tenant_answers import UsagePage
from api.usage import UsageSheet, to_csv, to_usage
from swath.domain.errors import InvalidInputError
from swath.store.rows import UsageFilters

router = APIRouter(prefix="/v1/usage", tags=["usage"], responses=PROBLEMS)

DIMENSIONS = ("day", "project", "user", "image", "outcome")
EARLIEST = 1970
DAYS = 30  # where no day is named
_CSV: dict[int | str, dict[str, Any]] = {200: {"description": "The sums", "content": {"text/csv": {}}}}

Group = tuple[str, ...]


@router.get("", response_model=UsagePage, response_model_exclude_unset=True, responses=_CSV)
def read_usage(
    service: Injected,
    first: Annotated[str | None, Query(alias="from", max_length=40, description="the first day, of UTC")] = None,
    last: Annotated[str | None, Query(alias="to", max_length=40, description="the last day, included")] = None,
    by: Annotated[str, Query(max_length=100, description=f"of {', '.join(DIMENSIONS)}, with commas")] = "project",
    project: Filter = None,
    user: Filter = None,
    format: Annotated[Literal["json", "csv"] | None, Query(description="csv has all pages")] = None,
    limit: Limit = 100,
    cursor: Annotated[str | None, Query(max_length=8000, description="`next` of the page before")] = None,
    accept: Annotated[str, Header()] = "",
) -> Any:
    """What was requested and used, in the order of the groups. Attempts that run are in it up to the present."""
    filters = _to_filters(service, first, last, by, project, user)
    now = service.now()

    def read(after: Group | None, limit: int) -> UsageSheet:
        return service.store.read_usage(filters, now=now, after=after, limit=limit)

    if format == "csv" or (format is None and "text/csv" in accept):
        lines = to_csv(filters.by, read(None, LARGEST_PAGE), lambda after: read(after, LARGEST_PAGE))
        return StreamingResponse(
            lines,
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="usage.csv"'},
        )
    page = read(_from_cursor(cursor, filters.by), limit)
    return {
        "items": [to_usage(row) for row in page.items],
        "next": to_cursor("usage", None if page.next is None else json.dumps(page.next)),
        "first": filters.first.isoformat(),
        "last": filters.last.isoformat(),
    }


def _to_filters(
    service: Service, first: str | None, last: str | None, by: str, project: str | None, user: str | None
) -> UsageFilters:
    until = _to_day("to", last) or service.now().date()
    since = _to_day("from", first) or until - timedelta(days=DAYS - 1)
    if since > until:
        raise InvalidInputError.at("query:from", f"is {since}, after the last day, {until}")
    return UsageFilters(by=_to_dimensions(by), first=since, last=until, project=project, user=user)


def _to_dimensions(by: str) -> tuple[str, ...]:
    names = tuple(filter(None, by.split(",")))
    if unknown := [name for name in names if name not in DIMENSIONS]:
        raise InvalidInputError.at("query:by", f"{unknown[0]!r} is none of {', '.join(DIMENSIONS)}")
    if len(set(names)) < len(names):
        raise InvalidInputError.at("query:by", "names something twice")
    return names


def _to_day(name: str, text: str | None) -> date | None:
    try:
        day = date.fromisoformat(text) if text else None
        if day is not None and day.year < EARLIEST:
            raise ValueError("before any computer's time")
        return day
    except ValueError:
        raise InvalidInputError.at(f"query:{name}", f"must be a day like 2026-06-01, is {text!r}") from None


def _from_cursor(cursor: str | None, by: Group) -> Group | None:
    """The group that the page before ended with; raises InvalidInputError for what is none of these sums."""
    after = from_cursor("usage", cursor)
    if after is None:
        return None
    try:
        group = tuple(json.loads(after))
        if len(group) != len(by) or not all(isinstance(value, str) and "\0" not in value for value in group):
            raise ValueError("another list's")
        for name, value in zip(by, group, strict=True):
            if name == "day":
                date.fromisoformat(value)
    except (ValueError, TypeError, RecursionError):
        raise InvalidInputError.at("query:cursor", "is none that a page of these sums ended with") from None
    return group

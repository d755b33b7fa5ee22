"""Jobs that recur: add, list, show, change, remove."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from api.answers import ScheduleAnswer, ScheduleList
from api.cron import BadCronError, BadZoneError, Cron
from api.openapi import PROBLEMS, body_of
from api.parsing import parse
from api.recurring import check_recurring
from api.schemas import ScheduleChange, ScheduleDocument
from api.service import Body, Injected, Service
from api.views import to_run, to_schedule
from swath.domain.errors import InvalidInputError
from swath.domain.ids import make_ulid
from swath.domain.schedules import CatchUp, Overlap
from swath.store.recurring_rows import ScheduleRow

router = APIRouter(prefix="/v1/schedules", tags=["schedules"], responses=PROBLEMS)

NEXT_TIMES = 3
Name = Annotated[str, Path(max_length=255, description="the schedule's name or id")]


@router.post("", status_code=201, response_model=ScheduleAnswer, openapi_extra=body_of("ScheduleDocument"))
def add(service: Injected, body: Body) -> Any:
    """Add a recurring job; a conflict where the name is taken. Jobs that could never run are refused as they are alone."""
    document, now = parse(ScheduleDocument, body), service.now()
    cron = _to_cron(document.cron, document.timezone)
    row = ScheduleRow(
        id=make_ulid(now, os.urandom(10)),
        name=document.name,
        user=service.settings.token_user,
        cron=document.cron,
        timezone=document.timezone,
        overlap=Overlap(document.overlap),
        catch_up=CatchUp(document.catch_up),
        paused=document.paused,
        document=check_recurring(document.job, service.store, cron, now, service.image_gate),
        created_at=now,
        next_at=None if document.paused else _next_at(cron, now),
    )
    row = service.store.add_schedule(row)
    service.recurring.watch.wake()
    return _show(service, row)


@router.get("", response_model=ScheduleList)
def list_schedules(service: Injected) -> Any:
    """All recurring jobs by name, with their next fire times."""
    now = service.now()
    return {"items": [to_schedule(row, _next_times(row, now)) for row in service.store.list_schedules()]}


@router.get("/{name}", response_model=ScheduleAnswer)
def get_schedule(service: Injected, name: Name) -> Any:
    """One recurring job, and its last runs."""
    return _show(service, service.store.get_schedule(name))


@router.patch("/{name}", response_model=ScheduleAnswer, openapi_extra=body_of("ScheduleChange"))
def change(service: Injected, name: Name, body: Body) -> Any:
    """Change what is given. Fire times that pass while it is paused are not caught up."""
    document, now = parse(ScheduleChange, body), service.now()
    row = service.store.get_schedule(name)
    given = {entry: getattr(document, entry) for entry in document.model_fields_set if entry != "job"}
    cron = _to_cron(given.get("cron", row.cron), given.get("timezone", row.timezone))
    if document.job is not None:
        given["document"] = check_recurring(document.job, service.store, cron, now, service.image_gate)
    paused = given.get("paused", row.paused)
    if (row.cron, row.timezone, row.paused) != (
        *(given.get("cron", row.cron), given.get("timezone", row.timezone), paused),
    ):
        given["next_at"] = None if paused else _next_at(cron, now)
    row = service.store.change_schedule(row.id, given)
    service.recurring.watch.wake()
    return _show(service, row)


@router.delete("/{name}", status_code=204)
def remove(service: Injected, name: Name) -> Response:
    """Forget the recurring job; the jobs that it has submitted stay as they are."""
    service.store.remove_schedule(name)
    return Response(status_code=204)


def _show(service: Service, row: ScheduleRow) -> dict[str, Any]:
    runs = [to_run(run) for run in service.store.list_runs(row.id)]
    return to_schedule(row, _next_times(row, service.now())) | {"runs": runs}


def _to_cron(expression: str, zone: str) -> Cron:
    try:
        return Cron(expression, zone)
    except BadCronError as error:
        raise InvalidInputError.at("/cron", str(error)) from None
    except BadZoneError as error:
        raise InvalidInputError.at("/timezone", str(error)) from None


def _next_at(cron: Cron, now: datetime) -> datetime:
    times = cron.after(now)
    if not times:
        raise InvalidInputError.at("/cron", "names a time that never comes")
    return times[0]


def _next_times(row: ScheduleRow, now: datetime) -> list[datetime]:
    """The next fire times, the one that is due included."""
    if row.next_at is None:
        return []
    return [row.next_at, *Cron(row.cron, row.timezone).after(max(row.next_at, now), NEXT_TIMES - 1)]

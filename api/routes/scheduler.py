"""The scheduler as Mesos knows it: its state, the end of its framework, and a new beginning."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from api.cluster_answers import FrameworkAnswer, SchedulerAnswer
from api.openapi import PROBLEMS, body_of
from api.parsing import parse
from api.readiness import check_scheduler
from api.schemas import FrameworkDocument
from api.service import Body, Injected, Service
from api.views import to_framework, to_scheduler
from swath.domain.wishes import FrameworkDesire

router = APIRouter(prefix="/v1/scheduler", tags=["scheduler"], responses=PROBLEMS)


@router.get("", response_model=SchedulerAnswer)
def get_scheduler(service: Injected) -> Any:
    """Who leads, how it stands with Mesos, what operators want of the framework, and what its end would kill."""
    row = service.store.cluster_status()
    return to_scheduler(row, service.store.count_running(), check_scheduler(service, row))


@router.post("/teardown", status_code=202, response_model=FrameworkAnswer, openapi_extra=body_of("FrameworkDocument"))
def tear_down(service: Injected, body: Body) -> Any:
    """Leave Mesos: every attempt is killed, executors end, jobs wait, and nothing is launched until a reset."""
    return _want(service, FrameworkDesire.TEARDOWN, body)


@router.post(
    "/reset-framework", status_code=202, response_model=FrameworkAnswer, openapi_extra=body_of("FrameworkDocument")
)
def reset_framework(service: Injected, body: Body) -> Any:
    """Begin anew under another framework id: what runs under the old one is killed, LOST, and tried again for free."""
    return _want(service, FrameworkDesire.RESET, body)


def _want(service: Service, desire: FrameworkDesire, body: bytes) -> dict[str, Any]:
    named = parse(FrameworkDocument, body).framework_id
    user = service.settings.token_user
    service.store.want_framework(desire, framework_id=named, user=user, now=service.now())
    return to_framework(service.store.cluster_status(), service.store.count_running())

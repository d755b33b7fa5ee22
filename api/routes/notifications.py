"""What registries tell: the webhook of the distribution project's notifications."""

from __future__ import annotations

from typing import Any

import structlog
from fastapi import APIRouter

from api.lookout import REFUSALS
from api.notification_answers import NotificationAnswer
from api.openapi import PROBLEMS
from api.service import Body, Injected, Known
from swath.domain.errors import RegistryError
from swath.registry.notifications import read_envelope

router = APIRouter(prefix="/v1/registry", tags=["images"], responses=PROBLEMS)
log = structlog.get_logger()


@router.post("/notifications", response_model=NotificationAnswer)
def notify(service: Injected, caller: Known, body: Body) -> Any:
    """Take a registry's notification: what was pushed is registered, what was deleted is looked for.

    Only registries of SWATH_REGISTRIES are believed. What is sent again changes nothing; while a registry or the database does
    not answer, the answer is 503, and the registry sends it again.
    """
    happenings, passed_by = read_envelope(body)
    registered: list[str] = []
    refused: list[dict[str, str]] = []
    for happening in happenings:
        reference = happening.reference
        if not service.registries.knows(reference.host):
            log.warning("notification_of_unknown_registry", registry=reference.host)
            passed_by += 1
            continue
        try:
            image = service.lookout.on_happening(happening, caller)
        except REFUSALS as error:
            refused.append({"reference": str(reference), "why": str(error)})
        except RegistryError as error:
            if error.passing:
                raise
            refused.append({"reference": str(reference), "why": str(error)})
        else:
            registered += [image] if image else []
    for entry in refused:
        log.warning("notification_refused", **entry)
    if registered:
        service.verifier.watch.wake()
    return {"registered": registered, "refused": refused, "passed_by": passed_by}

"""What registries tell: the webhook of the distribution project's notifications."""

from __future__ import annotations

from typing import Any, TypeGuard

import structlog
from fastapi import APIRouter

from api.notification_answers import NotificationAnswer
from api.openapi import PROBLEMS
from api.service import Body, Injected, Known
from swath.domain.errors import RegistryError, StoreUnavailableError, SwathError, UserError
from swath.domain.references import Reference
from swath.registry.notifications import read_envelope

router = APIRouter(prefix="/v1/registry", tags=["images"], responses=PROBLEMS)
log = structlog.get_logger()


@router.post("/notifications", response_model=NotificationAnswer)
def notify(service: Injected, caller: Known, body: Body) -> Any:
    """Take a registry's notification: what was pushed is registered, what was deleted is looked for.

    Only registries of SWATH_REGISTRIES are believed. What is sent again changes nothing; while a registry or the database does
    not answer, the answer is 503, and the registry sends it again. Whatever one event is, the others are taken.
    """
    happenings, passed_by = read_envelope(body)
    registered: list[str] = []
    refused: list[dict[str, str]] = []
    unanswered: SwathError | None = None
    for happening in happenings:
        reference = happening.reference
        if not service.registries.knows(reference.host):
            log.warning("notification_of_unknown_registry", registry=reference.host)
            passed_by += 1
            continue
        try:
            image = service.lookout.on_happening(happening, caller)
            registered += [image] if image else []
        except Exception as error:
            if _may_pass(error):
                unanswered = error
            else:
                refused.append({"reference": str(reference), "why": _tell(error, reference)})
    for entry in refused:
        log.warning("notification_refused", **entry)
    if registered:
        service.verifier.watch.wake()
    if unanswered is not None:
        raise unanswered
    return {"registered": registered, "refused": refused, "passed_by": passed_by}


def _may_pass(error: Exception) -> TypeGuard[SwathError]:
    """True where the registry has to tell again."""
    return isinstance(error, StoreUnavailableError) or (isinstance(error, RegistryError) and error.passing)


def _tell(error: Exception, reference: Reference) -> str:
    """Why nothing came of an event. What nobody foresaw would come again for ever, before all others: it is refused, too."""
    if isinstance(error, (UserError, RegistryError)):
        return str(error)
    log.error("notification_failed", reference=str(reference), exc_info=error)
    return "a fault of Swath, which its log tells: register it by hand"

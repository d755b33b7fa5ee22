"""Whether the service can do its work: database, schema, scheduler."""

from __future__ import annotations

from datetime import timedelta

import structlog

from api.service import Service
from api.views import to_time
from swath.domain.errors import SchemaError, SwathError
from swath.store.rows import ClusterRow
from swath.store.schema import Schema

log = structlog.get_logger()


def check(service: Service) -> dict[str, str]:
    """Each check's name with "ok", or with what is wrong in words that say nothing of where things are."""
    try:
        service.database.check()
    except SwathError as error:
        log.warning("not ready", reason=str(error))
        return {"database": "does not answer"}
    migrations = _check_schema(service)
    if migrations != "ok":
        return {"database": "ok", "migrations": migrations}
    status = service.store.cluster_status()
    scheduler = "ok" if _waits_for_a_reset(status) and _leads(service, status) else check_scheduler(service, status)
    return {"database": "ok", "migrations": migrations, "scheduler": scheduler}


def _check_schema(service: Service) -> str:
    try:
        Schema(service.database).check()
    except SchemaError as error:
        return str(error)
    return "ok"


def _is_torn_down(status: ClusterRow) -> bool:
    """True once an operator has had the framework leave. The service is ready then: it is how he has it come back."""
    return status.framework_wish is not None and status.framework_wish.torn_down


def _waits_for_a_reset(status: ClusterRow) -> bool:
    """The same, or because Mesos has removed the framework."""
    return _is_torn_down(status) or (not status.connected and status.data.get("outside") is not None)


def _leads(service: Service, status: ClusterRow) -> bool:
    return status.leader is not None and (status.lease_expires_at or service.now()) >= service.now()


def check_scheduler(service: Service, status: ClusterRow) -> str:
    """ "ok", or what is wrong with the scheduler, as it said last."""
    if _is_torn_down(status):
        return "has left Mesos, as an operator wished: `swath scheduler reset-framework` lets it begin anew"
    if not status.connected or not _leads(service, status):  # what a dead or hanging leader said last says nothing
        return _why_nobody_schedules(service, status)
    silent = service.now() - (status.heartbeat_at or status.lease_expires_at or service.now())
    if silent > timedelta(seconds=service.settings.scheduler_stale_s):
        return f"has been silent for {silent.total_seconds():.0f} s"
    return "ok"


def _why_nobody_schedules(service: Service, status: ClusterRow) -> str:
    """That nobody schedules at all weighs more than what the last one said."""
    if not status.said:
        return "has never said anything"
    if not _leads(service, status):
        return (
            f"does not run: {status.leader} led until {to_time(status.lease_expires_at)}"
            if status.leader
            else "does not run"
        )
    outside = status.data.get("outside")
    return f"is outside of Mesos: {outside}" if outside else "is not connected to a master"

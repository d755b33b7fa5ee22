"""Whether the service can do its work: database, schema, scheduler."""

from __future__ import annotations

from datetime import timedelta

import structlog

from api.service import Service
from swath.domain.errors import SwathError
from swath.store.rows import ClusterRow

log = structlog.get_logger()


def check(service: Service) -> dict[str, str]:
    """Each check's name with "ok", or with what is wrong in words that say nothing of where things are."""
    try:
        service.database.check()
    except SwathError as error:
        log.warning("not ready", reason=str(error))
        return {"database": "does not answer"}
    migrations = _check_schema(str(service.settings.database_url))
    if migrations != "ok":
        return {"database": "ok", "migrations": migrations}
    scheduler = check_scheduler(service, service.store.cluster_status())
    return {"database": "ok", "migrations": migrations, "scheduler": scheduler}


_current: set[str] = set()  # databases that were seen at the newest schema: it never goes back while a service runs


def _check_schema(url: str) -> str:
    if url in _current:
        return "ok"
    from swath.store import migrate  # Alembic takes 11 MB: not before somebody asks

    found, head = migrate.find_revision(url), migrate.get_head()
    if found != head:
        return f"the schema is at {found or 'nothing'}, this version needs {head}: run the migrations"
    _current.add(url)
    return "ok"


def check_scheduler(service: Service, status: ClusterRow) -> str:
    """ "ok", or what is wrong with the scheduler, as it said last."""
    if status.heartbeat_at is None:
        return "has never said anything"
    silent = service.now() - status.heartbeat_at
    if silent > timedelta(seconds=service.settings.scheduler_stale_s):
        return f"has been silent for {silent.total_seconds():.0f} s"
    return "ok" if status.connected else "is not connected to a master"

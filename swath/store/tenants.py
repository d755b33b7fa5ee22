"""Who holds what of the cluster, as the api reads it from the attempts that have not ended."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, select, text
from sqlalchemy.orm import Session

from swath.domain.resources import Resources
from swath.store.cluster import sum_agents
from swath.store.models import ATTEMPT_IS_OPEN, JOB_IS_OPEN, Attempt, Job, Project
from swath.store.projects import read_pasts, read_tree
from swath.store.rows import Declared, HeldRow, TenantsRow


def read_tenants(session: Session) -> TenantsRow:
    """All projects that were declared or have something open, in one view of the database."""
    declared = session.execute(select(Project.name, Project.user, Project.at))
    return TenantsRow(
        tree=read_tree(session),
        declared={row.name: Declared(user=row.user, at=row.at) for row in declared},
        held=_read_held(session),
        open_jobs=_count_open_jobs(session),
        pasts=read_pasts(session),
        total=sum_agents(session)[1],
    )


def _read_held(session: Session) -> dict[tuple[str, str], HeldRow]:
    held: dict[tuple[str, str], HeldRow] = {}
    for row in session.execute(_select_held()):
        key = (row.project, row.user)
        known = held.get(key, HeldRow(resources=Resources(), tasks=0))
        held[key] = HeldRow(resources=known.resources + _to_sum(row), tasks=known.tasks + row.tasks)
    return held


def _select_held() -> Select[Any]:
    """One row for each job with open attempts: these may have grown, but what has no column of its own is as the job says."""
    plain = [func.sum(getattr(Attempt, name)).label(name) for name in ("cpus_m", "mem", "disk", "gpus")]
    sums = select(Attempt.job_id, func.count().label("tasks"), *plain).where(text(ATTEMPT_IS_OPEN))
    each = sums.group_by(Attempt.job_id).subquery()
    return select(Job.project, Job.user, Job.more_resources, *each.c).join(each, each.c.job_id == Job.id)


def _to_sum(row: Any) -> Resources:
    more = Resources.from_amounts(row.more_resources).scaled(row.tasks) if row.more_resources else Resources()
    cpus_m, mem, disk, gpus = (int(value) for value in (row.cpus_m, row.mem, row.disk, row.gpus))
    return more + Resources(cpus_m=cpus_m, mem=mem, disk=disk, gpus=gpus)


def _count_open_jobs(session: Session) -> dict[str, int]:
    query = select(Job.project, func.count().label("jobs")).where(text(JOB_IS_OPEN)).group_by(Job.project)
    return {row.project: row.jobs for row in session.execute(query)}

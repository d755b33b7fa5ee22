"""Agents and the scheduler's own state, as the api reads them."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Select, Text, cast, distinct, func, or_, select, text
from sqlalchemy.orm import Session

from swath.domain.errors import NotFoundError
from swath.domain.resources import Resources
from swath.store.jobs import RESOURCES, to_resources
from swath.store.leadership import NAME
from swath.store.models import (
    ATTEMPT_IS_OPEN,
    JOB_IS_OPEN,
    Agent,
    AgentWish,
    Attempt,
    Framework,
    FrameworkWish,
    ImageVersion,
    Job,
    Leadership,
    SchedulerStatus,
)
from swath.store.rows import AgentRow, ClusterRow, Running
from swath.store.types import AnyRow
from swath.store.wishes import read_framework_wish

_FEW = 100  # agents that are named in a query; of more, all are counted
_TOLD = ("message", "user", "at")
_WISH = ("mode", "max_grace_s", "mark_gone", "mode_pending", *(f"mode_{name}" for name in _TOLD))
_ELSEWHERE = (*_WISH, "total", "attempts", "images")
_AGENT = tuple(name for name in AgentRow.__slots__ if name not in _ELSEWHERE)


def list_agents(session: Session, *, active: bool | None) -> list[AgentRow]:
    """Agents by host name; `active` keeps those that the master has (True) or has no more (False)."""
    query = _select_agents().order_by(Agent.hostname, Agent.id)
    return _read_agents(session, query if active is None else query.where(Agent.active == active))


def get_agent(session: Session, agent_id: str) -> AgentRow:
    """The agent; raises NotFoundError."""
    found = _read_agents(session, _select_agents().where(Agent.id == agent_id))
    if not found:
        raise NotFoundError(f"there is no agent {agent_id}")
    return found[0]


def find_agents(session: Session, name: str) -> list[AgentRow]:
    """The agent with the id `name`; else those with that host name, only those that are active where any is."""
    found = _read_agents(session, _select_agents().where(or_(Agent.id == name, Agent.hostname == name)))
    return [row for row in found if row.id == name] or [row for row in found if row.active] or found


def count_running(session: Session) -> Running:
    """What has not ended, in numbers."""
    counts = (func.count(), func.count(distinct(Attempt.job_id)), func.count(distinct(Attempt.agent_id)))
    attempts, jobs, agents = session.execute(select(*counts).where(text(ATTEMPT_IS_OPEN))).one()
    return Running(attempts=attempts, jobs=jobs, agents=agents)


def cluster_status(session: Session) -> ClusterRow:
    """How the cluster is doing, as its scheduler said last; not connected before it has said anything."""
    status = session.get(SchedulerStatus, 1)
    lease = session.get(Leadership, NAME)
    wish = session.get(FrameworkWish, 1)
    agents, total = sum_agents(session)
    return ClusterRow(
        said=status is not None,
        connected=status is not None and status.connected,
        master=status.master if status else None,
        heartbeat_at=status.heartbeat_at if status else None,
        data=status.data if status else {},
        framework_id=session.scalar(select(Framework.framework_id).where(Framework.id == 1)),
        leader=lease.holder if lease else None,
        epoch=lease.epoch if lease else 0,
        lease_expires_at=lease.expires_at if lease else None,
        agents=agents,
        total=total,
        open_attempts=session.scalar(select(func.count()).select_from(Attempt).where(text(ATTEMPT_IS_OPEN))) or 0,
        open_jobs=session.scalar(select(func.count()).select_from(Job).where(text(JOB_IS_OPEN))) or 0,
        framework_wish=read_framework_wish(session),
        framework_wish_user=wish.user if wish else None,
        framework_wish_at=wish.at if wish else None,
    )


def sum_agents(session: Session) -> tuple[int, Resources]:
    """How many agents are active, and what they have. Of ports and custom scalars many agents have the same."""
    plain = [func.coalesce(func.sum(column), 0) for column in (Agent.cpus_m, Agent.mem, Agent.disk, Agent.gpus)]
    count, *sums = session.execute(select(func.count(), *plain).where(Agent.active)).one()
    cpus_m, mem, disk, gpus = map(int, sums)  # PostgreSQL sums integers to decimals
    total = Resources(cpus_m=cpus_m, mem=mem, disk=disk, gpus=gpus)
    more = cast(Agent.more_resources, Text)  # PostgreSQL groups by no JSON
    for document, times in session.execute(
        select(more, func.count()).where(Agent.active, more.isnot(None)).group_by(more)
    ):
        total += Resources.from_amounts(json.loads(document)).scaled(times)
    return count, total


def _select_agents() -> Select[Any]:
    """Agents with what is wanted of them; NULLs for those of which nobody ever wanted anything."""
    columns = [getattr(Agent, name) for name in (*_AGENT, "images", *RESOURCES)]
    wish = [getattr(AgentWish, name) for name in ("mode", "max_grace_s", "mark_gone", "rev", "observed_rev")]
    told = [getattr(AgentWish, name).label(f"mode_{name}") for name in _TOLD]
    return select(*columns, *wish, *told).join(AgentWish, AgentWish.agent_id == Agent.id, isouter=True)


def _read_agents(session: Session, query: Select[Any]) -> list[AgentRow]:
    rows = session.execute(query).all()
    attempts = _count_attempts(session, [row.id for row in rows])
    called = _read_catalogue(session) if any(row.images for row in rows) else {}
    return [_to_agent(row, attempts.get(row.id, 0), called) for row in rows]


def _read_catalogue(session: Session) -> dict[str, str]:
    """What an engine calls an image, and what the catalogue does."""
    version = ImageVersion
    found = session.execute(select(version.name, version.version, version.image_id, version.reference))
    return {name: f"{row.name}:{row.version}" for row in found for name in (row.image_id, row.reference) if name}


def _to_names(report: dict[str, Any] | None, called: dict[str, str]) -> tuple[str, ...] | None:
    """The images in a report by the catalogue's names, each once; what it does not know by a name of the engine's."""
    if report is None:
        return None
    images = [image["names"] for image in report["images"]]
    return tuple(sorted({next((called[name] for name in names if name in called), names[-1]) for names in images}))


def _count_attempts(session: Session, agent_ids: list[str]) -> dict[str, int]:
    """How many attempts of each of these agents have not ended."""
    query = select(Attempt.agent_id, func.count().label("attempts")).where(text(ATTEMPT_IS_OPEN))
    if len(agent_ids) <= _FEW:
        query = query.where(Attempt.agent_id.in_(agent_ids))
    return {row.agent_id: row.attempts for row in session.execute(query.group_by(Attempt.agent_id))}


def _to_agent(row: AnyRow, attempts: int, called: dict[str, str]) -> AgentRow:
    said = {name: getattr(row, name) for name in _AGENT}
    images = _to_names(row.images, called)
    return AgentRow(**said, **_of_wish(row), total=to_resources(row), attempts=attempts, images=images)


def _of_wish(row: AnyRow) -> dict[str, Any]:
    if row.mode is None:
        return {}
    told = {f"mode_{name}": getattr(row, f"mode_{name}") for name in _TOLD}
    wish = {"mode": row.mode, "max_grace_s": row.max_grace_s, "mark_gone": row.mark_gone}
    return wish | told | {"mode_pending": row.rev != row.observed_rev}

"""Agents and the scheduler's own state, as the api reads them."""

from __future__ import annotations

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from swath.domain.errors import NotFoundError
from swath.domain.resources import Resources
from swath.store.jobs import to_resources
from swath.store.leadership import NAME
from swath.store.models import (
    ATTEMPT_IS_OPEN,
    JOB_IS_OPEN,
    Agent,
    Attempt,
    Framework,
    Job,
    Leadership,
    SchedulerStatus,
)
from swath.store.rows import AgentRow, ClusterRow

_AGENT = tuple(name for name in AgentRow.__slots__ if name != "total")


def list_agents(session: Session, *, active: bool | None) -> list[AgentRow]:
    """Agents by host name; `active` keeps those that the master has (True) or has no more (False)."""
    query = select(Agent).order_by(Agent.hostname, Agent.id)
    found = session.scalars(query if active is None else query.where(Agent.active == active))
    return [_to_agent(row) for row in found]


def get_agent(session: Session, agent_id: str) -> AgentRow:
    """The agent; raises NotFoundError."""
    row = session.get(Agent, agent_id)
    if row is None:
        raise NotFoundError(f"there is no agent {agent_id}")
    return _to_agent(row)


def cluster_status(session: Session) -> ClusterRow:
    """How the cluster is doing, as its scheduler said last; not connected before it has said anything."""
    status = session.get(SchedulerStatus, 1)
    lease = session.get(Leadership, NAME)
    columns = [func.coalesce(func.sum(column), 0) for column in (Agent.cpus_m, Agent.mem, Agent.disk, Agent.gpus)]
    agents, *sums = session.execute(select(func.count(), *columns).where(Agent.active)).one()
    cpus_m, mem, disk, gpus = map(int, sums)  # PostgreSQL sums integers to decimals
    return ClusterRow(
        connected=status is not None and status.connected,
        master=status.master if status else None,
        heartbeat_at=status.heartbeat_at if status else None,
        data=status.data if status else {},
        framework_id=session.scalar(select(Framework.framework_id).where(Framework.id == 1)),
        leader=lease.holder if lease else None,
        epoch=lease.epoch if lease else 0,
        lease_expires_at=lease.expires_at if lease else None,
        agents=agents,
        total=Resources(cpus_m=cpus_m, mem=mem, disk=disk, gpus=gpus),
        open_attempts=session.scalar(select(func.count()).select_from(Attempt).where(text(ATTEMPT_IS_OPEN))) or 0,
        open_jobs=session.scalar(select(func.count()).select_from(Job).where(text(JOB_IS_OPEN))) or 0,
    )


def _to_agent(row: Agent) -> AgentRow:
    return AgentRow(**{name: getattr(row, name) for name in _AGENT}, total=to_resources(row))

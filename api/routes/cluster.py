"""The cluster and its agents."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.openapi import PROBLEMS
from api.schemas import AgentList, ClusterAnswer
from api.service import Injected
from api.views import to_agent, to_cluster

router = APIRouter(prefix="/v1", tags=["cluster"], responses=PROBLEMS)


@router.get("/cluster", response_model=ClusterAnswer)
def get_cluster(service: Injected) -> Any:
    """What the cluster has and runs, as its scheduler said last."""
    return to_cluster(service.store.cluster_status())


@router.get("/agents", response_model=AgentList)
def list_agents(
    service: Injected,
    active: Annotated[bool | None, Query(description="those that are there (true), or gone (false)")] = None,
) -> Any:
    """Agents by host name, those that were ever seen."""
    return {"items": [to_agent(row) for row in service.store.list_agents(active=active)]}

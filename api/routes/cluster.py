"""The cluster and its agents."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from api.cluster_answers import AgentAnswer, AgentList, ClusterAnswer
from api.openapi import PROBLEMS, body_of
from api.parsing import parse
from api.schemas import ModeDocument
from api.service import Body, Injected, Service
from api.views import to_agent, to_cluster
from swath.domain.errors import ConflictError, NotFoundError
from swath.store.rows import AgentRow

router = APIRouter(prefix="/v1", tags=["cluster"], responses=PROBLEMS)

AgentName = Annotated[
    str,
    Path(
        max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$", description="the agent's id, or a host name that it alone has"
    ),
]
MOST_CANDIDATES = 20


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


@router.get("/agents/{agent_id}", response_model=AgentAnswer)
def get_agent(service: Injected, agent_id: AgentName) -> Any:
    """One agent."""
    return to_agent(_find(service, agent_id))


@router.put(
    "/agents/{agent_id}/mode", status_code=202, response_model=AgentAnswer, openapi_extra=body_of("ModeDocument")
)
def set_mode(service: Injected, agent_id: AgentName, body: Body) -> Any:
    """Say what an agent is to do: `mode_pending` until the scheduler has done it; what Mesos refuses is in `mode_message`."""
    wanted = parse(ModeDocument, body)
    found = _find(service, agent_id)
    service.store.want_agent(
        found.id,
        wanted.mode,
        max_grace_s=wanted.max_grace_s,
        mark_gone=wanted.mark_gone,
        user=service.settings.token_user,
        now=service.now(),
    )
    return to_agent(service.store.get_agent(found.id))


def _find(service: Service, name: str) -> AgentRow:
    """The agent that is meant; raises NotFoundError for none, ConflictError for several."""
    found = service.store.find_agents(name)
    if not found:
        raise NotFoundError(f"there is no agent {name!r}, neither by id nor by host name")
    if len(found) > 1:
        ids = ", ".join(row.id for row in found[:MOST_CANDIDATES])
        raise ConflictError(f"{len(found)} agents are on {name}: name one by its id: {ids}")
    return found[0]

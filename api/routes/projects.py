"""Projects: the tree over which the cluster is shared out, and what each may hold."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from api.openapi import PROBLEMS, body_of
from api.parsing import parse
from api.projects import to_projects, to_users
from api.quotas import find_idle_limits
from api.schemas import ProjectDocument
from api.service import Body, Injected, Service
from api.tenant_answers import ProjectAnswer, ProjectList
from swath.domain.errors import NotFoundError
from swath.domain.projects import Project, find_project

router = APIRouter(prefix="/v1/projects", tags=["projects"], responses=PROBLEMS)

Name = Annotated[str, Path(max_length=128, pattern=r"^[A-Za-z0-9_./-]+$", description="the project's name")]


@router.get("", response_model=ProjectList)
def list_projects(service: Injected) -> Any:
    """All projects that were declared or have open jobs, each above those below it, with what they hold and could have."""
    rows = service.store.read_tenants()
    return {"items": to_projects(rows, service.now()), "total": rows.total.to_document()}


@router.get("/{name:path}", response_model=ProjectAnswer)
def get_project(service: Injected, name: Name) -> Any:
    """One project, and what its users hold."""
    return _show(service, name)


@router.put("/{name:path}", response_model=ProjectAnswer, openapi_extra=body_of("ProjectDocument"))
def put_project(service: Injected, name: Name, body: Body) -> Any:
    """Declare a project, or replace what was declared; it is `pending` until the scheduler has taken it in."""
    project = Project.from_document(name, parse(ProjectDocument, body).model_dump(exclude_none=True))
    service.store.put_project(project, user=service.settings.token_user, now=service.now())
    return _show(service, name)


@router.delete("/{name:path}", status_code=204, response_class=Response)
def remove_project(service: Injected, name: Name) -> Response:
    """Forget what was declared; a conflict while others are below it or jobs of it have not ended."""
    service.store.remove_project(name)
    return Response(status_code=204)


def _show(service: Service, name: str) -> dict[str, Any]:
    rows = service.store.read_tenants()
    found = next((entry for entry in to_projects(rows, service.now()) if entry["name"] == name), None)
    if found is None:
        raise NotFoundError(f"project {name} was never declared, and no job of it is open")
    warnings = find_idle_limits(find_project(rows.tree.projects, name), service.store)
    return {**found, "users": to_users(rows, name), "warnings": warnings}

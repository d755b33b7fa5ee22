"""Secrets of projects: kept, replaced, listed by name and forgotten. Nobody reads one here."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field, SecretStr, field_validator

from api.answers import Answered
from api.openapi import PROBLEMS
from api.pages import Filter
from api.parsing import parse
from api.schemas import Sent
from api.secrets import to_secret
from api.service import Body, Injected, Known
from swath.domain.secrets import LONGEST, SHORTEST

router = APIRouter(prefix="/v1", tags=["secrets"], responses=PROBLEMS)

Name = Annotated[str, Path(max_length=128, pattern=r"^[A-Za-z0-9_.-]+$", description="the secret's name")]
Project = Annotated[str, Query(max_length=128, pattern=r"^[A-Za-z0-9_./-]+$", description="whose it is")]


class SecretDocument(Sent):
    """A secret to keep."""

    value: SecretStr = Field(min_length=SHORTEST, max_length=LONGEST)

    @field_validator("value")
    @classmethod
    def _fits_an_environment(cls, value: SecretStr) -> SecretStr:
        if "\0" in value.get_secret_value():
            raise ValueError("contains a NUL")
        return value


class SecretAnswer(Answered):
    """That there is a secret."""

    project: str
    name: str
    changed_by: str
    changed_at: str


class SecretList(Answered):
    """Which secrets there are."""

    items: list[SecretAnswer]


class RotationAnswer(Answered):
    """How many secrets were sealed anew."""

    sealed: int


_BODY = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": SecretDocument.model_json_schema()}}}
}


@router.put("/secrets/{name}", response_model=SecretAnswer, openapi_extra=_BODY)
def put_secret(service: Injected, caller: Known, name: Name, body: Body, project: Project = "default") -> Any:
    """Keep a secret, or replace it: attempts that start from now on get the new one."""
    value = parse(SecretDocument, body).value.get_secret_value()
    return service.secrets.put(project, name, value, user=caller.user)


@router.get("/secrets", response_model=SecretList)
def list_secrets(service: Injected, project: Filter = None) -> Any:
    """Which secrets there are, and who changed them when. Their values are given to attempts only."""
    return {"items": [to_secret(row) for row in service.secrets.store.list(project)]}


@router.delete("/secrets/{name}", status_code=204, response_class=Response)
def remove_secret(service: Injected, name: Name, project: Project = "default") -> Response:
    """Forget a secret; attempts that start from now on and want it fail."""
    service.secrets.store.remove(project, name)
    return Response(status_code=204)


@router.post("/secrets:rotate", response_model=RotationAnswer)
def rotate(service: Injected) -> Any:
    """Seal all secrets by the key file's first key; afterwards the others may be taken out of it."""
    return {"sealed": service.secrets.rotate()}

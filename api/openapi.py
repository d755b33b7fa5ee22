"""What OpenAPI cannot see by itself: bodies that routes parse in their own threads, and problem documents."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from api.answers import ProblemAnswer
from api.image_schemas import ImageDocument, OwnershipDocument, StateDocument
from api.schemas import (
    BatchDocument,
    FrameworkDocument,
    JobDocument,
    ModeDocument,
    ProjectDocument,
    ScheduleChange,
    ScheduleDocument,
)
from api.token_documents import TokenDocument

_REFERENCE = "#/components/schemas/{model}"
_PROBLEM = {"application/problem+json": {"schema": {"$ref": _REFERENCE.format(model="ProblemAnswer")}}}

PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The body is no JSON", "content": _PROBLEM},
    401: {"description": "The token is missing or wrong", "content": _PROBLEM},
    403: {"description": "A foreign Host or Origin, or a token that does not reach so far", "content": _PROBLEM},
    404: {"description": "There is no such thing", "content": _PROBLEM},
    409: {"description": "It contradicts what is there", "content": _PROBLEM},
    413: {"description": "The body is too large", "content": _PROBLEM},
    422: {"description": "It is invalid; `errors` names every place", "content": _PROBLEM},
    503: {"description": "The database or an agent does not answer; say it again later", "content": _PROBLEM},
}


_MODELS = (
    JobDocument,
    BatchDocument,
    ScheduleDocument,
    ScheduleChange,
    ImageDocument,
    OwnershipDocument,
    StateDocument,
    ModeDocument,
    FrameworkDocument,
    ProjectDocument,
    TokenDocument,
    ProblemAnswer,
)


def body_of(model: str) -> dict[str, Any]:
    """The `openapi_extra` of a route whose body is the JSON document `model`."""
    schema = {"$ref": _REFERENCE.format(model=model)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def describe(app: FastAPI) -> dict[str, Any]:
    """The application's OpenAPI document, made once."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        _, extra = models_json_schema([(model, "validation") for model in _MODELS], ref_template=_REFERENCE)
        parts = document.setdefault("components", {})
        parts.setdefault("schemas", {}).update(extra["$defs"])
        parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
        app.openapi_schema = document
    return app.openapi_schema

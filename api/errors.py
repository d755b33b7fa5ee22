"""Where exceptions meet HTTP: one table, and the problem documents (RFC 9457) that every refusal becomes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Scope

from swath.domain import errors
from swath.domain.complaints import to_complaint
from swath.domain.errors import Problem

PROBLEM_TYPE = "urn:swath:problem:"
MEDIA_TYPE = "application/problem+json"
MOST_ERRORS = 100  # in one document; the rest is counted

log = structlog.get_logger()


class MalformedError(errors.InvalidInputError):
    """A body that is no JSON at all."""


class RangeError(errors.UserError):
    """A byte range that lies outside of what is there."""

    def __init__(self, size: int) -> None:
        super().__init__(f"there are {size} bytes; the range asked for lies outside of them")
        self.size = size


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What an exception becomes."""

    status: int
    kind: str  # the end of the problem's type
    title: str
    shown: bool = True  # whether the exception's text is for the user; what is ours goes to the log only


INTERNAL = Answer(status=500, kind="internal", title="Internal error", shown=False)

# The most specific class wins.
ANSWERS: Mapping[type[Exception], Answer] = {
    MalformedError: Answer(status=400, kind="malformed", title="Malformed body"),
    errors.UnauthorizedError: Answer(status=401, kind="unauthorized", title="Unauthorized"),
    errors.ForbiddenError: Answer(status=403, kind="forbidden", title="Forbidden"),
    errors.NotFoundError: Answer(status=404, kind="not-found", title="Not found"),
    errors.ConflictError: Answer(status=409, kind="conflict", title="Conflict"),
    errors.TooLargeError: Answer(status=413, kind="too-large", title="Too large"),
    RangeError: Answer(status=416, kind="range-not-satisfiable", title="Range not satisfiable"),
    errors.CannotRunError: Answer(status=422, kind="cannot-run", title="The job can never run"),
    errors.InvalidInputError: Answer(status=422, kind="invalid-input", title="Invalid input"),
    errors.UserError: Answer(status=400, kind="refused", title="Refused"),
    errors.StoreUnavailableError: Answer(
        status=503, kind="store-unavailable", title="The database does not answer", shown=False
    ),
    errors.NotInRegistryError: Answer(status=404, kind="not-in-registry", title="Not in the registry"),
    errors.RegistryRateLimitedError: Answer(
        status=503, kind="registry-unavailable", title="The registry wants us to wait"
    ),
    errors.RegistryUnreachableError: Answer(
        status=503, kind="registry-unavailable", title="The registry does not answer"
    ),
    errors.RegistryError: Answer(status=502, kind="registry-refused", title="The registry refuses"),
    errors.OutputsUnreachableError: Answer(
        status=503, kind="outputs-unreachable", title="The outputs' storage does not answer"
    ),
    errors.AgentUnreachableError: Answer(status=503, kind="agent-unreachable", title="The agent does not answer"),
    Exception: INTERNAL,
}
_KINDS = {
    answer.status: answer.kind for answer in reversed(list(ANSWERS.values())) if answer.status != 422
}  # the first wins


def to_answer(error: Exception) -> Answer:
    """The table's entry for `error`."""
    return next(ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS)


def to_response(error: Exception, scope: Scope) -> JSONResponse:
    """The problem document of an exception; one whose text is not shown is logged here."""
    answer = to_answer(error)
    headers: dict[str, str] = {}
    if answer.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="swath"'
    if answer.status == 503:
        headers["Retry-After"] = "5"
    if isinstance(error, RangeError):
        headers["Content-Range"] = f"bytes */{error.size}"
    detail = str(error) or answer.title
    if not answer.shown:
        request_id = scope.get("swath.request_id", "unknown")
        log.error("request failed", path=scope["path"], status=answer.status, exc_info=error)
        detail = f"This is not your fault. The log has the details under request {request_id}."
    problems = error.problems if isinstance(error, errors.InvalidInputError) else ()
    return make_response(answer, scope, detail=detail, problems=problems, headers=headers)


def make_response(
    answer: Answer,
    scope: Scope,
    *,
    detail: str,
    problems: Iterable[Problem] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A problem document as a response."""
    document: dict[str, Any] = {
        "type": PROBLEM_TYPE + answer.kind,
        "title": answer.title,
        "status": answer.status,
        "detail": detail,
        "instance": scope["path"],
    }
    found = list(problems)
    if found:
        document["detail"] = _summary(found)
        document["errors"] = [{"path": entry.path, "message": entry.message} for entry in found[:MOST_ERRORS]]
    return JSONResponse(document, status_code=answer.status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def to_problems(error: ValidationError, document: Any) -> list[Problem]:
    """pydantic's complaints about `document`, one a place, with JSON pointers."""
    found: dict[str, list[str]] = {}
    for entry in error.errors():
        found.setdefault(to_pointer(_find_place(entry, document)), []).append(to_complaint(entry))
    return [Problem(path, " or ".join(messages)) for path, messages in found.items()]


def to_pointer(parts: Iterable[Any]) -> str:
    """The JSON pointer (RFC 6901) of a location in a document."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def add_handlers(app: FastAPI) -> None:
    """Let every exception of the routes, and of FastAPI itself, become a problem document."""
    app.add_exception_handler(errors.SwathError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_error(request: Request, error: Exception) -> JSONResponse:
    return to_response(error, request.scope)


async def _on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    problems = [Problem(_to_place(entry["loc"]), to_complaint(entry)) for entry in error.errors()]
    return to_response(errors.InvalidInputError(problems), request.scope)


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    """What the router raises itself: no such route, no such method."""
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    kind = _KINDS.get(status, status.phrase.lower().replace(" ", "-"))
    answer = Answer(status=status, kind=kind, title=status.phrase.capitalize())
    detail = f"{request.method} {request.url.path}: {error.detail}"
    return make_response(answer, request.scope, detail=detail, headers=error.headers)


def _summary(problems: list[Problem]) -> str:
    first = str(problems[0])
    return first if len(problems) == 1 else f"{first} (and {len(problems) - 1} more)"


def _find_place(entry: Mapping[str, Any], document: Any) -> Iterator[Any]:
    """The parts of a complaint's location that are in the document: pydantic adds the names of a union's members."""
    for part in entry["loc"]:
        if isinstance(document, dict):
            if part in document:
                yield part
            document = document.get(part, document)
        elif isinstance(document, list) and isinstance(part, int) and part < len(document):
            yield part
            document = document[part]
    if entry["type"] == "missing":
        yield entry["loc"][-1]


def _to_place(location: tuple[Any, ...]) -> str:
    """`query:name`, `header:name` or `path:name` of a parameter."""
    return f"{location[0]}:{'.'.join(map(str, location[1:]))}"

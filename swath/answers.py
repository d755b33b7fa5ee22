"""What an answer of the REST API means: the error of a refusal, the messages of a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import httpx

from swath.domain import errors

PROBLEM_TYPE = "urn:swath:problem:"
ERRORS: Mapping[str, type[errors.SwathError]] = MappingProxyType(
    {
        "malformed": errors.InvalidInputError,
        "invalid-input": errors.InvalidInputError,
        "cannot-run": errors.CannotRunError,
        "not-found": errors.NotFoundError,
        "conflict": errors.ConflictError,
        "too-large": errors.TooLargeError,
        "unauthorized": errors.UnauthorizedError,
        "forbidden": errors.ForbiddenError,
        "not-in-registry": errors.NotInRegistryError,
        "registry-refused": errors.RegistryError,
        "registry-unavailable": errors.RegistryUnreachableError,
        "store-unavailable": errors.StoreUnavailableError,
        "agent-unreachable": errors.AgentUnreachableError,
        "outputs-unreachable": errors.OutputsUnreachableError,
    }
)


def parse_messages(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    """The (event, JSON data) pairs of server-sent event lines; a comment, the service's heartbeat, is ("", None)."""
    name = "message"
    data: list[str] = []
    for line in lines:
        if line.startswith(":"):
            yield "", None
        elif line:
            field, _, value = line.partition(":")
            if field == "event":
                name = value.removeprefix(" ")
            elif field == "data":
                data.append(value.removeprefix(" "))
        elif data:
            yield name, json.loads("\n".join(data))
            name, data = "message", []


def to_error(response: httpx.Response) -> errors.SwathError:
    """The domain's error of an answer that is no success."""
    try:
        problem = response.json()
        kind = str(problem.get("type", "")).removeprefix(PROBLEM_TYPE)
        text = str(problem.get("detail") or problem.get("title") or "")
    except (ValueError, AttributeError):
        problem, kind, text = {}, "", response.text[:200]
    error = _make_error(kind, text if kind in ERRORS else f"the API answered {response.status_code}: {text}", problem)
    error.document = problem if str(problem.get("type", "")).startswith(PROBLEM_TYPE) else None
    return error


def _make_error(kind: str, text: str, problem: Mapping[str, Any]) -> errors.SwathError:
    error = ERRORS.get(kind, errors.InternalError)
    if issubclass(error, errors.InvalidInputError):
        found = [errors.Problem(entry["path"], entry["message"]) for entry in problem.get("errors") or ()]
        return error(found or [errors.Problem("", text)])
    return error(text)

"""From a body to a document: JSON that every part of Swath can hold, and then the schema's own rules."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from api.errors import MOST_ERRORS, MalformedError, to_pointer, to_problems
from api.schemas import Sent
from swath.domain.errors import InvalidInputError, Problem

DEEPEST = 32  # levels of a document
LARGEST_INTEGER = 2**63  # what every database and every language of an image can hold

Document = TypeVar("Document", bound=Sent)


def parse(model: type[Document], body: bytes) -> Document:
    """The document in a body. Raises MalformedError for no JSON, InvalidInputError for JSON that is not such a document."""
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise MalformedError.at("", f"is not JSON: {error}") from error
    problems = list(itertools.islice(find_unstorable(value), MOST_ERRORS))
    if problems:
        raise InvalidInputError(problems)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise InvalidInputError(to_problems(error)) from error


def find_unstorable(document: Any) -> Iterator[Problem]:
    """What no database or program could take: NULs, lone surrogates, numbers and nesting beyond all bounds."""
    left: list[tuple[tuple[Any, ...], Any]] = [((), document)]
    while left:
        place, value = left.pop()
        complaint = _complaint(value, len(place))
        if complaint:
            yield Problem(to_pointer(place), complaint)
        elif isinstance(value, dict):
            for name in value:
                if name_complaint := _complaint(name, 0):
                    yield Problem(to_pointer(place), f"has a name that {name_complaint}")
            left += [((*place, name), entry) for name, entry in value.items()]
        elif isinstance(value, list):
            left += [((*place, index), entry) for index, entry in enumerate(value)]


def _complaint(value: Any, depth: int) -> str | None:
    if depth > DEEPEST:
        return f"is nested deeper than {DEEPEST} levels"
    if isinstance(value, str) and not value.isascii() and value.encode("utf-8", "replace").decode() != value:
        return "contains half of a surrogate pair"
    if isinstance(value, str) and "\0" in value:
        return "contains a NUL"
    if isinstance(value, int) and not -LARGEST_INTEGER <= value < LARGEST_INTEGER:
        return "is an integer of more than 64 bits"
    return None

"""From a body to a document: JSON that every part of Swath can hold, and then the schema's own rules."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
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
        document = model.model_validate_json(body)
    except ValidationError as error:
        value, found = _read(body), dict[str, Problem]()
        for problem in itertools.chain(find_unstorable(value), to_problems(error, value)):
            found.setdefault(problem.path, problem)
        raise InvalidInputError(found.values()) from error
    problems = list(itertools.islice(find_unstorable(document), MOST_ERRORS))
    if problems:
        raise InvalidInputError(problems)
    return document


def _read(body: bytes) -> Any:
    """The bare JSON value, for the places of what is wrong in it."""
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise MalformedError.at("", f"is not JSON: {error}") from error


def find_unstorable(value: Any, place: tuple[Any, ...] = ()) -> Iterator[Problem]:
    """What no database or program could take: NULs, halves of characters, numbers and nesting beyond all bounds.

    `place` is where the value stands in its document.
    """
    entries = _entries_of(value)
    if entries is None:
        if complaint := _complaint(value):
            yield Problem(to_pointer(place), complaint)
    elif len(place) > DEEPEST:  # and so this never calls itself too often
        yield Problem(to_pointer(place), f"is nested deeper than {DEEPEST} levels")
    else:
        for name, entry in entries:
            if isinstance(name, str) and (complaint := _complaint(name)):
                yield Problem(to_pointer(place), f"has a name that {complaint}")
            else:  # a place below such a name could not be told
                yield from find_unstorable(entry, (*place, name))


def _entries_of(value: Any) -> Iterable[tuple[Any, Any]] | None:
    """(name or index, entry) of what holds others; None for what does not."""
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, list):
        return enumerate(value)
    return value if isinstance(value, BaseModel) else None


def _complaint(value: Any) -> str | None:
    if isinstance(value, str):
        return _complaint_about_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "is larger than any number"
    if isinstance(value, int) and not -LARGEST_INTEGER <= value < LARGEST_INTEGER:
        return "is an integer of more than 64 bits"
    return None


def _complaint_about_text(text: str) -> str | None:
    if "\0" in text:
        return "contains a NUL"
    try:
        text.encode()
    except UnicodeEncodeError:  # a body cannot have it; the JSON in an image's label can
        return "contains half of a surrogate pair"
    return None

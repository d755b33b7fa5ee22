"""What pydantic finds wrong with a document, in the words that Swath uses everywhere else.

An entry is one of `ValidationError.errors()`: {"type", "msg", "loc", "input", "ctx"}. The types are those of pydantic's list of
validation errors (docs.pydantic.dev/latest/errors/validation_errors).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

Context = Mapping[str, Any]

_OF_CHARACTERS = re.compile(r"\^\[([^]^\\]+)\]\+\$")
_RANGES = {("A-Z", "a-z"): "letters", ("0-9",): "digits"}

_TEXT, _WHOLE, _NUMBER, _TRUTH, _LIST, _OBJECT = (
    "must be a text",
    "must be a whole number",
    "must be a number",
    "must be true or false",
    "must be a list",
    "must be an object",
)
_TIME = "must be a time with its zone, like 2026-12-01T00:00:00Z"

_PLAIN = MappingProxyType(
    {
        "missing": "is required",
        "extra_forbidden": "is not a known field",
        "none_required": "must be null",
        "string_type": _TEXT,
        "string_unicode": _TEXT,
        "int_type": _WHOLE,
        "int_parsing": _WHOLE,
        "int_from_float": _WHOLE,
        "int_parsing_size": "is larger than any number that is taken",
        "float_type": _NUMBER,
        "float_parsing": _NUMBER,
        "finite_number": _NUMBER,
        "bool_type": _TRUTH,
        "bool_parsing": _TRUTH,
        "list_type": _LIST,
        "tuple_type": _LIST,
        "dict_type": _OBJECT,
        "model_type": _OBJECT,
        "model_attributes_type": _OBJECT,
        "datetime_type": _TIME,
        "datetime_parsing": _TIME,
        "datetime_object_invalid": _TIME,
        "datetime_from_date_parsing": _TIME,
        "timezone_aware": _TIME,
        "path_type": "must be a path",
    }
)
_WITH_FIGURES: Mapping[str, Callable[[Context], str]] = MappingProxyType(
    {
        "greater_than": lambda ctx: f"must be more than {_digits(ctx['gt'])}",
        "greater_than_equal": lambda ctx: f"must be at least {_digits(ctx['ge'])}",
        "less_than": lambda ctx: f"must be less than {_digits(ctx['lt'])}",
        "less_than_equal": lambda ctx: f"must be at most {_digits(ctx['le'])}",
        "string_too_short": lambda ctx: f"must have at least {_count(ctx['min_length'], 'character')}",
        "string_too_long": lambda ctx: f"must have at most {_count(ctx['max_length'], 'character')}",
        "too_short": lambda ctx: f"must have at least {_count(ctx['min_length'], 'entry', 'entries')}",
        "too_long": lambda ctx: f"must have at most {_count(ctx['max_length'], 'entry', 'entries')}",
        "literal_error": lambda ctx: f"must be {ctx['expected']}",
        "enum": lambda ctx: f"must be {ctx['expected']}",
        "string_pattern_mismatch": lambda ctx: _tell_pattern(ctx["pattern"]),
    }
)


def to_complaint(entry: Mapping[str, Any]) -> str:
    """What is wrong at one place, to be read behind the place's name: "must be at least 1"."""
    kind = str(entry["type"])
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind in _WITH_FIGURES:
        return _WITH_FIGURES[kind](entry["ctx"])
    message = str(entry["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def to_settings(entries: Iterable[Mapping[str, Any]], program: str) -> Iterator[str]:
    """A line for each setting that is wrong, by the name of its environment variable."""
    for entry in entries:
        name = "_".join(["SWATH", *(str(part).upper() for part in entry["loc"])]) if entry["loc"] else program
        yield f"{name}: {to_complaint(entry)}"


def _tell_pattern(pattern: str) -> str:
    """Which characters are taken, where the pattern says no more than that."""
    if (found := _OF_CHARACTERS.fullmatch(pattern)) is None:
        return f"must match the pattern {pattern}"
    kinds = [word for ranges, word in _RANGES.items() if all(part in found[1] for part in ranges)]
    others = re.sub("A-Z|a-z|0-9", "", found[1])
    return f"may hold {', '.join(kinds)} and any of {' '.join(others)} alone"


def _digits(bound: float) -> str:
    return f"{int(bound) if bound == int(bound) else bound:,}"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"

"""What scheduler and executor tell each other: values that are JSON on the way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Self

from swath.domain.errors import InvalidInputError
from swath.domain.strict_json import read_strictly


class Document:
    """JSON in, JSON out; unknown fields are ignored, in nested objects too, so that versions can run side by side."""

    __slots__ = ()

    def to_json(self) -> str:
        """The document as one line of JSON."""
        return json.dumps(_fields(self), separators=(",", ":"), default=_plain)

    def to_value(self) -> dict[str, Any]:
        """Its fields, as far as `to_json` has to write them."""
        return _fields(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The value of a document; raises InvalidInputError when it is none."""
        try:
            value = read_strictly(text)
        except ValueError as error:
            raise InvalidInputError.at("", f"is no {cls.__name__}: {error}") from error
        return cls.from_value(value)

    @classmethod
    def from_value(cls, value: Any) -> Self:
        """The same of JSON that has been read already."""
        try:
            return cls(**cls._typed(known(cls, value)))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidInputError.at("", f"is no {cls.__name__}: {error}") from error

    @classmethod
    def _typed(cls, document: dict[str, Any]) -> dict[str, Any]:
        """The arguments that a document gives; raises ValueError, TypeError or KeyError."""
        return document


def known(cls: type[Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """What `cls` has fields for."""
    names = {entry.name for entry in fields(cls)}
    return {name: value for name, value in document.items() if name in names}


def _fields(value: Any) -> dict[str, Any]:
    """One level of `dataclasses.asdict`, which would copy every manifest to its leaves."""
    return {entry.name: getattr(value, entry.name) for entry in fields(value)}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value):
        return _fields(value)
    raise TypeError(f"{type(value).__name__} is not JSON")

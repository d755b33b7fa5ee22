"""Column types that behave the same on PostgreSQL and SQLite, and the JSON in which documents are stored."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import JSON, DateTime, Dialect, Row, String, Text, TypeDecorator

State = TypeVar("State", bound=StrEnum)
AnyRow = Row[*tuple[Any, ...]]  # of a query whose columns are computed

# A NUL in JSON's notation, after an even number of backslashes. PostgreSQL stores it and then cannot read the value with ->>.
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time in UTC. SQLite has no time zones: there the zone is taken off and put back on."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The time as the driver takes it; raises ValueError for a naive time, which could mean any zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The stored time, aware and in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class CleanText(TypeDecorator[str]):
    """Text from anywhere, a container's last words included: what no database can store becomes U+FFFD or "?"."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The text without NULs and lone surrogates, either of which would fail the whole transaction."""
        if value is None or (value.isascii() and "\0" not in value):
            return value
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


class StateName(TypeDecorator[State]):
    """A StrEnum stored by its name, as text: a new state needs no migration of a database type."""

    impl = String(16)
    cache_ok = True

    def __init__(self, states: type[State], *, grows: bool = False) -> None:
        """`grows`: later versions of Swath add names, and a program of this one reads them while it is upgraded."""
        super().__init__()
        self.states = states
        self.grows = grows
        self._by_name = {state.value: state for state in states}

    def process_bind_param(self, value: State | None, dialect: Dialect) -> str | None:
        """The state's name; raises ValueError for a name that is no state."""
        if value is None or (self.grows and value not in self._by_name):
            return value
        return self.states(value).value

    def process_result_value(self, value: Any, dialect: Dialect) -> State | None:
        """The state. Of a name that this version does not know the bare text, where there may be such; else ValueError.

        The text is equal to none of the states, and is shown as they are.
        """
        known = None if value is None else self._by_name.get(value)
        return known if known is not None or value is None else self._to_unknown(value)

    def _to_unknown(self, name: Any) -> Any:
        return str(name) if self.grows else self.states(name)


def make_document() -> JSON:
    """The type of a JSON document; None is SQL's NULL. Not JSONB: that reorders a document's fields."""
    return JSON(none_as_null=True)


def to_json(value: Any) -> str:
    """One line of JSON that both databases store and read back; raises TypeError for what is not JSON.

    What JSON or PostgreSQL cannot say is replaced: NaN and infinity by null, a NUL by U+FFFD, half a surrogate pair by "?".
    """
    try:
        text = _dump(value)
    except ValueError:  # of `allow_nan`
        text = _dump(_without_nan(value))
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
    return _ESCAPED_NUL.sub(r"\1\\ufffd", text) if "\\u0000" in text else text


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), default=_plain, allow_nan=False, ensure_ascii=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _without_nan(part) for key, part in value.items()}
    return [_without_nan(part) for part in value] if isinstance(value, list | tuple) else value


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not JSON")

"""Figures as people read them: a line each, and a table where several things have the same figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def render(name: str, figures: Mapping[str, Any]) -> str:
    """The figures of one benchmark: plain ones first, then a table for each list, or group, of alike ones."""
    plain = {key: value for key, value in figures.items() if not isinstance(value, Mapping | list)}
    lines = [f"== {name}", *(f"{key:<40} {show(value)}" for key, value in plain.items())]
    groups = {key: value for key, value in figures.items() if isinstance(value, Mapping)}
    if groups:
        lines += ["", *_columns([{"": key, **flatten(value)} for key, value in groups.items()])]
    for key, value in figures.items():
        if isinstance(value, list):
            rows = [flatten(row) if isinstance(row, Mapping) else {"": row} for row in value]
            lines += ["", f"{key}:", *_columns(rows)]
    return "\n".join(lines)


def flatten(figures: Mapping[str, Any]) -> dict[str, Any]:
    """One level: {"a": {"b": 1}} is {"a.b": 1}."""
    return dict(_walk(figures, ""))


def _walk(figures: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in figures.items():
        if isinstance(value, Mapping):
            yield from _walk(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The things side by side and their figures below each other, for figures are many; a thing a line where they are few."""
    names = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[show(row.get(name, "")) for name in names] for row in rows]
    table = [names, *cells]
    if len(names) > len(rows) + 1:
        table = [list(column) for column in zip(*table, strict=True)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def show(value: object) -> str:
    """A figure in a cell: thousands apart, no more digits than it has."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ", ".join(map(show, value)) if isinstance(value, list | tuple) else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"

"""Usage as users see it: JSON, and CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from swath.domain.usage import MOVED, RUNNING, SUCCEEDED
from swath.store.rows import Page, UsageRow

Document = dict[str, Any]
UsageSheet = Page[UsageRow, tuple[str, ...]]

_DIGITS = 3
_FIGURES = ("attempts", "succeeded", "running", "held_s", "cpu_s", "mem_mib_s", "gpu_s", "used_cpu_s", "used_mem_mib_s")
_PARTS = ("cpu_efficiency", "mem_efficiency")
_MORE = ("used_mean_mem_mib_s", *MOVED)  # behind what sheets have had before: a program may count columns
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would compute what begins so


def to_usage(row: UsageRow) -> Document:
    """One group's sums."""
    sums = row.amounts
    return {
        **row.group,
        "attempts": sums.attempts,
        "outcomes": dict(row.outcomes),
        "held_s": _round(sums.held_s),
        "requested": {
            "cpu_s": _round(sums.cpu_s),
            "mem_mib_s": _round(sums.mem_mib_s),
            "gpu_s": _round(sums.gpu_s),
        },
        "used": {
            "cpu_s": _round(sums.used_cpu_s),
            "mem_mib_s": _round(sums.used_mem_mib_s),
            "mean_mem_mib_s": _round(sums.used_mean_mem_mib_s),
            **{name: _round(getattr(sums, name)) for name in MOVED},
        },
        "efficiency": {
            "cpu": _part(sums.used_cpu_s, sums.measured_cpu_s),
            "mem": _part(sums.used_mem_mib_s, sums.measured_mem_mib_s),
        },
    }


def to_csv(by: Sequence[str], first: UsageSheet, read: Callable[[tuple[str, ...]], UsageSheet]) -> Iterator[str]:
    """A header and a line a group (RFC 4180), page by page, so that no more than one is ever held."""
    yield _to_lines([[*by, *_FIGURES, *_PARTS, *_MORE]])
    page = first
    while True:
        yield _to_lines(map(_to_cells, page.items))
        if page.next is None:
            return
        page = read(page.next)


def _to_cells(row: UsageRow) -> list[Any]:
    said = to_usage(row)
    figures = {
        **said["requested"],
        "attempts": row.amounts.attempts,
        "succeeded": row.outcomes.get(SUCCEEDED, 0),
        "running": row.outcomes.get(RUNNING, 0),
        "held_s": said["held_s"],
        "used_cpu_s": said["used"]["cpu_s"],
        "used_mem_mib_s": said["used"]["mem_mib_s"],
    }
    parts = ("" if value is None else value for value in (said["efficiency"]["cpu"], said["efficiency"]["mem"]))
    more = (_round(getattr(row.amounts, name)) for name in _MORE)
    return [*map(_guard, row.group.values()), *(figures[name] for name in _FIGURES), *parts, *more]


def _guard(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _to_lines(rows: Any) -> str:
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    return file.getvalue()


def _round(value: float) -> float:
    return round(value, _DIGITS)


def _part(used: float, asked: float) -> float | None:
    return round(used / asked, _DIGITS + 1) if asked > 0 else None

"""What people see: tables on stdout, everything else on stderr. With --json stdout holds JSON and nothing else."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from swath.domain.resources import to_digits
from swath.domain.shown import to_visible

_SKEW_S = 5.0  # by which a cluster's clock may be ahead of ours: what has happened there has not still to happen
COLOURS = {
    "SUCCEEDED": "green",
    "RUNNING": "cyan",
    "ACTIVE": "cyan",
    "PENDING": "yellow",
    "FAILED": "red",
    "CANCELLED": "magenta",
    "KILLED": "magenta",
    "LOST": "red",
    "UNREACHABLE": "yellow",
    "DRAINING": "yellow",
    "DRAINED": "magenta",
    "CORDONED": "magenta",
}


def out() -> Console:
    """The console on stdout; made anew, for tests and pipes exchange the stream."""
    return Console(file=sys.stdout, soft_wrap=True, highlight=False, emoji=False)


def err() -> Console:
    """The console on stderr."""
    return Console(file=sys.stderr, soft_wrap=True, highlight=False, emoji=False)


def shown(text: str) -> str:
    """A text of somebody else's, which can neither steer the terminal nor pass for markup of ours."""
    return escape(to_visible(text))


def say(text: str) -> None:
    """A remark to the human."""
    err().print(shown(text))


def tell(text: str) -> None:
    """A line, or several, on stdout."""
    sys.stdout.write(to_visible(text) + "\n")


def print_json(document: Any) -> None:
    """A document on stdout, indented for people and readable for programs."""
    tell(json.dumps(document, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str, fold: bool = True) -> None:
    """A table on stdout; columns that begin with ">" are set flush right. `empty` is said where there is no row.

    Without `fold` a line may be wider than the terminal, which then wraps it: a path can still be copied.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    if table.row_count:
        (_wide(out()) if fold else _widest(out())).print(table)
    else:
        say(empty)


def print_fields(fields: Iterable[tuple[str, Any]]) -> None:
    """Names and values below each other; values that are not there are left out."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in fields:
        if value not in (None, "", [], {}):
            table.add_row(name, _cell(value))
    _wide(out()).print(table)


def _wide(console: Console) -> Console:
    """In a pipe a line is as long as it has to be: `grep` and `awk` want one line an entry."""
    return console if console.is_terminal else _widest(console)


def _widest(console: Console) -> Console:
    console.width = 10_000
    return console


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    text = shown(str(value))
    return f"[{COLOURS[text]}]{text}[/]" if text in COLOURS else text


def when(moment: str | None, now: datetime | None = None) -> str:
    """How long ago an RFC 3339 time is: "12 s ago", "5 h ago"; or how far ahead: "in 3 min"."""
    if not moment:
        return "-"
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(moment)).total_seconds()
    return f"in {duration(-seconds)}" if seconds < -_SKEW_S else f"{duration(max(0.0, seconds))} ago"


def moment_and_when(moment: str | None, now: datetime | None = None) -> str | None:
    """An RFC 3339 time with how far it is away: "2026-12-01T00:00:00Z (in 3 d)"."""
    return f"{moment} ({when(moment, now)})" if moment else None


def duration(seconds: float | None) -> str:
    """Seconds in the unit that people would use."""
    if seconds is None:
        return "-"
    for limit, unit, size in ((90, "s", 1), (5400, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}" if unit != "s" or seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 86_400:.0f} d"


def between(start: str | None, end: str | None) -> float | None:
    """Seconds from one RFC 3339 time to another; None where one is missing."""
    if not start or not end:
        return None
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def size(count: float) -> str:
    """Bytes in the unit that people would use."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("unreachable")  # pragma: no cover


def amounts(resources: dict[str, Any]) -> str:
    """Resources in one line: "2 cpus, 2048 MiB memory, 4 licences"."""
    units = {"cpus": "cpus", "mem": "MiB memory", "disk": "MiB disk", "gpus": "gpus", "ports": "ports"}
    known = [f"{to_digits(resources[name])} {unit}" for name, unit in units.items() if resources.get(name)]
    others = [f"{to_digits(amount)} {name}" for name, amount in (resources.get("custom") or {}).items()]
    return ", ".join(known + others) or "nothing"


def instead(needed: Mapping[str, Any], asked: Mapping[str, Any]) -> str | None:
    """What is asked for beyond what the user said: "3072 MiB memory instead of 2048"; None where nothing is."""
    units = {"mem": "MiB memory", "disk": "MiB disk"}
    more = [name for name in units if (needed.get(name) or 0) > (asked.get(name) or 0)]
    words = (f"{to_digits(needed[name])} {units[name]} instead of {to_digits(asked.get(name) or 0)}" for name in more)
    return ", ".join(words) or None

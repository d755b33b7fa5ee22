"""`swath usage`: what was requested and used, by whom and for what."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from swath.cli.console import print_json, print_table, say
from swath.cli.options import AsJson, Limit, open_client
from swath.cli.projects import percent
from swath.client import Client
from swath.documents import Usage

_HOUR = 3600.0
_FIGURES = (">attempts", ">succeeded", ">running", ">cpu h", ">GiB h", ">gpu h", ">cpu used", ">memory used")


def add_commands(app: typer.Typer) -> None:
    """Add `usage`."""
    app.command(rich_help_panel="Cluster and images")(usage)


def usage(
    by: Annotated[str, typer.Option(help="Of day, project, user, image, outcome, with commas.")] = "project",
    first: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="First day, of UTC (default: 30 days).")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", metavar="DAY", help="Last day, included (default: today).")
    ] = None,
    project: Annotated[str | None, typer.Option(help="Of this project alone.")] = None,
    user: Annotated[str | None, typer.Option(help="Of this user alone.")] = None,
    csv: Annotated[
        str | None, typer.Option("--csv", metavar="FILE", help="Write all of it as CSV into a file; - for stdout.")
    ] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """Show CPU-, memory- and GPU-hours that were held, and which part of them was used; what runs counts up to now.

    \b
      swath usage --by user,image --from 2026-06-01 --to 2026-06-30
      swath usage --by day,outcome --project forest --csv forest.csv
    """
    names = tuple(filter(None, by.split(",")))
    asked = {"first": first, "last": last, "project": project, "user": user}
    with open_client() as client:
        if csv is not None:
            _save(client, csv, names, asked)
            return
        rows = list(client.usage(*names, **asked, limit=limit + 1))
        if as_json:
            print_json(rows[:limit])
        else:
            _print(client, names, rows[:limit], asked)
    if len(rows) > limit:
        say(f"only the first {limit} of them are shown: --limit, or --csv for all")


def _save(client: Client, to: str, names: Sequence[str], asked: dict[str, Any]) -> None:
    if to != "-":
        say(f"written to {client.save_usage(to, *names, **asked)}")
        return
    with TemporaryDirectory() as directory:
        sys.stdout.write(client.save_usage(Path(directory) / "usage.csv", *names, **asked).read_text(encoding="utf-8"))


def _print(client: Client, names: Sequence[str], rows: list[Usage], asked: dict[str, Any]) -> None:
    """The groups, and below them what all of them add up to, shown or not."""
    lines = [[*(str(dict(row)[name]) for name in names), *_figures(row)] for row in rows]
    if names and rows:
        (total,) = client.usage(**asked)
        lines.append(["all", *("" for _ in names[1:]), *_figures(total)])
    print_table((*names, *_FIGURES), lines, empty="nothing was used in these days")


def _figures(row: Usage) -> list[str]:
    requested, outcomes = row["requested"], row["outcomes"]
    hours = (requested["cpu_s"], requested["mem_mib_s"] / 1024, requested["gpu_s"])
    counts = (row["attempts"], outcomes.get("SUCCEEDED", 0), outcomes.get("RUNNING", 0))
    parts = (row["efficiency"]["cpu"], row["efficiency"]["mem"])
    return [*map(str, counts), *(_hours(seconds) for seconds in hours), *map(percent, parts)]


def _hours(seconds: float) -> str:
    """In three digits, or all of those before the point."""
    hours = seconds / _HOUR
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"

"""`swath cluster`."""

from __future__ import annotations

from typing import Any

import typer

from swath.cli.console import amounts, print_fields, print_json
from swath.cli.options import AsJson, open_client


def add_commands(app: typer.Typer) -> None:
    """Add `cluster`."""
    app.command(rich_help_panel="Cluster and images")(cluster)


def cluster(as_json: AsJson = False) -> None:
    """Show what the cluster has and runs."""
    with open_client() as client:
        found = client.cluster()
        url = client.url
    if as_json:
        print_json(found)
        return
    print_fields([("api", url), *((name.replace("_", " "), words(value)) for name, value in found.items())])


def words(value: Any) -> Any:
    """A value of a document in one line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if not isinstance(value, dict):
        return value
    if set(value) & {"cpus", "mem"}:
        return amounts(value)
    said = ((name.replace("_", " "), words(entry)) for name, entry in value.items())
    return ", ".join(f"{name} {entry}" for name, entry in said if entry not in (None, ""))

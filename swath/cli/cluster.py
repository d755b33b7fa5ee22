"""`swath cluster` and `swath agents`."""

from __future__ import annotations

from typing import Any

import typer

from swath.cli.console import amounts, print_fields, print_json, print_table, when
from swath.cli.options import AsJson, open_client


def add_commands(app: typer.Typer) -> None:
    """Add `cluster` and `agents`."""
    app.command(rich_help_panel="Cluster and images")(cluster)
    app.command(rich_help_panel="Cluster and images")(agents)


def cluster(as_json: AsJson = False) -> None:
    """Show what the cluster has and runs."""
    with open_client() as client:
        found = client.cluster()
        url = client.url
    if as_json:
        print_json(found)
        return
    print_fields([("api", url), *((name.replace("_", " "), _words(value)) for name, value in found.items())])


def agents(as_json: AsJson = False) -> None:
    """List the agents."""
    with open_client() as client:
        found = client.agents()
    if as_json:
        print_json(found)
        return
    columns = ("agent", "hostname", "has", "region", "zone", "active", "last seen")
    print_table(columns, map(_agent_row, found), empty="no agents; is the master reachable? `swath doctor` tells")


def _agent_row(agent: dict[str, Any]) -> tuple[Any, ...]:
    has = amounts(agent.get("resources") or {})
    active = "yes" if agent.get("active", True) else "no"
    place = (agent.get("region"), agent.get("zone"))
    return (agent["id"], agent.get("hostname"), has, *place, active, when(agent.get("last_seen")))


def _words(value: Any) -> Any:
    """A value of the cluster's document in one line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, dict):
        return value
    if set(value) & {"cpus", "mem"}:
        return amounts(value)
    return ", ".join(f"{name.replace('_', ' ')} {_words(entry)}" for name, entry in value.items() if entry is not None)

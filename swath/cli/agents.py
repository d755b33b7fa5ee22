"""`swath agents`: list, show, drain, undrain, cordon."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import typer

from swath.cli.consent import Yes, agree, count, remark_on_health
from swath.cli.console import amounts, duration, print_fields, print_json, print_table, say, when
from swath.cli.draining import wait_until_drained
from swath.cli.options import AsJson, Timeout, open_client, parse_duration
from swath.client import Client
from swath.documents import Agent
from swath.domain.wishes import SWATH

Name = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's id, or its host name.")]
Names = Annotated[list[str], typer.Argument(metavar="AGENT...", help="The agents' ids, or host names.")]


def add_commands(app: typer.Typer) -> None:
    """Add `agents` with its own commands; without one, it lists."""
    group = typer.Typer(invoke_without_command=True, help="List agents; empty them for maintenance.")
    group.callback()(list_agents)
    group.command("list")(list_again)
    for command in (show, drain, undrain, cordon):
        group.command()(command)
    group.command("uncordon", help="The same as undrain.")(undrain)
    app.add_typer(group, name="agents", rich_help_panel="Cluster and images")


def list_agents(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List agents, and empty them for maintenance; alone, it lists them.

    \b
      swath agents
      swath agents drain node-7 --max-grace 5m --wait
      swath agents undrain node-7
    """
    if ctx.invoked_subcommand is None:
        list_again(as_json)


def list_again(as_json: AsJson = False) -> None:
    """List the agents."""
    with open_client() as client:
        found = client.agents()
    if as_json:
        print_json(found)
        return
    columns = ("agent", "hostname", "has", "attributes", "region", "zone", ">attempts", "state", "last seen")
    print_table(columns, map(_agent_row, found), empty="no agents; is the master reachable? `swath doctor` tells")


def _agent_row(agent: Agent) -> tuple[Any, ...]:
    has = amounts(agent["resources"])
    place = (_attributes(agent) or None, _place(agent, "region"), _place(agent, "zone"))
    return (agent["id"], agent["hostname"], has, *place, agent["attempts"], _state(agent), when(agent["last_seen"]))


def _attributes(agent: Agent) -> str:
    others = {key: value for key, value in agent["attributes"].items() if key not in ("region", "zone")}
    return ", ".join(f"{key}={value}" for key, value in sorted(others.items()))


def _place(agent: Agent, level: Literal["region", "zone"]) -> str | None:
    """What a constraint on it would compare with: the attribute of that name, else what Mesos knows."""
    return agent["attributes"].get(level) or agent[level]


def _state(agent: Agent) -> str:
    """What an agent is and is to be, in a few words."""
    if not agent["active"]:
        return "gone"
    there = agent["drain"] or ("deactivated" if agent["deactivated"] else "active")
    wanted = agent["mode"]
    if wanted == "CORDONED" and agent["mode_user"] == SWATH:
        return f"CORDONED by Swath itself: {agent['mode_message']}"
    if agent["mode_message"]:
        return f"{there}; {wanted} was refused: {agent['mode_message']}"
    if agent["mode_pending"]:
        return f"{there}; to be {wanted}"
    return "CORDONED" if wanted == "CORDONED" else there


def show(name: Name, as_json: AsJson = False) -> None:
    """Show one agent: what it has, what is on it, what is wanted of it."""
    with open_client() as client:
        agent = client.agent(name)
    if as_json:
        print_json(agent)
    else:
        print_fields(_fields(agent))


def _fields(agent: Agent) -> Iterable[tuple[str, Any]]:
    wanted = agent["mode_user"] and f"{agent['mode']}, asked by {agent['mode_user']} {when(agent['mode_at'])}"
    window = agent["unavailable_from"] and f"{agent['unavailable_from']} to {agent['unavailable_until'] or 'no end'}"
    return (
        ("agent", agent["id"]),
        ("hostname", agent["hostname"]),
        ("url", agent["url"]),
        ("state", _state(agent)),
        ("wanted", wanted),
        ("grace at most", None if agent["max_grace_s"] is None else duration(agent["max_grace_s"])),
        ("not to come back", "yes" if agent["mark_gone"] else None),
        ("attempts", str(agent["attempts"])),
        ("has", amounts(agent["resources"])),
        ("images", _images(agent["images"])),
        ("attributes", _attributes(agent)),
        ("region", _place(agent, "region")),
        ("zone", _place(agent, "zone")),
        ("maintenance", window),
        ("first seen", agent["first_seen"]),
        ("last seen", agent["last_seen"]),
    )


def _images(names: list[str] | None) -> str | None:
    """How many, and which; nothing where no executor has said."""
    if names is None:
        return None
    return f"{len(names)}: {', '.join(names)}" if names else "none"


def drain(
    names: Names,
    max_grace: Annotated[
        str | None, typer.Option(help="Time that tasks have to end at most: 90, 5m, 1h (default: each its own).")
    ] = None,
    mark_gone: Annotated[bool, typer.Option("--mark-gone", help="The machine is not to come back.")] = False,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait until nothing runs there.")] = False,
    timeout: Timeout = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """End what runs on agents, and launch nothing there until `undrain`. What is ended is tried again elsewhere, for free.

    \b
      swath agents drain node-7 --max-grace 5m --wait
    """
    grace_s = None if max_grace is None else parse_duration(max_grace, "--max-grace")
    with open_client() as client:
        found = [client.agent(name) for name in names]
        agree(_what_a_drain_kills(found, grace_s, mark_gone=mark_gone), yes=yes)
        asked = _set_each(client, found, "DRAINED", max_grace_s=grace_s, mark_gone=mark_gone)
        if wait:
            asked = wait_until_drained(client, [agent["id"] for agent in asked], timeout)
        _tell(asked, "drained" if wait else "to be drained; `swath agents` shows how far it is", as_json)


def _what_a_drain_kills(agents: list[Agent], grace_s: float | None, *, mark_gone: bool) -> Iterable[str]:
    how = (
        "asked to end within the grace of each"
        if grace_s is None
        else f"asked to end within {duration(grace_s)} at most"
    )
    if mark_gone:  # the master takes an agent for empty as soon as its executors say that they are ending their tasks
        how = "ended without grace"
    for agent in agents:
        running = count(agent["attempts"], "running attempt")
        yield f"{agent['hostname']} ({agent['id']}): {running} will be {how}, and tried again for free"
    if mark_gone:
        yield "then the master forgets the agent for good: its machine has to register as a new one"
    else:
        yield "nothing is launched there until `swath agents undrain`"


def cordon(names: Names, as_json: AsJson = False) -> None:
    """Launch nothing more on agents until `uncordon`; what runs there runs on."""
    _ask("CORDONED", "cordoned: what runs there runs on", names, as_json)


def undrain(names: Names, as_json: AsJson = False) -> None:
    """Let agents take tasks again, after a drain or a cordon."""
    _ask("ACTIVE", "to take tasks again", names, as_json)


def _ask(mode: str, what: str, names: list[str], as_json: bool) -> None:
    with open_client() as client:
        found = [client.agent(name) for name in names]
        _tell(_set_each(client, found, mode), what, as_json)


def _set_each(client: Client, agents: list[Agent], mode: str, **said: Any) -> list[Agent]:
    """All were found before the first is asked for: a wrong name changes nothing."""
    asked = [client.set_agent_mode(agent["id"], mode, **said) for agent in agents]
    remark_on_health(client)
    return asked


def _tell(agents: list[Agent], what: str, as_json: bool) -> None:
    if as_json:
        print_json(agents)
        return
    for agent in agents:
        say(f"agent {agent['hostname']} ({agent['id']}) is {what}")

"""`swath scheduler`: how it stands with Mesos; the end of its framework, and a new beginning."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import typer

from swath.cli.cluster import words
from swath.cli.consent import Yes, agree, count, remark_on_health
from swath.cli.console import print_fields, print_json, say, when
from swath.cli.options import AsJson, open_client
from swath.client import Client
from swath.documents import Running, Scheduler
from swath.domain.errors import ConflictError


def add_commands(app: typer.Typer) -> None:
    """Add `scheduler` with its own commands."""
    group = typer.Typer(
        no_args_is_help=True, help="The scheduler as Mesos knows it: its state, its end, a new beginning."
    )
    group.command()(status)
    group.command()(teardown)
    group.command("reset-framework")(reset_framework)
    app.add_typer(group, name="scheduler", rich_help_panel="Cluster and images")


def status(as_json: AsJson = False) -> None:
    """Show who leads, how it stands with Mesos, and what operators want of it."""
    with open_client() as client:
        found = client.scheduler()
    if as_json:
        print_json(found)
    else:
        print_fields(_fields(found))


def _fields(found: Scheduler) -> Iterable[tuple[str, Any]]:
    wish = found["wish"]
    pending = wish and wish["pending"] and f"{wish['desire']}, asked by {wish['user']} {when(wish['at'])}"
    return (
        ("health", found["health"]),
        ("connected", words(found["connected"])),
        ("master", found["master"]),
        ("heartbeat", found["heartbeat_at"] and when(found["heartbeat_at"])),
        ("framework", found["framework_id"]),
        ("torn down", "yes: nothing runs until `swath scheduler reset-framework`" if found["torn_down"] else None),
        ("to be done", pending or None),
        ("leader", found["leader"]),
        ("epoch", found["epoch"]),
        ("lease until", found["lease_expires_at"]),
        ("running", _running(found["running"])),
        ("open jobs", str(found["open_jobs"])),
        *((name.replace("_", " "), words(value)) for name, value in found["figures"].items() if name != "framework_id"),
    )


def _running(running: Running) -> str:
    """ "3 running attempts of 2 jobs on 1 agent"."""
    attempts, jobs = count(running["attempts"], "running attempt"), count(running["jobs"], "job")
    return f"{attempts} of {jobs} on {count(running['agents'], 'agent')}"


def teardown(yes: Yes = False, as_json: AsJson = False) -> None:
    """Leave Mesos: every running attempt is killed, jobs wait, nothing is launched until `reset-framework`."""
    _end(Client.tear_down, _what_a_teardown_kills, "will leave Mesos", yes, as_json)


def _what_a_teardown_kills(found: Scheduler) -> Iterable[str]:
    waiting = count(found["open_jobs"], "open job")
    yield f"framework {found['framework_id']} leaves Mesos: {_running(found['running'])} will be killed, and all executors end"
    yield f"{waiting} will wait: nothing is launched until `swath scheduler reset-framework --yes`"
    yield "what was killed is tried again after that, for free"


def reset_framework(yes: Yes = False, as_json: AsJson = False) -> None:
    """Begin anew under another framework id, after a teardown, or when the master says that it has removed the framework."""
    _end(Client.reset_framework, _what_a_reset_kills, "will be replaced by a new one", yes, as_json)


def _what_a_reset_kills(found: Scheduler) -> Iterable[str]:
    yield f"a new framework takes the place of {found['framework_id'] or 'the one that has left'}"
    if found["running"]["attempts"]:
        yield f"{_running(found['running'])} will be killed where the master still knows them, and are LOST"
        yield "they are tried again for free, and jobs go on"
    else:
        yield "nothing runs under the old one; jobs go on"
    if found["connected"] and not found["torn_down"]:
        yield "the master serves the present framework: a reset is for one that it has removed, or that was torn down"


def _end(
    ask: Callable[[Client, str | None], Any],
    explain: Callable[[Scheduler], Iterable[str]],
    what: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Ask for the end of the framework that was just shown: should it be another by then, the API refuses."""
    with open_client() as client:
        found = client.scheduler()
        if found["torn_down"] and ask is Client.tear_down:
            raise ConflictError(
                "the framework has left Mesos already: `swath scheduler reset-framework` lets it begin anew"
            )
        agree(explain(found), yes=yes)
        answer = ask(client, found["framework_id"])
        if not found["torn_down"]:
            remark_on_health(client)
    if as_json:
        print_json(answer)
    else:
        name = f"framework {found['framework_id']}" if found["framework_id"] else "the framework that has left"
        say(f"{name} {what}; `swath scheduler status` shows when it is done")

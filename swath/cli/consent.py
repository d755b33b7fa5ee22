"""Before something is killed: say what, and ask whoever sits there."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Annotated

import typer

from swath.cli.console import say
from swath.cli.exits import Exit
from swath.client import Client

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking; in scripts it has to be said.")]


def agree(explanation: Iterable[str], *, yes: bool) -> None:
    """Return when it may be done; raises typer.Exit after a no, and a usage error where nobody can be asked."""
    for line in explanation:
        say(line)
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter("nothing has been done: this is no terminal, so it has to be said", param_hint="--yes")
    try:
        agreed = typer.confirm("Do it?", err=True)
    except typer.Abort:  # Ctrl-D; Ctrl-C comes as the same
        agreed = False
    if not agreed:
        say("nothing has been done")
        raise typer.Exit(Exit.REFUSED)


def count(number: int, what: str) -> str:
    """ "1 job", "2 jobs"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def remark_on_health(client: Client) -> None:
    """Say so where the scheduler cannot do now what it was asked for."""
    health = client.scheduler()["health"]
    if health != "ok":
        say(f"the scheduler {health}: it is written down, and done once it is there again (`swath scheduler status`)")

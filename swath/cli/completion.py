"""`swath completion`: completion of the shell."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from typer._completion_shared import get_completion_script

from swath.cli.console import print_json
from swath.cli.options import AsJson


class Shell(StrEnum):
    """Shells that are known."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    POWERSHELL = "powershell"


def add_commands(app: typer.Typer) -> None:
    """Add `completion`."""
    app.command(rich_help_panel="Other")(completion)


def completion(shell: Annotated[Shell, typer.Argument(help="The shell.")], as_json: AsJson = False) -> None:
    """Print the completion script of a shell; `swath --install-completion` installs it.

    \b
      swath completion bash > ~/.local/share/bash-completion/completions/swath
    """
    script = get_completion_script(prog_name="swath", complete_var="_SWATH_COMPLETE", shell=shell.value)
    if as_json:
        print_json({"shell": shell.value, "script": script})
    else:
        typer.echo(script)

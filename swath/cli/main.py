"""The command line: assembles the commands, and turns every expected error into one message and one exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import swath
from swath.cli import (
    agents,
    cluster,
    completion,
    demo,
    doctor,
    history,
    images,
    jobs,
    logs,
    outputs,
    projects,
    scheduler,
    schedules,
    simulate,
    submit,
    tokens,
    trace,
    up,
    usage,
)
from swath.cli.console import err, say
from swath.cli.exits import Exit, exit_for, table
from swath.domain.errors import InvalidInputError

EPILOG = f"\b\nExit codes:\n{table()}"


class SwathGroup(TyperGroup):
    """Commands whose errors are for people."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error becomes a message on stderr and an exit code, never a traceback."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, KeyboardInterrupt, BrokenPipeError, EOFError):
            raise
        except Exception as error:
            if _is_usage_error(error):
                raise
            raise typer.Exit(report(error)) from None


def _is_usage_error(error: Exception) -> bool:
    """True for what typer itself shows; its class has moved between versions, its attribute has not."""
    return hasattr(error, "exit_code") and hasattr(error, "format_message")


def report(error: Exception) -> int:
    """Say what went wrong and return the exit code."""
    code = exit_for(error)
    if code is Exit.FAULT and os.environ.get("SWATH_DEBUG"):
        raise error
    if isinstance(error, InvalidInputError) and error.problems:
        err().print("[red]error:[/] the request was refused")
        for problem in error.problems:
            say(f"  {problem.path or 'request'}: {problem.message}")
    elif code is Exit.FAULT:
        err().print("[red]error:[/] ", end="")
        say(f"{type(error).__name__}: {error} (a fault in swath; SWATH_DEBUG=1 shows where)")
    elif isinstance(error, OSError) and error.filename:
        err().print("[red]error:[/] ", end="")
        say(f"{error.filename}: {(error.strerror or str(error)).lower()}")
    else:
        err().print("[red]error:[/] ", end="")
        say(str(error))
    return int(code)


app = typer.Typer(
    name="swath",
    cls=SwathGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Earth Observation processing on a cluster, or on this laptop: `swath demo` shows it.",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for part in (
    up,
    demo,
    submit,
    jobs,
    history,
    logs,
    outputs,
    schedules,
    images,
    cluster,
    agents,
    projects,
    usage,
    tokens,
    scheduler,
    simulate,
    trace,
    doctor,
    completion,
):
    part.add_commands(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"swath {swath.__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    """Earth Observation processing on a cluster, or on this laptop: `swath demo` shows it."""


def main() -> None:
    """Entry point of the `swath` command."""
    app(prog_name="swath")


if __name__ == "__main__":
    main()

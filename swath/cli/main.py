"""The command line: assembles the commands, and turns every expected error into one message and one exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
    secrets,
    simulate,
    submit,
    tokens,
    trace,
    up,
    usage,
)
from swath.cli.exits import table
from swath.cli.options import AsJson
from swath.cli.refusals import is_usage_error, put_in_our_words, report

EPILOG = f"\b\nExit codes:\n{table()}"


class SwathGroup(TyperGroup):
    """Commands whose errors are for people, or with --json for programs: never a traceback."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> Any:
        """Read the words up to the command; whether --json is among all of them is kept for errors."""
        as_json = "--json" in args[: args.index("--") if "--" in args else None]
        with _reporting(as_json):
            context = super().make_context(info_name, args, *rest, **extra)
        context.meta[_AS_JSON] = as_json
        return context

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _reporting(ctx.meta[_AS_JSON], ctx):
            return super().invoke(ctx)


_AS_JSON = "swath.as_json"


@contextmanager
def _reporting(as_json: bool, ctx: Any = None) -> Iterator[None]:
    """An error becomes a message or a document on stderr, and an exit code."""
    try:
        yield
    except (typer.Exit, typer.Abort, KeyboardInterrupt, BrokenPipeError, EOFError):
        raise
    except Exception as error:
        if is_usage_error(error):
            put_in_our_words(error)
            if not as_json:
                raise
        command = f"swath {(ctx and ctx.invoked_subcommand) or ''}".strip()
        raise typer.Exit(report(error, as_json=as_json, instance=command)) from None


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
    secrets,
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
    as_json: AsJson = False,
) -> None:
    """Earth Observation processing on a cluster, or on this laptop: `swath demo` shows it."""


def main() -> None:
    """Entry point of the `swath` command."""
    app(prog_name="swath")


if __name__ == "__main__":
    main()

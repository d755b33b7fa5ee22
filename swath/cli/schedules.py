"""`swath schedules`: jobs that recur."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from swath.cli.console import print_fields, print_json, print_table, say
from swath.cli.jobdoc import parse_json, read_text
from swath.cli.options import AsJson, open_client
from swath.documents import Run, Schedule

Name = Annotated[str, typer.Argument(help="The schedule's name or id.")]


class Overlap(StrEnum):
    """While the run before has not ended."""

    skip = "skip"
    queue = "queue"
    cancel = "cancel"


class CatchUp(StrEnum):
    """Of missed runs."""

    last = "last"
    all = "all"
    none = "none"


def add_commands(app: typer.Typer) -> None:
    """Add `schedules` with its own commands; without one, it lists."""
    group = typer.Typer(invoke_without_command=True, help="List jobs that recur; add, pause and remove them.")
    group.callback()(list_schedules)
    group.command("list")(list_again)
    for command in (add, show, pause, resume, remove):
        group.command()(command)
    app.add_typer(group, name="schedules", rich_help_panel="Jobs")


def list_schedules(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List jobs that recur; add, pause and remove them. Alone, it lists them.

    \b
      swath schedules
      swath schedules add nightly '30 2 * * *' --timezone Europe/Rome --file job.json
      swath schedules pause nightly
    """
    if ctx.invoked_subcommand is None:
        list_again(as_json)


def list_again(as_json: AsJson = False) -> None:
    """List the recurring jobs and when each is next."""
    with open_client() as client:
        found = client.schedules()
    if as_json:
        print_json(found)
        return
    columns = ("name", "cron", "time zone", "image", "state", "next")
    print_table(columns, map(_row, found), empty="no recurring jobs; `swath schedules add` makes one")


def _row(schedule: Schedule) -> tuple[Any, ...]:
    state = "paused" if schedule["paused"] else "active"
    following = schedule["next"][0] if schedule["next"] else None
    return (schedule["name"], schedule["cron"], schedule["timezone"], schedule["job"].get("image"), state, following)


def add(
    name: Annotated[str, typer.Argument(help="A name of its own.")],
    cron: Annotated[str, typer.Argument(help="Minute, hour, day, month, weekday: '0 6 * * MON-FRI'.")],
    file: Annotated[str, typer.Option("--file", "-f", help="The job's document; `-` is stdin.")],
    timezone: Annotated[str, typer.Option(help="IANA: Europe/Rome.")] = "UTC",
    overlap: Annotated[Overlap, typer.Option(help="While the run before has not ended.")] = Overlap.skip,
    catch_up: Annotated[CatchUp, typer.Option(help="Of runs missed while no API was there.")] = CatchUp.last,
    paused: Annotated[bool, typer.Option("--paused", help="Fire only once it is resumed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Submit a job document at the times of a cron expression.

    {date} and {time} in its name, inputs, parameters, labels and items become those of the run.

    \b
      swath schedules add nightly '30 2 * * *' --timezone Europe/Rome --file job.json
    """
    job = parse_json(read_text(file), file, dict)
    options = {"timezone": timezone, "overlap": overlap.value, "catch_up": catch_up.value, "paused": paused}
    with open_client() as client:
        _show(client.add_schedule(name, cron, job, **options), as_json)


def show(name: Name, as_json: AsJson = False) -> None:
    """Show one: its next three times, and what became of the last ones."""
    with open_client() as client:
        _show(client.schedule(name), as_json)


def pause(name: Name, as_json: AsJson = False) -> None:
    """Fire no more until it is resumed; times that pass meanwhile are not caught up."""
    with open_client() as client:
        _show(client.change_schedule(name, paused=True), as_json)


def resume(name: Name, as_json: AsJson = False) -> None:
    """Fire again, from the next time on."""
    with open_client() as client:
        _show(client.change_schedule(name, paused=False), as_json)


def remove(name: Name, as_json: AsJson = False) -> None:
    """Forget it; the jobs that it has submitted stay."""
    with open_client() as client:
        client.remove_schedule(name)
    if as_json:
        print_json({"removed": name})
    else:
        say(f"schedule {name} removed")


def _show(schedule: Schedule, as_json: bool) -> None:
    if as_json:
        print_json(schedule)
        return
    print_fields(
        [
            ("schedule", schedule["name"]),
            ("id", schedule["id"]),
            ("user", schedule["user"]),
            ("cron", f"{schedule['cron']} ({schedule['timezone']})"),
            ("next", ", ".join(schedule["next"]) or ("paused" if schedule["paused"] else None)),
            ("while one runs", schedule["overlap"]),
            ("missed ones", schedule["catch_up"]),
            ("image", schedule["job"].get("image")),
            ("created", schedule["created_at"]),
        ]
    )
    if schedule.get("runs"):
        print_table(("at", "outcome", "job", "message"), map(_run_row, schedule["runs"] or ()), empty="")


def _run_row(run: Run) -> tuple[Any, ...]:
    return (run["at"], run["outcome"], run["job"], run["message"] or "")

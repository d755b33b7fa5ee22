"""`swath logs` and `swath events`."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from swath.cli.console import print_json, print_table, tell
from swath.cli.options import AsJson, Index, JobId, open_client, resolve_job


def add_commands(app: typer.Typer) -> None:
    """Add `logs` and `events`."""
    app.command(rich_help_panel="Jobs")(logs)
    app.command(rich_help_panel="Jobs")(events)


def logs(
    job_id: JobId,
    index: Index = 0,
    stderr: Annotated[bool, typer.Option("--stderr", "-e", help="What it wrote to stderr.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the attempt has ended.")] = False,
    attempt: Annotated[int | None, typer.Option(help="Number of the attempt (default: the last).", min=1)] = None,
    tail: Annotated[int | None, typer.Option(help="Only so many bytes from the end.", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """Print what a task wrote to stdout (or stderr), as it is.

    \b
      swath logs last 3
      swath logs 01JD... --follow --stderr
    """
    stream, offset = "stderr" if stderr else "stdout", -tail if tail else 0
    with open_client() as client:
        job_id = resolve_job(client, job_id)
        if as_json:
            text = client.log(job_id, index, stream, attempt=attempt, offset=offset)
            print_json({"job": job_id, "task": index, "stream": stream, "text": text})
        elif follow:
            for chunk in client.follow_log(job_id, index, stream, attempt=attempt, offset=offset):
                sys.stdout.write(chunk.decode("utf-8", "replace"))
                sys.stdout.flush()
        else:
            sys.stdout.write(client.log(job_id, index, stream, attempt=attempt, offset=offset))


def events(
    job_id: Annotated[str | None, typer.Argument(metavar="[JOB]", help="A job, `last`; all jobs without.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they happen.")] = False,
    after: Annotated[int | None, typer.Option(help="Only those behind the event with this id.", min=0)] = None,
    task: Annotated[int | None, typer.Option(help="Only those of the job's task with this index.", min=0)] = None,
    as_json: AsJson = False,
) -> None:
    """List what happened, the oldest first; with --follow and --json, one JSON document a line."""
    with open_client() as client:
        if task is not None and job_id is None:
            raise typer.BadParameter("is for the tasks of one job: name it", param_hint="--task")
        job = None if job_id is None else resolve_job(client, job_id)
        found = client.events(job, task=task, after=after, follow=follow)
        if follow:
            for event in found:
                _print_line(dict(event), as_json)
        elif as_json:
            print_json(list(found))
        else:
            rows = ((event["id"], event["at"], event["kind"], event["job"], _words(event["data"])) for event in found)
            print_table((">event", "at", "kind", "job", "what"), rows, empty="nothing has happened yet")


def _print_line(event: dict[str, object], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(event))
    else:
        tell(f"{event['at']}  {event['kind']}  {event['job'] or ''}  {_words(event['data'])}")


def _words(data: object) -> str:
    return " ".join(f"{name}={value}" for name, value in data.items()) if isinstance(data, dict) else ""

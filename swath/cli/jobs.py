"""`swath jobs`, `show`, `tasks`, `why`, `cancel`, `retry`."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

import typer

from swath.cli.attempts import show_task
from swath.cli.console import (
    amounts,
    between,
    duration,
    instead,
    moment_and_when,
    print_fields,
    print_json,
    print_table,
    say,
    when,
)
from swath.cli.links import link_fields
from swath.cli.options import AsJson, JobId, Limit, open_client, resolve_job
from swath.cli.placing import place_fields
from swath.cli.why import why
from swath.client import Client
from swath.documents import Job, Task

JobIds = Annotated[list[str], typer.Argument(metavar="JOB...", help="The jobs' ids, or `last`.")]
_JOB_STATES = "PENDING, RUNNING, SUCCEEDED, FAILED or CANCELLED"
_TASK_STATES = "PENDING, ACTIVE, SUCCEEDED, FAILED or CANCELLED"


def add_commands(app: typer.Typer) -> None:
    """Add the commands on jobs."""
    for command in (jobs, show, tasks, why, cancel, retry):
        app.command(rich_help_panel="Jobs")(command)


def jobs(
    state: Annotated[str | None, typer.Option(help=f"Only those {_JOB_STATES}.")] = None,
    project: Annotated[str | None, typer.Option(help="Only those of a project.")] = None,
    image: Annotated[str | None, typer.Option(help="Only those on an image.")] = None,
    name: Annotated[str | None, typer.Option(help="Only those of a name.")] = None,
    label: Annotated[str | None, typer.Option(help="Only those with KEY=VALUE.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List jobs, the newest first.

    \b
      swath jobs --state RUNNING
      swath jobs --json --limit 1000 | jq -r '.[].id'
    """
    with open_client() as client:
        found = client.jobs(
            limit=limit, state=state and state.upper(), project=project, image=image, name=name, label=label
        )
    if as_json:
        print_json(found)
        return
    columns = ("job", "name", "image", "state", ">tasks", ">succeeded", ">failed", "submitted", "why it waits")
    named = any((state, project, image, name, label))
    nothing = "no such jobs" if named else "no jobs; `swath submit` makes one, `swath demo` six"
    print_table(columns, map(_job_row, found), empty=nothing)


def _job_row(job: Job) -> tuple[Any, ...]:
    counts = job["counts"]
    numbers = (counts["total"], counts["succeeded"], counts["failed"])
    return (job["id"], job["name"], job["image"], job["state"], *numbers, when(job["submitted_at"]), job["why"] or "")


def show(
    job_id: JobId,
    index: Annotated[int | None, typer.Argument(metavar="[INDEX]", help="Index of one task.", min=0)] = None,
    as_json: AsJson = False,
) -> None:
    """Show one job: its state, its counts, why it waits, what failed; or one of its tasks and every attempt of it."""
    with open_client() as client:
        if index is not None:
            show_task(client, resolve_job(client, job_id), index, as_json)
            return
        job = client.job(resolve_job(client, job_id))
        if as_json:
            print_json(job)
            return
        print_fields(_job_fields(job))
        if job["counts"]["failed"]:
            _print_tasks(list(client.tasks(job["id"], state="FAILED", limit=10)))


def _job_fields(job: Job) -> list[tuple[str, Any]]:
    counts = ", ".join(f"{count} {name}" for name, count in job["counts"].items() if count)
    return [
        ("job", job["id"]),
        ("name", job["name"]),
        ("project", job["project"]),
        ("user", job["user"]),
        ("image", job["image"]),
        ("digest", job.get("image_digest")),
        ("state", job["state"]),
        ("desired", job["desired"] if job["desired"] != "RUN" else None),
        ("tasks", counts),
        ("why it waits", job["why"]),
        ("message", job.get("message")),
        *link_fields(job),
        ("each task has", amounts(job["resources"])),
        ("learned", instead(job.get("learned") or {}, job["resources"])),
        ("priority", job["priority"]),
        *place_fields(job["spec"]),
        ("labels", ", ".join(f"{key}={value}" for key, value in job["labels"].items())),
        ("submitted", job["submitted_at"]),
        ("not before", moment_and_when(job["spec"].get("not_before"))),
        ("deadline", moment_and_when(job["spec"].get("deadline"))),
        ("started", job["started_at"]),
        ("ended", job["ended_at"]),
        ("took", duration(between(job["started_at"], job["ended_at"])) if job["ended_at"] else None),
    ]


def tasks(
    job_id: JobId,
    state: Annotated[str | None, typer.Option(help=f"Only those {_TASK_STATES}.")] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """List a job's tasks in the order of their index.

    \b
      swath tasks last --state FAILED
    """
    with open_client() as client:
        found = list(
            islice(client.tasks(resolve_job(client, job_id), state=state and state.upper(), limit=limit), limit)
        )
    if as_json:
        print_json(found)
    else:
        _print_tasks(found)


def _print_tasks(found: list[Task]) -> None:
    columns = (">index", "item", "state", ">attempts", "agent", ">took", "cause", ">exit", "message")
    print_table(columns, map(_task_row, found), empty="no such tasks")


def _task_row(task: Task) -> tuple[Any, ...]:
    return (
        task["index"],
        item_name(task["item"]),
        task["state"],
        task["attempts"],
        task["agent"]["hostname"] if task["agent"] else None,
        duration(between(task["started_at"], task["ended_at"])),
        task["cause"],
        task["exit_code"],
        task["message"] or task["why"] or "",
    )


def item_name(item: Any) -> str | None:
    """An array's element in a few characters: the last part of a path, or the value."""
    if isinstance(item, dict):
        hrefs = item.get("hrefs") or [item.get("href")]
        if isinstance(hrefs[0], str):
            return hrefs[0].rstrip("/").rpartition("/")[2]
    return None if item is None else str(item)


def cancel(
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB...", help="Ids, or `last`.")], as_json: AsJson = False
) -> None:
    """Cancel jobs: what waits will not run, what runs is asked to end and gets its grace."""
    _ask_of_each(job_ids, "cancelled", Client.cancel, as_json)


def retry(
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB...", help="Ids, or `last`.")], as_json: AsJson = False
) -> None:
    """Run the failed tasks of jobs again."""
    _ask_of_each(job_ids, "asked to run its failed tasks again", Client.retry, as_json)


def _ask_of_each(job_ids: list[str], what: str, ask: Any, as_json: bool) -> None:
    with open_client() as client:
        answers = [ask(client, resolve_job(client, job_id)) for job_id in job_ids]
    if as_json:
        print_json(answers)
        return
    for job in answers:
        say(f"job {job['id']} {what}")

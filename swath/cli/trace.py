"""`swath trace`: the jobs of this cluster as a workload that can be simulated."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TextIO

import typer

from swath.cli.console import between, print_json, say
from swath.cli.options import AsJson, Limit, open_client
from swath.client import Client
from swath.documents import Job, Task

ENDED = ("SUCCEEDED", "FAILED")


def add_commands(app: typer.Typer) -> None:
    """Add `trace` with its own commands."""
    group = typer.Typer(no_args_is_help=True, help="Take the jobs of this cluster as a workload to simulate.")
    group.command()(export)
    group.callback()(_root)
    app.add_typer(group, name="trace", rich_help_panel="Cluster and images")


def _root() -> None:
    """Take the jobs of this cluster as a workload to simulate."""


def export(
    file: Annotated[Path | None, typer.Argument(help="Write here (default: stdout).")] = None,
    limit: Limit = 1000,
    project: Annotated[str | None, typer.Option(help="Of one project only.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the newest jobs as a trace: when each was submitted, what it asked for, how long its tasks ran. No inputs.

    On stdout it is a JSON document a line, with --json or without.

    \b
      swath trace export mine.jsonl --limit 500
      swath simulate mine.jsonl --cluster current
    """
    with open_client() as client:
        if file is None:
            _write(client, sys.stdout, limit, project)
            return
        with file.open("w", encoding="utf-8") as target:
            count = _write(client, target, limit, project)
    if as_json:
        print_json({"jobs": count, "file": str(file)})
    else:
        say(f"{count:,} jobs written to {file}; `swath simulate {file}` simulates them")


def _write(client: Client, target: TextIO, limit: int, project: str | None) -> int:
    """The number of jobs written."""
    from swath.simulation.recorded import to_lines

    jobs = list(client.jobs(limit=limit, project=project))
    for document in to_lines((job, _runs(client, job)) for job in reversed(jobs)):
        target.write(json.dumps(document, ensure_ascii=False) + "\n")
    return len(jobs)


def _runs(client: Client, job: Job) -> Iterator[tuple[int, float]]:
    """(index, seconds that it ran) of every task that has ended, by its last attempt."""
    for state in ENDED:
        for task in client.tasks(job["id"], state=state):
            run_s = _run_s(client, job["id"], task)
            if task["state"] == state and run_s is not None:
                yield task["index"], run_s


def _run_s(client: Client, job: str, task: Task) -> float | None:
    """The task's own times are those of its attempt where it has had one only; else the last one that ran counts."""
    if task["attempts"] <= 1:
        return between(task["started_at"], task["ended_at"])
    runs = [between(attempt["started_at"], attempt["ended_at"]) for attempt in client.attempts(job, task["index"])]
    return next((run_s for run_s in reversed(runs) if run_s is not None), None)

"""Waiting for a job with a progress bar; Ctrl-C stops the waiting, never the job."""

from __future__ import annotations

from typing import Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from swath.cli.console import err, say, shown
from swath.cli.exits import JOB_EXITS, Exit
from swath.client import Client
from swath.documents import Job

_SHOWN_FAILURES = 5


def wait(client: Client, job_id: str, timeout_s: float | None = None) -> Job:
    """Wait until the job has ended; raises TimeoutError, and typer.Exit(130) after Ctrl-C."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
        console=err(),
        transient=False,
    )
    try:
        with bar:
            row = bar.add_task("waiting", total=None, detail="")

            def show(job: Job) -> None:
                bar.update(row, **_progress(job))

            return client.wait(job_id, on_progress=show, timeout_s=timeout_s)
    except KeyboardInterrupt:
        say(f"job {job_id} runs on: `swath wait {job_id}` follows it, `swath cancel {job_id}` ends it")
        raise typer.Exit(Exit.INTERRUPTED) from None
    except TimeoutError as error:
        raise TimeoutError(f"{error}; it runs on: `swath wait {job_id}` follows it") from None


def _progress(job: Job) -> dict[str, Any]:
    """What the bar shows of a job."""
    counts = job["counts"]
    ended = counts["succeeded"] + counts["failed"] + counts["cancelled"]
    parts = [f"{counts[name]} {word}" for name, word in (("active", "active"), ("failed", "failed")) if counts[name]]  # type: ignore[literal-required]
    waits = job["why"] if job["why"] and not counts["active"] and ended < counts["total"] else None
    detail = ", ".join(parts) if parts or not waits else f"waits: {waits}"
    return {"description": shown(job["name"]), "total": counts["total"], "completed": ended, "detail": shown(detail)}


def finish(client: Client, job: Job, *, quiet: bool = False) -> int:
    """Say how a job ended, with the reasons of its failures; returns the exit code."""
    counts = job["counts"]
    if not quiet:
        say(f"job {job['id']} {job['state'].lower()}: {counts['succeeded']} of {counts['total']} tasks succeeded")
        if counts["failed"]:
            _say_failures(client, job)
    return int(JOB_EXITS.get(job["state"], Exit.FAULT))


def _say_failures(client: Client, job: Job) -> None:
    for task in client.tasks(job["id"], state="FAILED", limit=_SHOWN_FAILURES):
        code = "" if task["exit_code"] is None else f" (exit code {task['exit_code']})"
        say(f"  task {task['index']}: {task['cause'] or 'failed'}{code}: {task['message'] or 'no message'}")
        if task["attempts"]:
            say(f"    swath logs {job['id']} {task['index']} --stderr")
    more = job["counts"]["failed"] - _SHOWN_FAILURES
    if more > 0:
        say(f"  and {more} more: swath tasks {job['id']} --state FAILED")

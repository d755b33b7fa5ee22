"""One task, and every attempt of it."""

from __future__ import annotations

from typing import Any

from swath.cli.console import between, duration, print_fields, print_json, print_table
from swath.client import Client
from swath.documents import Attempt, Task


def show_task(client: Client, job_id: str, index: int, as_json: bool) -> None:
    """Print the task and its attempts, the first one first."""
    task, attempts = client.task(job_id, index), client.attempts(job_id, index)
    if as_json:
        print_json({"task": task, "attempts": attempts})
        return
    print_fields(_task_fields(task))
    columns = (">attempt", "state", "agent", "launched", ">ran", "silent since", "cause", ">exit", "ports", "message")
    print_table(columns, map(_attempt_row, attempts), empty="it has never been launched")


def _task_fields(task: Task) -> list[tuple[str, Any]]:
    return [
        ("job", task["job"]),
        ("task", str(task["index"])),
        ("state", task["state"]),
        ("why", task["why"]),
        ("started", task["started_at"]),
        ("ended", task["ended_at"]),
    ]


def _ending(attempt: Attempt) -> str | None:
    """Why it is being ended; an older service does not say."""
    why = attempt.get("kill_cause")
    return f"{why}, ending" if why and attempt["ended_at"] is None else None


def _attempt_row(attempt: Attempt) -> tuple[Any, ...]:
    return (
        attempt["number"],
        attempt["state"],
        attempt["agent"]["hostname"],
        attempt["launched_at"],
        duration(between(attempt["started_at"], attempt["ended_at"])),
        attempt["unreachable_at"],
        attempt["cause"] or _ending(attempt),
        attempt["exit_code"],
        ", ".join(map(str, attempt.get("ports") or ())) or None,
        attempt["message"] or "",
    )

"""One task, and every attempt of it."""

from __future__ import annotations

from collections.abc import Mapping
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
    columns = (
        ">attempt",
        "state",
        "agent",
        "launched",
        ">ran",
        "silent since",
        "cause",
        ">exit",
        "ports",
        "used",
        "message",
    )
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
        _used(attempt.get("usage") or {}),
        attempt["message"] or "",
    )


def _used(usage: Mapping[str, float]) -> str | None:
    """What was measured; an attempt that was over before anybody looked shows nothing."""
    said = [f"{usage['cpu_s']:.1f} s cpu"] if "cpu_s" in usage else []
    said += [f"{_mib(usage[name])} {word}" for name, word in _AMOUNTS.items() if usage.get(name)]
    return ", ".join(said) or None


_AMOUNTS = {
    **{"max_mem": "peak", "mean_mem": "mean", "read_mib": "read", "written_mib": "written"},
    **{"received_mib": "received", "sent_mib": "sent"},
}


def _mib(mib: float) -> str:
    return f"{mib:.0f} MiB" if mib >= 10 else f"{mib:.1f} MiB"

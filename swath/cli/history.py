"""`swath history`: what became of a job or a task, attempt by attempt, with times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from swath.cli.console import instead, print_json, print_table
from swath.cli.options import AsJson, JobId, open_client, resolve_job
from swath.documents import Attempt, Event


def add_commands(app: typer.Typer) -> None:
    """Add `history`."""
    app.command(rich_help_panel="Jobs")(history)


def history(
    job_id: JobId,
    index: Annotated[int | None, typer.Argument(metavar="[INDEX]", help="Index of one task.", min=0)] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what became of a job, or of one task: launches, agents that fell silent and came back, ends, retries.

    \b
      swath history last 3
    """
    with open_client() as client:
        job = resolve_job(client, job_id)
        found = list(client.events(job, task=index, follow=False))
        attempts = {} if index is None else {entry["id"]: entry for entry in client.attempts(job, index)}
    if as_json:
        print_json(found)
        return
    columns = ("at", ">task", ">attempt", "agent", "what", "why")
    rows = (_row(event, attempts) for event in found)
    print_table(columns, rows, empty="nothing has happened yet, or nothing in the last 30 days")


def _row(event: Event, attempts: Mapping[str, Attempt]) -> tuple[Any, ...]:
    data = event["data"]
    attempt = attempts.get(str(data.get("attempt")))
    number = attempt["number"] if attempt else data.get("attempt")
    agent = attempt["agent"]["hostname"] if attempt else data.get("agent")
    return (event["at"], data.get("task"), number, agent, _what(event["kind"], data), _why(data))


def _what(kind: str, data: Mapping[str, Any]) -> str:
    """What happened, in a word or two."""
    if kind == "attempt.returned":
        return f"came back {data.get('observation')}; it is killed, for it was replaced"
    if kind == "attempt.ended_late":
        return f"ended {data.get('observation')} after it was replaced"
    if kind == "task.state" and data.get("state") == "ACTIVE":
        return "launched"
    if kind == "task.state" and data.get("attempt_state"):
        return f"{data['attempt_state']}; the task is {data['state']}"
    if kind == "attempt.preempted":
        return f"to end for job {data.get('for')}"
    if kind == "job.asks":
        return "what its tasks ask for changes"
    if kind == "attempt.state":
        return str(data.get("state"))
    if data.get("tasks"):
        return f"{data['tasks']} that never ran: {data.get('state')}"
    return f"the {kind.partition('.')[0]} is {data.get('state')}"


def _why(data: Mapping[str, Any]) -> str:
    if "asked" in data:
        return instead(data, data["asked"]) or "as the user said"
    code = data.get("exit_code")
    parts: Iterable[Any] = (data.get("cause"), None if code is None else f"exit {code}", data.get("message"))
    said = ": ".join(str(part) for part in parts if part)
    return "; ".join(part for part in (said, _further(data)) if part)


def _further(data: Mapping[str, Any]) -> str:
    """Why there is no further attempt, or what the next one asks for."""
    asks = data.get("asks") or {}
    if not asks:
        return f"not tried again: {data['why']}" if data.get("why") else ""
    words = {"mem": "memory"}
    return "asks for " + " and ".join(f"{value} MiB {words.get(name, name)}" for name, value in asks.items()) + " next"

"""`swath submit --file` with several documents, which may wait for each other by their names."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import typer

from swath.cli.console import print_json, say
from swath.cli.waiting import finish, wait
from swath.client import Client
from swath.documents import Job
from swath.domain.errors import InvalidInputError


def find_batch(document: Any) -> list[Any] | None:
    """The job documents of a file that holds several: a list of them, or {"jobs": [...]}; None for a single one."""
    if isinstance(document, Mapping) and "jobs" in document and "image" not in document:
        document = document["jobs"]
    if not isinstance(document, list):
        return None
    if not document or not all(isinstance(entry, Mapping) for entry in document):
        raise InvalidInputError.at("/jobs", "must be a list of job documents")
    return document


def submit_batch(
    client: Client,
    documents: list[Any],
    options: Mapping[str, Any],
    key: str | None,
    *,
    wait_too: bool,
    timeout_s: float | None,
    as_json: bool,
) -> None:
    """Submit them, all or none; ids in the order of the file, one a line. Waiting ends with the worst job's exit code."""
    if options:
        raise typer.BadParameter(f"several documents take no {', '.join(options)} beside them", param_hint="--file")
    jobs = client.submit_together(documents, idempotency_key=key)
    if not wait_too:
        _print(jobs, as_json)
        return
    ended = [wait(client, job["id"], timeout_s) for job in jobs]
    if as_json:
        print_json(ended)
    raise typer.Exit(max(finish(client, job) for job in ended))


def _print(jobs: list[Job], as_json: bool) -> None:
    if as_json:
        print_json(jobs)
        return
    for job in jobs:
        sys.stdout.write(job["id"] + "\n")
        if sys.stdout.isatty():
            say(f"  {job['name']}: {job['counts']['total']} tasks")

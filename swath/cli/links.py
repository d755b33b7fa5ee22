"""Jobs after others: as options say it, and as `swath show` does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from swath.cli.options import resolve_job
from swath.client import Client
from swath.documents import Job, Link

_WAYS: tuple[dict[str, Any], ...] = ({}, {"condition": "ended"}, {"elementwise": True})


def to_after(client: Client, *options: list[str] | None) -> list[dict[str, Any]]:
    """The document's `after` of --after, --after-end and --after-each."""
    return [
        {"job": resolve_job(client, job_id), **way}
        for job_ids, way in zip(options, _WAYS, strict=True)
        for job_id in job_ids or ()
    ]


def link_fields(job: Job) -> list[tuple[str, Any]]:
    """The rows of `swath show` on the jobs before and after."""
    return [("after", _list(job.get("after") or (), told=True)), ("before", _list(job.get("before") or (), told=False))]


def _list(links: Iterable[Link], *, told: bool) -> str | None:
    return "; ".join(_name(link, told=told) for link in links) or None


def _name(link: Link, *, told: bool) -> str:
    counts = link["counts"]
    each = ", task by task" if link["elementwise"] else ""
    wanted = f", once {'it has' if not each else 'those have'} {link['condition']}" if told else ""
    return f"{link['name']} ({link['job']}, {link['state']}, {counts['succeeded']} of {counts['total']}{wanted}{each})"

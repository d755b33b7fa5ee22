"""`swath why`, and what `swath submit --dry-run` prints."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer

from swath.cli.console import duration, print_json, tell
from swath.cli.options import AsJson, JobId, open_client, resolve_job
from swath.documents import Explanation

_BLOCKERS = 12  # lines


def why(
    job_id: JobId,
    index: Annotated[int | None, typer.Argument(metavar="[INDEX]", help="Index of one task.", min=0)] = None,
    as_json: AsJson = False,
) -> None:
    """Say why a job waits, in numbers, and when it may start; or in one sentence why one of its tasks does.

    \b
      swath why last
      swath why last 3
    """
    with open_client() as client:
        job = resolve_job(client, job_id)
        if index is not None:
            task = client.task(job, index)
            if as_json:
                print_json({"state": task["state"], "why": task["why"]})
            else:
                tell(task["why"] or f"it does not wait: it is {task['state']}")
            return
        found = client.explain(job)
    if as_json:
        print_json(found)
    else:
        tell("\n".join(to_lines(found)))


def to_lines(found: Explanation) -> Iterator[str]:
    """An explanation as people read it."""
    if found["why"] is None and not found["waiting"]:
        yield f"it does not wait: it is {found['state']}"
        return
    yield found["why"] or "it would start now"
    for blocker in found["blockers"][:_BLOCKERS]:
        yield f"  {blocker['agents']} agent{'' if blocker['agents'] == 1 else 's'}: {blocker['why']}"
    yield from (f"  {limit}" for limit in found["limits"])
    project, position = found["project"], found["position"]
    if project is not None:
        held, due = round(100 * project["share"], 1), round(100 * project["fair_share"], 1)
        yield f"  project {project['name']} holds {held:g} % of the cluster; {due:g} % are its fair share"
    if position is not None and position["of"] > 1:
        yield f"  place {position['place']} of {position['of']} jobs that wait"
    if found["waiting"]:
        yield f"  {_tell_start(found)}"


def _tell_start(found: Explanation) -> str:
    """When the waiting tasks may start."""
    estimate = found["estimate"]
    tasks = f"{found['waiting']:,} task{'' if found['waiting'] == 1 else 's'}"
    blind = _tell_unforeseen(found.get("unforeseen") or 0)
    if estimate is None:
        return f"{tasks} waiting; no start is in sight{blind}"
    first = _tell_time(estimate["first_start_s"], estimate["first_start"])
    if found["waiting"] == 1:
        return f"it may start {first}"
    if estimate["last_start"] is None or estimate["last_start_s"] is None:
        return f"{tasks} waiting: the first may start {first}, the last later than can be told{blind}"
    last = _tell_time(estimate["last_start_s"], estimate["last_start"])
    return f"{tasks} waiting: the first may start {first}, the last {last}"


def _tell_unforeseen(jobs: int) -> str:
    """What is missing for an estimate, and what would mend it."""
    of = "one open job" if jobs == 1 else f"{jobs} open jobs"
    words = f": nobody knows yet how long tasks of {of} take (`swath submit --expected` says it)"
    return words if jobs else ""


def _tell_time(seconds: float, at: str) -> str:
    if seconds < 1:
        return "now"
    there = datetime.fromisoformat(at).astimezone()
    day = "" if there.date() == datetime.now(UTC).astimezone().date() else f"{there:%d %b} "
    return f"in {duration(seconds)}, at {day}{there:%H:%M}"

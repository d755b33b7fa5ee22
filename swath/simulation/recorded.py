"""Our own jobs as a trace: JSON lines, one a job and one a task that has run, as `swath trace export` writes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from statistics import median
from typing import Any

from swath.domain.errors import InvalidInputError, UserError
from swath.domain.jobs import INTERACTIVE, JobSpec
from swath.domain.resources import Resources
from swath.domain.strict_json import read_strictly
from swath.simulation.model import MOST_TASKS, Trace, TraceJob

FORMAT = "swath-trace"
VERSION = 1
LONGEST_LINE = 1_000_000
LONGEST_S = 10 * 366 * 86_400.0
MOST_JOBS = 1_000_000
# Of the document that was submitted, what the matcher looks at.
_SPEC = ("image", "project", "priority", "class", "preemptible", "max_running", "expected_s", "constraints", "prefer")


def to_lines(jobs: Iterable[tuple[Mapping[str, Any], Iterable[tuple[int, float]]]]) -> Iterator[dict[str, Any]]:
    """The documents of a trace's lines; `jobs` are the API's, each with (index, seconds that it ran) of its tasks."""
    yield {"format": FORMAT, "version": VERSION}
    for job, runs in jobs:
        spec = {name: job["spec"][name] for name in _SPEC if job["spec"].get(name) is not None}
        kept = ("user", "submitted_at", "resources", "project", "image", "priority")
        yield {"job": job["id"], **{name: job[name] for name in kept}, "spec": spec}
        yield from ({"task": index, "of": job["id"], "run_s": run_s} for index, run_s in runs)


def read_recorded(lines: Iterable[bytes], name: str = "recorded") -> Trace:
    """The trace of JSON lines; raises InvalidInputError for the first line that is none, naming it."""
    jobs: dict[str, Mapping[str, Any]] = {}
    runs: dict[str, dict[int, float]] = {}
    for number, document in _documents(lines):
        if "job" in document:
            _take_job(number, document, jobs)
        else:
            _take_task(number, document, jobs, runs)
    return _to_trace(name, jobs, runs)


def _documents(lines: Iterable[bytes]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    count = 0
    for number, line in enumerate(lines, start=1):
        if len(line) > LONGEST_LINE:
            raise _at(number, f"it is longer than {LONGEST_LINE:,} bytes")
        if not line.strip():
            continue
        count += 1
        document = _read(number, line)
        if count == 1:
            _check_format(number, document)
        elif count > MOST_JOBS + MOST_TASKS:
            raise _at(number, "the trace has too many lines")
        else:
            yield number, document
    if not count:
        raise _at(1, "the file is empty")


def _read(number: int, line: bytes) -> Mapping[str, Any]:
    try:
        document = read_strictly(line)
    except ValueError as error:
        raise _at(number, f"it is no JSON: {error}") from None
    if not isinstance(document, Mapping):
        raise _at(number, "it is no JSON object")
    return document


def _check_format(number: int, document: Mapping[str, Any]) -> None:
    if document.get("format") != FORMAT:
        raise _at(number, f'a trace begins with {{"format": "{FORMAT}", "version": {VERSION}}}')
    if document.get("version") != VERSION:
        raise _at(number, f"version {document.get('version')!r} of the format is not known, {VERSION} is")


def _take_job(number: int, document: Mapping[str, Any], jobs: dict[str, Mapping[str, Any]]) -> None:
    job = document["job"]
    if not isinstance(job, str) or job in jobs:
        raise _at(number, "the job's id must be a text that no other job has")
    jobs[job] = {**document, "number": number}


def _take_task(
    number: int, document: Mapping[str, Any], jobs: Mapping[str, Any], runs: dict[str, dict[int, float]]
) -> None:
    job, index, run_s = document.get("of"), document.get("task"), document.get("run_s")
    if not isinstance(job, str) or job not in jobs:
        raise _at(number, "it is neither a job nor a task of a job that stands before it")
    if not isinstance(index, int) or isinstance(index, bool) or index < 0 or index in runs.get(job, {}):
        raise _at(number, "a task's index must be a whole number that no other task of the job has")
    if not isinstance(run_s, int | float) or isinstance(run_s, bool) or not 0 <= run_s <= LONGEST_S:
        raise _at(number, f"run_s must be seconds, 0 to {LONGEST_S:.0f}")
    runs.setdefault(job, {})[index] = float(run_s)


def _to_trace(name: str, jobs: Mapping[str, Mapping[str, Any]], runs: Mapping[str, Mapping[int, float]]) -> Trace:
    skipped: Counter[str] = Counter()
    found: list[tuple[datetime, Mapping[str, Any]]] = []
    for job, document in jobs.items():
        if job not in runs:
            skipped["none of their tasks has ended"] += 1
        else:
            found.append((_to_time(document), document))
    begin = min((moment for moment, _ in found), default=None)
    notes = tuple(f"{count:,} jobs left out: {why}" for why, count in skipped.items())
    made = [
        _to_job(document, (moment - begin).total_seconds(), runs[document["job"]])
        for moment, document in found
        if begin is not None
    ]
    return Trace(name=name, jobs=tuple(sorted(made, key=lambda job: job.submitted_s)), notes=notes)


def _to_time(document: Mapping[str, Any]) -> datetime:
    try:
        moment = datetime.fromisoformat(document["submitted_at"])
    except (KeyError, TypeError, ValueError):
        raise _at(document["number"], "submitted_at must be a time like 2026-01-01T00:00:00Z") from None
    if moment.tzinfo is None:
        raise _at(document["number"], "submitted_at must name its zone, like 2026-01-01T00:00:00Z")
    return moment


def _to_job(document: Mapping[str, Any], submitted_s: float, runs: Mapping[int, float]) -> TraceJob:
    """The job; raises InvalidInputError, naming its line, for fields of another kind."""
    try:
        spec = JobSpec.from_document({"image": document.get("image", ""), **(document.get("spec") or {})})
        resources = Resources.from_document(document.get("resources") or {})
        return TraceJob(
            id=document["job"],
            submitted_s=submitted_s,
            runs_s=tuple(runs[index] for index in sorted(runs)),
            resources=resources,
            project=str(document.get("project") or spec.project),
            user=str(document.get("user") or ""),
            image=str(document.get("image") or ""),
            priority=spec.priority,
            max_running=spec.max_running,
            interactive=spec.job_class == INTERACTIVE,
            preemptible=spec.preemptible,
            expected_s=median(runs.values()) if spec.expected_s is None else spec.expected_s,
            constraints=spec.constraints,
            prefer=spec.prefer,
        )
    except (UserError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _at(document["number"], f"the job is malformed: {error}") from None


def _at(number: int, complaint: str) -> InvalidInputError:
    return InvalidInputError.at(f"/{number}", f"line {number}: {complaint}")

"""The Standard Workload Format of the Parallel Workloads Archive: 18 numbers a line, -1 for what nobody knows.

https://www.cs.huji.ac.il/labs/parallel/workload/swf.html (Chapin and others 1999).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from swath.domain.errors import InvalidInputError
from swath.domain.resources import MOST, Resources
from swath.simulation.model import MOST_TASKS, Cluster, Trace, TraceAgent, TraceJob

FIELDS = 18
LONGEST_LINE = 10_000
MOST_HEADERS = 10_000
LONGEST_S = 10 * 366 * 86_400.0  # of a run or of a trace: ten years
_NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d{0,18})?", re.ASCII)
_HEADER = re.compile(r"\s*;+\s*([A-Za-z][\w -]{0,60}?)\s*:\s*(.*)", re.ASCII)


class Field(IntEnum):
    """Where a number stands in its line, from 0."""

    JOB = 0
    SUBMITTED = 1  # seconds since the log began
    WAITED = 2
    RUN = 3  # seconds
    PROCESSORS = 4
    CPU_SECONDS = 5
    MEMORY = 6  # used, KB a processor
    ASKED_PROCESSORS = 7
    ASKED_SECONDS = 8
    ASKED_MEMORY = 9  # KB a processor
    STATUS = 10
    USER = 11
    GROUP = 12
    EXECUTABLE = 13
    QUEUE = 14
    PARTITION = 15


# "2 = partial execution that is continued, 3 and 4 = the last one": the job has a line of its own besides.
_PARTIAL = (2, 3, 4)
PROJECTS = {"user": Field.USER, "group": Field.GROUP, "queue": Field.QUEUE, "partition": Field.PARTITION}


@dataclass(frozen=True, kw_only=True, slots=True)
class SwfOptions:
    """How a log of parallel jobs becomes jobs of independent tasks."""

    project: str = "group"  # one of PROJECTS; the user where that is unknown
    most_cpus: float = 1.0  # of one task: a job on more processors becomes several tasks
    memory: int = 0  # MiB a processor, where the log has none
    most_jobs: int | None = None  # the first so many are taken


def read_header(lines: Iterable[bytes]) -> Cluster | None:
    """The cluster of the log's header, which ends with the first job; None where nodes and processors are not in it."""
    header: dict[str, str] = {}
    for line in lines:
        text = line[:LONGEST_LINE].decode("utf-8", "replace").strip()
        if text and not text.startswith(";"):
            break
        _note_header(header, text)
    return _to_cluster(header)


def read_swf(lines: Iterable[bytes], options: SwfOptions, name: str = "swf") -> Trace:
    """The trace of a log.

    Raises InvalidInputError for the first line that is none, naming it; what was left out is in the trace's notes.
    """
    header: dict[str, str] = {}
    skipped: Counter[str] = Counter()
    jobs: list[TraceJob] = []
    tasks = 0
    for number, values in _rows(lines, header):
        job = _to_job(values, options, number)
        if isinstance(job, str):
            skipped[job] += 1
            continue
        tasks += len(job.runs_s)
        if tasks > MOST_TASKS:
            raise _at(number, f"the trace has more than {MOST_TASKS:,} tasks; take its first jobs only")
        jobs.append(job)
        if options.most_jobs is not None and len(jobs) >= options.most_jobs:
            break
    notes = [f"{count:,} jobs left out: {why}" for why, count in skipped.items()]
    return Trace(name=header.get("Computer", name), jobs=tuple(_sorted(jobs)), notes=tuple(notes))


def _rows(lines: Iterable[bytes], header: dict[str, str]) -> Iterator[tuple[int, list[float]]]:
    """(line, its 18 numbers); comments of the form "; Name: value" are put into `header`."""
    for number, line in enumerate(lines, start=1):
        if len(line) > LONGEST_LINE:
            raise _at(number, f"it is longer than {LONGEST_LINE:,} characters")
        text = line.decode("utf-8", "replace").strip()
        if text.startswith(";"):
            _note_header(header, text)
        elif text:
            yield number, _to_numbers(number, text)


def _note_header(header: dict[str, str], text: str) -> None:
    found = _HEADER.fullmatch(text)
    if found and len(header) < MOST_HEADERS:
        header.setdefault(found[1], found[2].strip())


def _to_numbers(number: int, text: str) -> list[float]:
    words = text.split()
    if len(words) != FIELDS:
        raise _at(number, f"a job has {FIELDS} numbers, this line has {len(words)}")
    for place, word in enumerate(words, start=1):
        if not _NUMBER.fullmatch(word):
            raise _at(number, f"field {place} must be a number, is {word[:40]!r}")
    return [float(word) for word in words]


def _to_job(values: list[float], options: SwfOptions, number: int) -> TraceJob | str:
    """The job of a line, or why it is left out."""
    processors = _first_known(values[Field.PROCESSORS], values[Field.ASKED_PROCESSORS])
    submitted_s, run_s = values[Field.SUBMITTED], values[Field.RUN]
    if values[Field.STATUS] in _PARTIAL:
        return "parts of jobs that have a line of their own"
    if processors is None or run_s <= 0:
        return "they never ran, or nobody knows for how long or on how many processors"
    if submitted_s < 0:
        raise _at(number, "the time of the submission is below 0")
    if max(submitted_s, run_s) > LONGEST_S or processors > MOST["cpus"]:
        raise _at(number, "a time of more than ten years, or an absurd number of processors")
    asked_s = values[Field.ASKED_SECONDS]
    return TraceJob(
        id=f"{values[Field.JOB]:.0f}@{number}",  # a log may have an id twice, and a line only once
        submitted_s=submitted_s,
        runs_s=(run_s,) * _count_tasks(processors, options.most_cpus),
        resources=_to_resources(values, processors, options, number),
        project=_to_project(values, options),
        user=_named("user", values[Field.USER]),
        image=_named("app", values[Field.EXECUTABLE]),
        expected_s=min(asked_s, LONGEST_S) if asked_s > 0 else None,
    )


def _first_known(*values: float) -> float | None:
    return next((value for value in values if value > 0), None)


def _count_tasks(processors: float, most_cpus: float) -> int:
    return max(1, -int(-processors // most_cpus))


def _to_resources(values: list[float], processors: float, options: SwfOptions, number: int) -> Resources:
    """Of one task: its part of the processors, and the memory of as many."""
    cpus = processors / _count_tasks(processors, options.most_cpus)
    known = _first_known(values[Field.ASKED_MEMORY], values[Field.MEMORY])
    mem = round(cpus * (options.memory if known is None else known / 1024))
    if mem > MOST["mem"]:
        raise _at(number, f"{mem / 1024:,.0f} GiB memory in one task")
    return Resources(cpus_m=round(cpus * 1000), mem=mem)


def _to_project(values: list[float], options: SwfOptions) -> str:
    value = values[PROJECTS[options.project]]
    return _named(options.project, value) if value >= 0 else _named("user", values[Field.USER])


def _named(kind: str, value: float) -> str:
    return f"{kind}{value:.0f}" if value >= 0 else "unknown"


def _sorted(jobs: list[TraceJob]) -> list[TraceJob]:
    """In the order of submission; a log may be in another."""
    return sorted(jobs, key=lambda job: job.submitted_s)


def _to_cluster(header: dict[str, str]) -> Cluster | None:
    """As many agents as the header has nodes; None where it does not tell."""
    nodes, processors = (_leading_number(header.get(name, "")) for name in ("MaxNodes", "MaxProcs"))
    if not nodes or not processors or nodes > processors or nodes > 100_000 or processors > MOST["cpus"]:
        return None
    memory = _leading_number(header.get("MaxMemory", ""), digits=15) // 1024  # "in kilobytes"
    mem = min(memory or MOST["mem"], MOST["mem"])  # not a limit where the log does not tell
    each = Resources(cpus_m=round(processors / nodes * 1000), mem=mem)
    agents = tuple(TraceAgent(id=f"node-{index}", total=each) for index in range(nodes))
    return Cluster(name=f"{header.get('Computer', 'log')}: {nodes} x {processors / nodes:g} cpus", agents=agents)


def _leading_number(text: str, digits: int = 9) -> int:
    found = re.match(rf"\d{{1,{digits}}}", text, re.ASCII)
    return int(found[0]) if found else 0


def _at(number: int, complaint: str) -> InvalidInputError:
    return InvalidInputError.at(f"/{number}", f"line {number}: {complaint}")

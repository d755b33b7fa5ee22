"""An invented workload: projects of unlike appetite, arrays of tasks, run times with a long tail; all from one seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from statistics import NormalDist
from typing import Any

import numpy as np

from swath.domain.errors import InvalidInputError, Problem
from swath.domain.jobs import DEFAULT_PRIORITY
from swath.domain.resources import Resources
from swath.simulation.model import MOST_TASKS, Trace, TraceJob

_RUNS = NormalDist()


@dataclass(frozen=True, kw_only=True, slots=True)
class Synthetic:
    """What to invent. Means are means of the population, not of the sample."""

    jobs: int = 200
    tasks: float = 20.0  # of a job, on average; the numbers are geometric
    projects: int = 4  # the second submits half as much as the first, the third a third
    users: int = 3  # of each project
    hours: float = 1.0  # over which jobs are submitted, at random times
    run: float = 120.0  # seconds, the median of a task's run time; log-normal
    spread: float = 0.6  # of the logarithm of run times
    cpus: float = 1.0  # of most tasks; a fifth has twice, a twentieth four times as many
    memory: float = 2.0  # GiB a cpu
    interactive: float = 0.0  # part of the jobs: one task of a tenth of the run time each
    large: float = 0.0  # part of the jobs: few tasks that need `large_cpus`
    large_cpus: float = 16.0
    late: float = 0.0  # part of the span during which only the first project submits

    @classmethod
    def from_words(cls, words: Mapping[str, str]) -> Synthetic:
        """Of name and number in words; raises InvalidInputError for what is no parameter or out of range."""
        problems = [
            Problem(f"/{name}", f"is not known; known are {', '.join(_CASTS)}") for name in words if name not in _CASTS
        ]
        known = {name: _to_number(name, word, problems) for name, word in words.items() if name in _CASTS}
        if problems:
            raise InvalidInputError(problems)
        return cls(**known)


_CASTS: dict[str, Callable[[float], Any]] = {
    field.name: int if field.name in ("jobs", "projects", "users") else float for field in fields(Synthetic)
}
_PARTS = ("interactive", "large", "late")
_LARGEST = {"jobs": 1e6, "tasks": 1e6, "projects": 1e4, "users": 1e4, "hours": 8784.0, "run": 1e7, "spread": 5.0}


def _to_number(name: str, word: str, problems: list[Problem]) -> Any:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    least = 0.0 if name in (*_PARTS, "spread", "memory") else 1 if _CASTS[name] is int or name == "tasks" else 0.001
    most = 1.0 if name in _PARTS else _LARGEST.get(name, 1e5)
    if not least <= value <= most or _CASTS[name](value) != value:
        kind = "a whole number" if _CASTS[name] is int else "a number"
        problems.append(Problem(f"/{name}", f"must be {kind} from {least:g} to {most:g}, is {word[:40]!r}"))
    return value if math.isnan(value) else _CASTS[name](value)


def make_trace(wanted: Synthetic, seed: int) -> Trace:
    """The workload of this seed; the same on every machine. Raises InvalidInputError for more tasks than are taken."""
    if wanted.jobs * wanted.tasks > MOST_TASKS:
        raise InvalidInputError.at("/synthetic", f"jobs times tasks may be {MOST_TASKS:,} at most")
    draw = np.random.default_rng(seed)
    jobs = [_make_job(wanted, draw, number) for number in range(wanted.jobs)]
    jobs.sort(key=lambda job: job.submitted_s)
    return Trace(name=f"synthetic, seed {seed}", jobs=tuple(jobs))


def _make_job(wanted: Synthetic, draw: np.random.Generator, number: int) -> TraceJob:
    """Only the generator's uniform numbers are used: their sequence is promised to stay, its distributions' is not."""
    u = draw.random(8)
    project = _choose_project(wanted, u[0])
    begin = 0.0 if project == 0 else wanted.late
    interactive, large = u[1] < wanted.interactive, u[2] < wanted.large
    size = 1 if interactive else _geometric(max(1.0, wanted.tasks / 10) if large else wanted.tasks, u[3])
    scale = wanted.run / (10 if interactive else 1)
    cpus = (
        wanted.large_cpus
        if large and not interactive
        else wanted.cpus * (4 if u[4] < 0.05 else 2 if u[4] < 0.25 else 1)
    )
    return TraceJob(
        id=f"job-{number:05d}",
        submitted_s=round(float(begin + (1 - begin) * u[5]) * wanted.hours * 3600, 3),
        runs_s=tuple(_run_time(scale, wanted.spread, v) for v in draw.random(size).tolist()),
        resources=Resources(cpus_m=round(cpus * 1000), mem=round(cpus * wanted.memory * 1024)),
        project=f"project-{project + 1}",
        user=f"user-{project + 1}-{int(u[6] * wanted.users) + 1}",
        image=f"image-{int(u[7] * 10)}",
        priority=DEFAULT_PRIORITY,
        interactive=bool(interactive),
        preemptible=not interactive,
        expected_s=round(scale * math.exp(wanted.spread**2 / 2), 3),
    )


def _choose_project(wanted: Synthetic, u: float) -> int:
    """By Zipf's law."""
    weights = np.cumsum(1 / np.arange(1, wanted.projects + 1))
    return int(np.searchsorted(weights, u * weights[-1], side="right"))


def _geometric(mean: float, u: float) -> int:
    """1 and more, by inversion."""
    return 1 if mean <= 1 else 1 + int(math.log(1 - u) / math.log(1 - 1 / mean))


def _run_time(median: float, spread: float, u: float) -> float:
    return round(median * math.exp(spread * _RUNS.inv_cdf(min(max(u, 1e-12), 1 - 1e-12))), 3)

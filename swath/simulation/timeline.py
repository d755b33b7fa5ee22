"""A history over time: what each project holds and how much of it waits, as means over equal spans of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from swath.simulation.history import Bools, Floats, History, Ints
from swath.simulation.waits import make_waits

SPANS = 400
_NOTHING = 1e-6  # tasks; differences of sums are not exactly 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """Means over spans of time; every array's last axis is the span."""

    edges: Floats  # seconds since the trace began; one more than there are spans
    projects: tuple[str, ...]
    resources: tuple[str, ...]  # that the cluster has and the trace asks for
    used: Floats  # [project, resource, span]: part of the cluster, 0 to 1
    running: Floats  # [project, span]: tasks
    waiting: Floats  # [project, span]: tasks
    weights: Floats  # [project]

    @property
    def shares(self) -> Floats:
        """[project, span]: the largest part that the project holds of any resource, its dominant share."""
        return np.asarray(self.used.max(axis=1, initial=0.0), dtype=np.float64)

    @property
    def contended(self) -> Bools:
        """[span]: some task waits all the time, or several do in turn."""
        return np.asarray(self.waiting.sum(axis=0) >= 1.0, dtype=np.bool_)

    @property
    def fairness(self) -> Floats:
        """[span]: Jain's index of the dominant shares by weight, 1/n to 1; NaN where there is nothing to divide.

        (sum x)^2 / (n sum x^2), Jain, Chiu and Hawe 1984. It counts projects that wait, and those that hold more than their
        part while others wait: who wants little is not treated badly for having little.
        """
        counted = self._count()
        x = np.where(counted, self.shares / self.weights[:, None], 0.0)
        n, squares = counted.sum(axis=0), (x**2).sum(axis=0)
        divided = self.contended & (n >= 2) & (squares > 0)
        index = np.full(len(self.edges) - 1, np.nan)
        index[divided] = x.sum(axis=0)[divided] ** 2 / (n[divided] * squares[divided])
        return index

    def _count(self) -> Bools:
        """[project, span]: the projects among which there is something to divide."""
        present = (self.running + self.waiting) > _NOTHING
        weights = np.where(present, self.weights[:, None], 0.0)
        parts = weights / np.maximum(weights.sum(axis=0), 1e-12)
        return np.asarray((self.waiting >= 1.0) | (present & (self.shares > parts)), dtype=np.bool_)


def make_timeline(history: History, spans: int = SPANS, weights: Mapping[str, float] | None = None) -> Timeline:
    """The history in `spans` equal spans from the first submission to the end; `weights` of projects, 1 where not given."""
    projects = history.projects
    resources = _resources(history)
    edges = np.linspace(_first_s(history), max(history.ended_s, _first_s(history) + 1e-9), spans + 1)
    capacity = np.array([history.cluster.capacity[name] for name in resources], dtype=np.float64)
    parts = history.needs(resources) / capacity  # of the cluster, that one task of each job holds
    attempts, job_projects = history.attempts, history.job_projects
    used = np.zeros((len(projects), len(resources), spans))
    running = np.zeros((len(projects), spans))
    for project, rows in _groups(job_projects[attempts.job], len(projects)):
        begun, ended = attempts.launched[rows], attempts.ended[rows]
        running[project] = _mean_of(begun, ended, np.ones(len(rows)), edges)
        for column in range(len(resources)):
            used[project, column] = _mean_of(begun, ended, parts[attempts.job[rows], column], edges)
    given = weights or {}
    return Timeline(
        edges=edges,
        projects=tuple(projects),
        resources=resources,
        used=used,
        running=running,
        waiting=_waiting(history, edges),
        weights=np.array([given.get(name, 1.0) for name in projects], dtype=np.float64),
    )


def _first_s(history: History) -> float:
    return min((job.submitted_s for job in history.trace.jobs), default=0.0)


def _resources(history: History) -> tuple[str, ...]:
    asked = {name for job in history.trace.jobs for name in job.resources.amounts()}
    return tuple(name for name in history.cluster.capacity if name in asked)


def _groups(keys: Ints, count: int) -> Iterator[tuple[int, Ints]]:
    """(key, the rows that have it) for 0 to `count` - 1."""
    order = np.argsort(keys, kind="stable")
    bounds = np.searchsorted(keys[order], np.arange(count + 1))
    for key in range(count):
        yield key, order[bounds[key] : bounds[key + 1]]


def _waiting(history: History, edges: Floats) -> Floats:
    waits = make_waits(history)
    waiting = np.zeros((len(history.projects), len(edges) - 1))
    for project, rows in _groups(history.job_projects[waits.job], len(history.projects)):
        waiting[project] = _mean_of(waits.begun[rows], waits.ended[rows], np.ones(len(rows)), edges)
    return waiting


def _mean_of(begun: Floats, ended: Floats, amount: Floats, edges: Floats) -> Floats:
    """The mean in each span of the sum of all `amount` that last from `begun` to `ended`; exact, not sampled."""
    moments, changes = np.concatenate([begun, ended]), np.concatenate([amount, -amount])
    order = np.argsort(moments, kind="stable")
    moments, changes = moments[order] - edges[0], changes[order]
    level = np.concatenate([[0.0], np.cumsum(changes)])
    moment = np.concatenate([[0.0], np.cumsum(changes * moments)])
    at = edges - edges[0]
    rank = np.searchsorted(moments, at, side="right")
    area = at * level[rank] - moment[rank]  # under the sum, up to each edge
    return np.asarray(np.maximum(np.diff(area) / np.diff(edges), 0.0), dtype=np.float64)

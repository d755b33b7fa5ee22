"""Who holds what now, and held lately: the books from which the fair order is made."""

from __future__ import annotations

from collections.abc import Mapping

from swath.domain.resources import Resources
from swath.simulation.model import TraceJob


class Ledger:
    """What projects and their users hold, and each project's decayed dominant share."""

    def __init__(self, capacity: Mapping[str, int], half_life_s: float) -> None:
        self._capacity = capacity
        self._half_life_s = half_life_s
        self._held: dict[tuple[str, str], tuple[Resources, int]] = {}
        self._of_project: dict[str, Resources] = {}
        self._past: dict[str, tuple[float, float]] = {}  # project -> (decayed share, when that was so)

    def add(self, job: TraceJob, now: float) -> None:
        """A task of the job holds its resources from now on."""
        self._change(job, now, 1)

    def remove(self, job: TraceJob, now: float) -> None:
        """It holds them no longer."""
        self._change(job, now, -1)

    def held(self) -> dict[tuple[str, str], tuple[Resources, int]]:
        """(resources, tasks) by (project, user)."""
        return self._held

    def share(self, project: str) -> float:
        """The largest part that the project holds of any resource: its dominant share."""
        amounts = self._of_project.get(project, Resources()).amounts()
        return max((amount / self._capacity[name] for name, amount in amounts.items()), default=0.0)

    def past(self, now: float) -> dict[str, float]:
        """Each project's dominant share in the past, 0 to 1: a moment counts half as much a half-life later."""
        return {project: self._decayed(project, now) for project in self._past}

    def _decayed(self, project: str, now: float) -> float:
        """The share has been what it is since it was last written down."""
        value, since = self._past.get(project, (0.0, now))
        kept: float = 2.0 ** (-(now - since) / self._half_life_s)
        return value * kept + self.share(project) * (1.0 - kept)

    def _change(self, job: TraceJob, now: float, sign: int) -> None:
        self._past[job.project] = (self._decayed(job.project, now), now)
        change = job.resources.scaled(sign)
        resources, tasks = self._held.get((job.project, job.user), (Resources(), 0))
        self._held[job.project, job.user] = (resources + change, tasks + sign)
        self._of_project[job.project] = self._of_project.get(job.project, Resources()) + change

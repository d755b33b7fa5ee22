"""Who holds what now, and held lately: the books from which the fair order is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from swath.domain.resources import Resources
from swath.domain.shares import Past, dominant_share
from swath.simulation.model import TraceJob


@dataclass(slots=True)
class Held:
    """What somebody holds."""

    resources: Resources = field(default_factory=Resources)
    tasks: int = 0

    def change(self, resources: Resources, sign: int) -> None:
        """One task more, or one less."""
        self.resources += resources.scaled(sign)
        self.tasks += sign


class Ledger:
    """What projects and their users hold, and each project's decayed dominant share."""

    def __init__(self, capacity: Resources, half_life_s: float) -> None:
        self.held: dict[tuple[str, str], Held] = {}  # by (project, user)
        self._capacity = capacity
        self._half_life_s = half_life_s
        self._projects: dict[str, Held] = {}
        self._past: dict[str, Past] = {}

    def add(self, job: TraceJob, now: datetime) -> None:
        """A task of the job holds its resources from now on."""
        self._change(job, now, 1)

    def remove(self, job: TraceJob, now: datetime) -> None:
        """It holds them no longer."""
        self._change(job, now, -1)

    def past(self, now: datetime) -> dict[str, float]:
        """What every project that has held something held lately, 0 to 1."""
        return {project: past.value_at(now) for project, past in self._past.items()}

    def _change(self, job: TraceJob, now: datetime, sign: int) -> None:
        self.held.setdefault((job.project, job.user), Held()).change(job.resources, sign)
        held = self._projects.setdefault(job.project, Held())
        held.change(job.resources, sign)
        before = self._past.get(job.project)
        self._past[job.project] = Past(
            value=0.0 if before is None else before.value_at(now),
            share=dominant_share(held.resources, self._capacity),
            at=now,
            half_life_s=self._half_life_s,
        )

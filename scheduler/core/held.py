"""What each user of each project holds: kept with every attempt that comes or goes, so that nobody has to count."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from swath.domain.resources import Resources
from swath.store.rows import JobRecord, Owner

Key = TypeVar("Key")

NOBODY = Owner(project="", user="", image="")  # of an attempt whose job nobody knows: it is counted all the same


@dataclass(slots=True)
class Held:
    """What the live attempts of one user in one project hold."""

    resources: Resources = field(default_factory=Resources)  # executors aside
    tasks: int = 0


def owner_of(job: JobRecord) -> Owner:
    """Whose the attempts of the job are."""
    return Owner(project=job.project, user=job.user, image=f"{job.image.name}:{job.image.version}")


@dataclass(slots=True)
class Tally:
    """Of all users and projects that hold something."""

    by_user: dict[tuple[str, str], Held] = field(default_factory=dict)  # by (project, user)
    by_project: dict[str, Held] = field(default_factory=dict)
    changed: dict[str, None] = field(default_factory=dict)  # projects, since their past shares were settled

    def take(self, owner: Owner, resources: Resources) -> None:
        """An attempt has been launched, or was found to be running."""
        _add(self.by_user, (owner.project, owner.user), resources, 1)
        _add(self.by_project, owner.project, resources, 1)
        self.changed[owner.project] = None

    def give_back(self, owner: Owner, resources: Resources) -> None:
        """An attempt has ended."""
        _add(self.by_user, (owner.project, owner.user), resources.scaled(-1), -1)
        _add(self.by_project, owner.project, resources.scaled(-1), -1)
        self.changed[owner.project] = None


def _add(entries: dict[Key, Held], key: Key, resources: Resources, tasks: int) -> None:
    """Whoever holds nothing has no entry."""
    entry = entries.setdefault(key, Held())
    entry.resources += resources
    entry.tasks += tasks
    if not entry.tasks:
        del entries[key]

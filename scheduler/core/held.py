"""What each user of each project holds: kept with every attempt that comes or goes, so that nobody has to count."""

from __future__ import annotations

from dataclasses import dataclass, field

from swath.domain.resources import Resources
from swath.store.rows import JobRecord, Owner

NOBODY = Owner(project="", user="", image="")  # of an attempt whose job nobody knows: it is counted all the same

Key = tuple[str, str]  # (project, user)


@dataclass(slots=True)
class Held:
    """What the live attempts of one user in one project hold."""

    resources: Resources = field(default_factory=Resources)  # executors aside
    tasks: int = 0


def owner_of(job: JobRecord) -> Owner:
    """Whose the attempts of the job are."""
    return Owner(project=job.project, user=job.user, image=f"{job.image.name}:{job.image.version}")


def take(held: dict[Key, Held], owner: Owner, resources: Resources) -> None:
    """An attempt has been launched, or was found to be running."""
    entry = held.setdefault((owner.project, owner.user), Held())
    entry.resources += resources
    entry.tasks += 1


def give_back(held: dict[Key, Held], owner: Owner, resources: Resources) -> None:
    """An attempt has ended; whoever holds nothing has no entry."""
    key = (owner.project, owner.user)
    entry = held[key]
    entry.resources -= resources
    entry.tasks -= 1
    if not entry.tasks:
        del held[key]

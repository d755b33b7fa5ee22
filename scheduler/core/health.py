"""What is remembered of how images and agents have done; it dies with the core, but for who has been cordoned."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(slots=True)
class Ends:
    """How the attempts of an image have ended of late, on whatever agent."""

    all: int = 0
    failures: int = 0  # of these

    def count(self, *, failed: bool) -> None:
        """One more; what is long ago fades."""
        self.all, self.failures = self.all + 1, self.failures + failed
        if self.all > _REMEMBERED:
            self.all, self.failures = self.all // 2, self.failures // 2


_REMEMBERED = 10_000  # ends that are counted before they count half


@dataclass(slots=True)
class Streak:
    """How an image has failed on an agent since it last succeeded there."""

    failures: int = 0  # all of them
    ends: int = 0  # the same, where attempts that were launched together count as one
    never_ran: int = 0  # the last of these ends, as far as they came before the attempt's command
    failed_at: datetime | None = None  # when one was counted last
    rests: int = 0


@dataclass(slots=True)
class Trouble:
    """What has failed on an agent since anything succeeded there."""

    since: datetime
    ends: dict[int, int] = field(default_factory=dict)  # by image; attempts that were launched together count as one
    jobs: set[str] = field(default_factory=set)  # the first of them

    def add(self, image: int, job_id: str) -> None:
        """One more bad end."""
        self.ends[image] = self.ends.get(image, 0) + 1
        if len(self.jobs) < _JOBS:
            self.jobs.add(job_id)

    @property
    def what(self) -> str:
        """Of how many images and jobs."""
        images, jobs = len(self.ends), len(self.jobs)
        more = " or more" if jobs == _JOBS else ""
        return f"{images} image{'' if images == 1 else 's'} and {jobs}{more} job{'' if jobs == 1 else 's'}"


_JOBS = 20  # that a trouble remembers: how many there are, not which

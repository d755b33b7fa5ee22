"""What is remembered of how images and agents have done; of all this only what was learned outlives the core."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(slots=True)
class Record:
    """How an image has done on an agent: of late, and since it last succeeded there."""

    all: int = 0  # ends of late that say something of the agent
    failures: int = 0  # of these
    ends: int = 0  # failures since the last success, where attempts that were launched together count as one
    never_ran: int = 0  # the last of these, as far as they came before the attempt's command
    failed_at: datetime | None = None  # when one was counted last
    rests: int = 0  # since the last success

    def count(self, *, failed: bool) -> None:
        """One more; what is long ago fades."""
        self.all, self.failures = self.all + 1, self.failures + failed
        if self.all > _LATELY:
            self.all, self.failures = self.all // 2, self.failures // 2

    def forgive(self) -> None:
        """The image has succeeded here."""
        self.ends = self.never_ran = self.rests = 0


_LATELY = 100  # ends that are counted before they count half


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


@dataclass(slots=True)
class Lesson:
    """What one image version turned out to need by one request."""

    mem: int = 0  # MiB that tasks are to ask for, where that is more than was asked
    disk: int = 0
    ran_out: int = 0  # attempts of the present size
    sufficed: int = 0

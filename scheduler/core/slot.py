"""A slot as the core keeps it: the Mesos task behind attempts, of which it has one, or several in a row (ADR 23)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from swath.domain.resources import Resources


@dataclass(slots=True)
class Slot:
    """Known by its open attempts: it comes with the first of them, and goes with the last."""

    id: str
    job_id: str
    agent_id: str
    executor_id: str
    resources: Resources  # whatever runs in it
    ports: tuple[int, ...]
    opened_at: datetime
    shared: bool  # may hold several attempts; else its one attempt has its id
    starting: bool  # nothing of it has come to run
    attempts: dict[str, None] = field(default_factory=dict)  # open ones, in the order in which they were handed over
    untaken: dict[str, None] = field(default_factory=dict)  # of which its executor has not said that it has them
    tries: int = 0  # how often work was handed over again, since something was taken
    ended: int = 0  # attempts that its executor has told the end of
    ended_at: datetime | None = None  # the last of these, by its agent's clock
    closing: bool = False  # gets no more work

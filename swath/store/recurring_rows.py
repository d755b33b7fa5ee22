"""What the store gives back of jobs that recur."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from swath.domain.schedules import CatchUp, Outcome, Overlap


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleRow:
    """A job that recurs."""

    id: str
    name: str
    user: str
    cron: str
    timezone: str
    overlap: Overlap
    catch_up: CatchUp
    paused: bool
    document: Mapping[str, Any]  # of the job, as it was sent
    created_at: datetime
    next_at: datetime | None  # the first fire time that nobody has dealt with


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRow:
    """A fire time of a schedule, and what became of it."""

    at: datetime
    outcome: Outcome
    done_at: datetime
    job_id: str | None = None
    message: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Previous:
    """The last job that a schedule has submitted."""

    at: datetime  # its fire time
    job_id: str
    ended: bool

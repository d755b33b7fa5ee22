"""The tables of jobs that recur, which are the api's alone."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from swath.domain.schedules import CatchUp, Outcome, Overlap
from swath.store.base import Base


class Schedule(Base):
    """A job that recurs. The api writes all of it; `next_at` with what became of the fire time before."""

    __tablename__ = "schedules"
    __table_args__ = (UniqueConstraint("name"), Index(None, "next_at"))
    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    name: Mapped[str]
    user: Mapped[str]
    cron: Mapped[str]
    timezone: Mapped[str]  # IANA
    overlap: Mapped[Overlap]
    catch_up: Mapped[CatchUp]
    paused: Mapped[bool]
    document: Mapped[dict[str, Any]]  # of the job, as it was sent
    created_at: Mapped[datetime]
    next_at: Mapped[datetime | None]  # the first fire time that nobody has dealt with; None while it is paused


class ScheduleRun(Base):
    """A fire time that has been dealt with: there is one row for it, or none."""

    __tablename__ = "schedule_runs"
    __table_args__ = (Index(None, "at"),)
    schedule_id: Mapped[str] = mapped_column(ForeignKey("schedules.id"), primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    outcome: Mapped[Outcome]
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))
    message: Mapped[str | None]
    done_at: Mapped[datetime]

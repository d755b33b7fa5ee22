"""One attempt that has not ended, as the executor's core knows it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from executor.events import Moment, Order, Send
from swath.domain.attempts import AttemptReport, AttemptSpec
from swath.domain.retries import Cause


class Phase(Enum):
    """How far an attempt has come."""

    STARTING = "starting"
    RUNNING = "running"
    PUBLISHING = "publishing"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """Why an attempt has to end before its command does."""

    cause: Cause
    message: str
    force_at_s: float  # when grace ends; then SIGKILL, or no more waiting
    forced_at_s: float | None = None  # the first SIGKILL


@dataclass(slots=True)
class Run:
    """One attempt that has not ended."""

    order: Order
    begun_s: float
    deadline_s: float  # of its phase
    report: AttemptReport
    phase: Phase = Phase.STARTING
    measure_at_s: float = float("inf")
    tell_at_s: float = float("inf")  # what it uses
    stop: Stop | None = None
    waits_by: Cause = Cause.AGENT  # whose fault it is that it has not started yet

    @property
    def spec(self) -> AttemptSpec:
        """What was asked for."""
        return self.order.spec

    def send(self, state: str, message: str = "") -> Send:
        """The update that says `state` with the report as it is now."""
        return Send(task_id=self.order.task_id, state=state, report=self.report, message=message)

    def to_usage(self, usage: Mapping[str, float], now: Moment) -> dict[str, float]:
        """What it has used since its command began, as a report has it."""
        wall_s = round(now.clock_s - self.begun_s, 3)
        return {"wall_s": wall_s, **{name: round(value, 3) for name, value in usage.items()}}

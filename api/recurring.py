"""Submits recurring jobs at their fire times: one thread in each service, and the database lets one of them win."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import structlog
from pydantic import ValidationError

from api.cron import Cron, find_firing
from api.errors import to_problems
from api.image_gate import ImageGate
from api.inputs import FileCheck
from api.schemas import JobDocument
from api.submission import Admitted, admit
from api.watch import FAILED_S, Watch
from swath.domain.dependencies import Condition
from swath.domain.errors import (
    CannotRunError,
    InvalidInputError,
    Problem,
    RefusedByDatabaseError,
    StoreUnavailableError,
)
from swath.domain.ids import make_ulid
from swath.domain.jobs import JobSpec
from swath.domain.schedules import SCHEDULE_LABEL, Firing, Outcome, Overlap, fill_in
from swath.store.api_store import ApiStore
from swath.store.recurring_rows import Previous, RunRow, ScheduleRow
from swath.store.rows import Submission

POLL_S = 5.0  # another service may have taken a schedule in
MOST_TOLD = 3  # of what is wrong with a job, in its run's message

log = structlog.get_logger()


class Recurring:
    """Looks at the schedules when one of them is due, and every POLL_S."""

    def __init__(
        self,
        store: ApiStore,
        files: Callable[[], FileCheck | None],
        now: Callable[[], datetime],
        gate: ImageGate,
    ) -> None:
        self._store = store
        self._gate = gate
        self._files = files
        self._now = now
        self.watch = Watch("recurring jobs", self.fire_due)

    def fire_due(self) -> float:
        """Deal with every fire time that has come; returns the seconds until there may be more."""
        failed = 0
        for schedule in self._store.list_due(self._now()):
            if self.watch.stopped:
                break
            failed += not self._tried(schedule)
        if failed:
            return FAILED_S
        next_at = self._store.find_next_at()
        if next_at is None:
            return POLL_S
        return min(POLL_S, max(0.0, (next_at - self._now()).total_seconds()))

    def _tried(self, schedule: ScheduleRow) -> bool:
        """False where something went wrong that nobody foresaw: the schedules behind this one fire all the same."""
        try:
            self._fire(schedule)
        except StoreUnavailableError:
            raise
        except Exception as error:
            log.error("schedule_failed", schedule=schedule.name, exc_info=error)
            return False
        return True

    def _fire(self, schedule: ScheduleRow) -> None:
        assert schedule.next_at is not None  # noqa: S101 (for the type checker: else it were not due)
        cron = Cron(schedule.cron, schedule.timezone)
        firing = find_firing(cron, next_at=schedule.next_at, catch_up=schedule.catch_up, now=self._now())
        if firing is None:
            return
        previous = self._store.find_previous(schedule.id)
        running = None if previous is None or previous.ended else previous
        if firing.missed:
            self._write(schedule, firing, Outcome.MISSED, firing.message)
        elif running is not None and schedule.overlap is Overlap.SKIP:
            self._write(schedule, firing, Outcome.SKIPPED, f"job {running.job_id} of {_zulu(running.at)} has not ended")
        else:
            self._submit(schedule, firing, fill_in(schedule.document, firing.at, cron.local(firing.at)), running)

    def _submit(
        self, schedule: ScheduleRow, firing: Firing, document: Mapping[str, Any], running: Previous | None
    ) -> None:
        try:
            filled = _to_document(document, schedule.name)
            admitted = admit(filled, self._store, self._files(), self._now(), gate=self._gate)
            submission = _to_submission(admitted, running, self._now())
            cancelled = running.job_id if running is not None and schedule.overlap is Overlap.CANCEL else None
            message = "; ".join(filter(None, (firing.message, *admitted.warnings))) or None
            self._write(schedule, firing, Outcome.SUBMITTED, message, submission, cancelled)
        except (InvalidInputError, RefusedByDatabaseError) as error:
            self._write(schedule, firing, Outcome.REFUSED, _describe(error))

    def _write(
        self,
        schedule: ScheduleRow,
        firing: Firing,
        outcome: Outcome,
        message: str | None,
        submission: Submission | None = None,
        cancelled: str | None = None,
    ) -> None:
        run = RunRow(at=firing.at, outcome=outcome, message=message, done_at=self._now())
        done = self._store.fire(schedule, run, next_at=firing.next_at, submission=submission, cancelled=cancelled)
        if done:
            say = log.warning if outcome is Outcome.REFUSED else log.info
            say("schedule_fired", schedule=schedule.name, at=_zulu(firing.at), outcome=outcome, reason=message)


def check_recurring(
    document: JobDocument, store: ApiStore, cron: Cron, now: datetime, gate: ImageGate
) -> dict[str, Any]:
    """The document as it is kept. Raises InvalidInputError for what could not recur, CannotRunError for what could never run.

    Files are not looked for: they may come by the time of the run.
    """
    problems = [
        Problem(f"/job/{name}", "is of one moment: a job that recurs has none")
        for name in ("not_before", "deadline", "after")
        if name in document.model_fields_set
    ]
    if problems:
        raise InvalidInputError(problems)
    said = document.model_dump(mode="json", by_alias=True, exclude_unset=True)
    first = (cron.after(now) or [now])[0]
    try:
        admit(_to_document(fill_in(said, first, cron.local(first)), "x"), store, None, now, gate=gate)
    except CannotRunError as error:
        raise CannotRunError(Problem(f"/job{found.path}", found.message) for found in error.problems) from None
    except InvalidInputError as error:
        raise InvalidInputError(Problem(f"/job{found.path}", found.message) for found in error.problems) from None
    return said


def _to_document(document: Mapping[str, Any], schedule: str) -> JobDocument:
    """The filled-in document, held against the schema again; its jobs are found by the schedule's name."""
    labels = {SCHEDULE_LABEL: schedule} | dict(document.get("labels") or {})
    try:
        return JobDocument.model_validate_json(json.dumps({**document, "labels": labels}))
    except ValidationError as error:
        raise InvalidInputError(to_problems(error, document)) from error


def _to_submission(admitted: Admitted, running: Previous | None, now: datetime) -> Submission:
    """The job, to start after the one that has not ended."""
    spec = admitted.spec
    if running is not None:
        after = {"after": [{"job": running.job_id, "condition": Condition.ENDED.value}]}
        spec = JobSpec.from_document({**spec.to_document(), **after})
    return Submission(
        job_id=make_ulid(now, os.urandom(10)), spec=spec, image=admitted.image, resources=admitted.resources
    )


def _describe(error: Exception) -> str:
    problems = error.problems if isinstance(error, InvalidInputError) else []
    told = "; ".join(map(str, problems[:MOST_TOLD])) or str(error)
    return f"{told}; and {len(problems) - MOST_TOLD} more" if len(problems) > MOST_TOLD else told


def _zulu(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"

"""Tries what was registered before anybody runs it: a job per version, and a verdict by how it ended.

All that is known stands in the database: a version that is VERIFYING has a job with a label that names the version and the
round, or gets one. So it does not matter which service looks, how often, or whether one is killed between two steps.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from api.views import why_task
from api.watch import Watch
from swath.domain.catalogue import ImageState, Mover
from swath.domain.errors import ConflictError, ForbiddenError, InvalidInputError, StoreUnavailableError
from swath.domain.ids import make_ulid
from swath.domain.jobs import JobSpec, total_request
from swath.domain.manifest import Manifest
from swath.domain.states import ENDED_JOB, JobState
from swath.domain.trial import LABEL, find_command, find_missing, says_nothing, tell_missing
from swath.store.api_store import ApiStore
from swath.store.rows import AttemptRow, CataloguedRow, ImageFilters, ImageRow, JobFilters, JobRow

POLL_S = 2.0  # while something is verified
IDLE_S = 15.0  # another service may have registered something
AGAIN_AFTER = timedelta(minutes=1)  # where the cluster could not say
USER = "swath"
DEFAULT_PROJECT = "default"
PASSED, FAILED, UNTRIED = "passed", "failed", "untried"
_PAGE = 100

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a trial has shown."""

    state: ImageState
    why: str
    profile: Mapping[str, Any] | None  # None where nothing was learned


class Verifier:
    """Moves versions from REGISTERED over VERIFYING to ACTIVE or REJECTED."""

    def __init__(self, store: ApiStore, *, automatic: bool, now: Callable[[], datetime]) -> None:
        self._store = store
        self._automatic = automatic  # what passes is active; else it waits for an approver
        self._now = now
        self.watch = Watch("verification", self.look)

    def look(self) -> float:
        """Begin what waits and judge what has ended; the seconds until there may be more."""
        for row in self._list(ImageState.REGISTERED):
            if self._is_untried(row) and self._is_due(row.image):
                self._tried(self._begin, row)
        verifying = self._list(ImageState.VERIFYING)
        for row in verifying:
            self._tried(self._judge, row)
        return POLL_S if verifying else IDLE_S

    def begin(self, image_id: int, project: str | None) -> None:
        """Begin to try a version that was just registered, with what `project` holds; `look` would, a little later.

        One that its last trial has rejected is tried again: whoever pushes it anew wants to know.
        """
        row = self._store.get_catalogued(image_id)
        if self._is_untried(row) or self._is_rejected_by_us(row.image):
            self._tried(lambda row: self._begin(row, project), row)
            self.watch.wake()

    def find_job(self, image: ImageRow) -> JobRow | None:
        """The job of the version's last trial."""
        filters = JobFilters(name=_name(image), trial_of=image.id, labels={LABEL: self._round_of(image)})
        return next(iter(self._store.list_jobs(filters, limit=1).items), None)

    def _tried(self, step: Callable[[CataloguedRow], None], row: CataloguedRow) -> None:
        """Another service or a person was faster, or one version has something that nobody foresaw: the others go on."""
        try:
            step(row)
        except (ConflictError, ForbiddenError) as error:
            log.info("verification_overtaken", image=str(row.image), reason=str(error))
        except StoreUnavailableError:
            raise
        except Exception as error:
            log.error("verification_failed", image=str(row.image), exc_info=error)

    def _begin(self, row: CataloguedRow, project: str | None = None) -> None:
        self._move(row.image, ImageState.VERIFYING, "it is to be tried")
        self._judge(self._store.get_catalogued(row.image.id), project)

    def _judge(self, row: CataloguedRow, project: str | None = None) -> None:
        image = row.image
        if find_command(image.manifest, image.swath_manifest) is None:
            why = "it declares no smoke test, and its command takes inputs: nothing was tried"
            self._settle(image, self._passed(why, {"verdict": UNTRIED}))
            return
        job = self.find_job(image)
        if job is None:
            try:
                self._submit(row, project or (row.projects or [DEFAULT_PROJECT])[0])
            except InvalidInputError as error:
                self._settle(image, Verdict(state=ImageState.REJECTED, why=str(error), profile=None))
        elif job.state in ENDED_JOB:
            self._settle(image, self._decide(image, job))

    def _submit(self, row: CataloguedRow, project: str) -> None:
        image, now, name = row.image, self._now(), self._round_of(row.image)
        spec = JobSpec.from_document(
            {
                "image": f"{image}@{image.digest}",
                "name": _name(image),
                "project": project,
                "labels": {LABEL: name},
                "retry": {"on": {"APP": "fail", "OOM": "fail", "TIMEOUT": "fail"}},
                "may_wait": True,
                "trial": True,
            }
        )
        resources = total_request(Manifest.from_json(image.manifest).resources(), {})
        job = self._store.submit(
            spec,
            image,
            resources=resources,
            job_id=make_ulid(now, os.urandom(10)),
            now=now,
            user=row.details.pushed_by or USER,
            # with a space, which no client's key has: nobody can use it up beforehand
            idempotency=(f"{LABEL} {name}", hashlib.sha256(image.digest.encode()).hexdigest()),
        )
        log.info("verification_begun", image=str(image), job=job.id)

    def _decide(self, image: ImageRow, job: JobRow) -> Verdict:
        attempts = self._store.list_attempts(job.id, 0)
        if job.state is JobState.CANCELLED or not attempts:
            return Verdict(
                state=ImageState.REJECTED, why=f"its verification, job {job.id}, was cancelled", profile=None
            )
        last = attempts[-1]
        if job.state is JobState.SUCCEEDED:
            left = _outputs_of(last)
            if missing := find_missing(image.manifest, left):
                return self._failed(tell_missing(missing, left), job, last)
            return self._passed(f"its smoke test passed: job {job.id}", {"verdict": PASSED, **to_profile(job, last)})
        why = f"{last.cause or last.state}" + ("" if last.exit_code is None else f" (exit code {last.exit_code})")
        why = f"{why}: {last.message or 'no message'}; job {job.id}"
        if says_nothing(last.cause):
            return Verdict(state=ImageState.REGISTERED, why=f"the cluster could not say: {why}", profile=None)
        return self._failed(f"its smoke test failed: {why}", job, last)

    def _passed(self, why: str, profile: Mapping[str, Any]) -> Verdict:
        if self._automatic:
            return Verdict(state=ImageState.ACTIVE, why=why, profile=profile)
        return Verdict(state=ImageState.REGISTERED, why=f"{why}; it waits for an approver", profile=profile)

    def _failed(self, why: str, job: JobRow, attempt: AttemptRow) -> Verdict:
        return Verdict(state=ImageState.REJECTED, why=why, profile={"verdict": FAILED, **to_profile(job, attempt)})

    def _settle(self, image: ImageRow, verdict: Verdict) -> None:
        """Only what was tried passes: where state or manifest are others by now, the next look sees to it."""
        profile = None if verdict.profile is None else dict(verdict.profile)
        self._move(image, verdict.state, verdict.why, learned={"profile": profile}, seen=image)

    def _move(self, image: ImageRow, after: ImageState, why: str, **also: Any) -> None:
        self._store.move_image(image.id, after, mover=Mover.SERVICE, user=USER, why=why, now=self._now(), **also)
        log.info("image_moved", image=str(image), digest=image.digest, state=after, reason=why)

    def _is_untried(self, row: CataloguedRow) -> bool:
        return row.image.state is ImageState.REGISTERED and row.details.profile is None

    def _is_rejected_by_us(self, image: ImageRow) -> bool:
        return image.state is ImageState.REJECTED and self._store.list_transitions(image.id)[-1].user == USER

    def _is_due(self, image: ImageRow) -> bool:
        """True but shortly after a trial that the cluster could not say anything by."""
        moves = self._store.list_transitions(image.id)
        return not (moves and moves[-1].before is ImageState.VERIFYING and moves[-1].at > self._now() - AGAIN_AFTER)

    def _round_of(self, image: ImageRow) -> str:
        """The label of the job that tries the version this time."""
        rounds = sum(move.after is ImageState.VERIFYING for move in self._store.list_transitions(image.id))
        return f"{image.id}.{rounds}"

    def _list(self, state: ImageState) -> list[CataloguedRow]:
        return list(self._pages(ImageFilters(state=state)))

    def _pages(self, filters: ImageFilters) -> Iterator[CataloguedRow]:
        after: int | None = None
        while True:
            page = self._store.list_images(filters, after=after, limit=_PAGE)
            yield from page.items
            if page.next is None:
                return
            after = page.next


def _name(image: ImageRow) -> str:
    """Of the jobs that try it; jobs are found by it, and then by their label."""
    return f"verify {image}"


def to_profile(job: JobRow, attempt: AttemptRow) -> dict[str, Any]:
    """What a trial has measured: seconds and MiB beside what was asked for."""
    usage = attempt.report.get("usage") or {}
    return {
        "job": job.id,
        "run_s": usage.get("wall_s"),
        "cpu_s": usage.get("cpu_s"),
        "max_mem": usage.get("max_mem"),
        "asked": attempt.resources.to_document(),
        "runtime": attempt.runtime,
        "outputs": sorted(_outputs_of(attempt)),
    }


def _outputs_of(attempt: AttemptRow) -> set[str]:
    """The names of the outputs that it left."""
    return {str(entry["name"]) for entry in attempt.outputs} | set(attempt.report.get("json_outputs") or {})


def why_verifying(store: ApiStore, job: JobRow, now: datetime) -> str:
    """What the trial waits for, in one sentence."""
    task = store.get_task(job.id, 0)
    return why_task(task, job, now) or f"its smoke test is {task.state.lower()}: job {job.id}"

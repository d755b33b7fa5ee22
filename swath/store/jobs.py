"""Jobs, as the api writes what is desired of them and reads what has become of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Select, exists, func, insert, literal_column, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from swath.domain.dependencies import holds, why_dropped
from swath.domain.errors import ConflictError, InternalError, NotFoundError
from swath.domain.jobs import JobSpec
from swath.domain.ranges import Ranges
from swath.domain.resources import Resources
from swath.domain.states import ENDED_JOB, Desired, JobCounts, JobState
from swath.store.dependencies import add_dependencies, find_dropped, read_upstream
from swath.store.documents import from_stored, has_stored_items, to_chunks, to_stored
from swath.store.models import IdempotencyKey, ImageVersion, Job, JobInput
from swath.store.rows import ImageRow, JobFilters, JobRow, Page, Submission
from swath.store.types import AnyRow

_COUNTS = tuple(entry.name for entry in fields(JobCounts) if entry.name != "total")
RESOURCES = ("cpus_m", "mem", "disk", "gpus", "more_resources")  # the columns of an amount
_ELSEWHERE = ("image_name", "image_version", "image_digest", "resources", "counts")
_PLAIN = tuple(name for name in JobRow.__slots__ if name not in _ELSEWHERE)


def to_counts(row: Any) -> JobCounts:
    """The counts of a row of `jobs`."""
    return JobCounts(total=row.size, **{name: getattr(row, f"{name}_count") for name in _COUNTS})


def to_resources(row: Any) -> Resources:
    """The resources of a row that has their columns."""
    if row.more_resources is None:
        return Resources(cpus_m=row.cpus_m, mem=row.mem, disk=row.disk, gpus=row.gpus)
    plain = {"cpus": row.cpus_m, "mem": row.mem, "disk": row.disk, "gpus": row.gpus}
    return Resources.from_amounts({**row.more_resources, **plain})


def from_resources(resources: Resources) -> dict[str, Any]:
    """The columns."""
    plain = {"cpus_m": resources.cpus_m, "mem": resources.mem, "disk": resources.disk, "gpus": resources.gpus}
    more = replace(resources, cpus_m=0, mem=0, disk=0, gpus=0).amounts() if _has_more(resources) else None
    return {**plain, "more_resources": more}


def _has_more(resources: Resources) -> bool:
    """True where ports or custom scalars are among them."""
    return bool(resources.ports or resources.custom)


def submit(
    session: Session,
    spec: JobSpec,
    image: ImageRow,
    *,
    resources: Resources,
    job_id: str,
    now: datetime,
    user: str,
    idempotency: tuple[str, str] | None,
) -> JobRow:
    """Write the job, or find the one that `idempotency` (key, hash of the request) stands for: see ApiStore.submit."""
    if idempotency is not None:
        key, request_hash = idempotency
        known = _claim_key(session, key, request_hash, job_id, now)
        if known is not None:
            return get_job(session, known[0])
    write_job(session, Submission(job_id=job_id, spec=spec, image=image, resources=resources), now, user)
    return get_job(session, job_id)


def submit_together(
    session: Session,
    submissions: Sequence[Submission],
    *,
    now: datetime,
    user: str,
    idempotency: tuple[str, str] | None,
) -> list[JobRow]:
    """Write the jobs, or find those that `idempotency` stands for: see ApiStore.submit_together."""
    ids = [submission.job_id for submission in submissions]
    if idempotency is not None:
        key, request_hash = idempotency
        known = _claim_key(session, key, request_hash, ids[0], now, ids)
        if known is not None:
            return [get_job(session, job_id) for job_id in known]
    for submission in sorted(submissions, key=lambda submission: submission.job_id):  # those before others come first
        write_job(session, submission, now, user)
    return [get_job(session, job_id) for job_id in ids]


def write_job(session: Session, submission: Submission, now: datetime, user: str) -> None:
    """Write the rows of a new job."""
    spec, job_id = submission.spec, submission.job_id
    values = _to_values(spec, submission.image, submission.resources, job_id, now, user)
    session.execute(insert(Job).values(values))
    chunks = [{"job_id": job_id, "chunk": chunk, "items": items} for chunk, items in to_chunks(spec)]
    if chunks:
        session.execute(insert(JobInput), chunks)
    add_dependencies(session, job_id, spec)


def find_submitted(session: Session, key: str, request_hash: str) -> list[JobRow]:
    """The jobs of the key's first use, if there was one: see ApiStore.find_submitted."""
    return [get_job(session, job_id) for job_id in _find_jobs_of_key(session, key, request_hash) or ()]


def get_job(session: Session, job_id: str) -> JobRow:
    """The job; raises NotFoundError."""
    row = session.execute(_select_jobs().where(Job.id == job_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no job {job_id}")
    return _to_job(row)


def read_document(session: Session, job_id: str) -> dict[str, Any]:
    """The job's document as it was submitted, its items included; raises NotFoundError."""
    document = dict(get_job(session, job_id).spec)
    if has_stored_items(document):
        chunks = session.scalars(select(JobInput.items).where(JobInput.job_id == job_id).order_by(JobInput.chunk))
        document["array"] = {"over": document["array"]["over"], "items": [item for chunk in chunks for item in chunk]}
    return document


def list_jobs(session: Session, filters: JobFilters, after: str | None, limit: int) -> Page[JobRow, str]:
    """Jobs, the newest first; `after` is the id of the last one of the page before."""
    is_postgres = session.get_bind().dialect.name == "postgresql"
    query = _filtered(_select_jobs(), filters, is_postgres).order_by(Job.id.desc()).limit(limit + 1)
    if after is not None:
        query = query.where(Job.id < after)
    found = [_to_job(row) for row in session.execute(query)]
    return Page(items=found[:limit], next=found[limit - 1].id if len(found) > limit else None)


def request_cancel(session: Session, job_id: str) -> JobRow:
    """Ask for the job's end; asking twice is asking once. Raises NotFoundError, and ConflictError for an ended job."""
    job = _lock(session, job_id)
    if job.desired is Desired.CANCELLED:
        return get_job(session, job_id)
    if job.state in ENDED_JOB and job.desired_rev == job.observed_rev:
        raise ConflictError(f"job {job_id} has ended already: it is {job.state}")
    return _desire(session, job_id, {"desired": Desired.CANCELLED})


def request_retry(session: Session, job_id: str, now: datetime) -> JobRow:
    """Ask to run the failed tasks again. Raises NotFoundError, and ConflictError where that would change nothing.

    Jobs that had failed because this one did are looked at again.
    """
    job = _lock(session, job_id)
    if job.desired is Desired.CANCELLED or job.state is JobState.CANCELLED:
        raise ConflictError(f"job {job_id} was cancelled: submit it anew")
    if job.failed_count == 0:
        raise ConflictError(f"no task of job {job_id} has failed")
    deadline = from_stored(job.spec).deadline
    if deadline is not None and deadline <= now:
        raise ConflictError(f"the deadline of job {job_id} has passed, {deadline.isoformat()}: submit it anew")
    _check_dropped(session, job_id, job)
    for other in sorted(find_dropped(session, job_id)):
        _desire(session, other, {})
    return _desire(session, job_id, {"retry_rev": Job.retry_rev + 1})


def _check_dropped(session: Session, job_id: str, job: AnyRow) -> None:
    """Raise ConflictError where nothing has failed but what a job before this one keeps from starting still."""
    if not job.dropped or Ranges.from_document(job.dropped).count < job.failed_count:
        return
    after = from_stored(job.spec).after
    known = read_upstream(session, after)
    if any(other.ended and not holds(entry, other) for entry in after if (other := known[entry.job])):
        raise ConflictError(
            f"job {job_id} would fail again: {why_dropped(after, known)}; retry that one, and this one waits"
        )


def _claim_key(
    session: Session, key: str, request_hash: str, job_id: str, now: datetime, job_ids: list[str] | None = None
) -> list[str] | None:
    """None when the key is new and now stands for `job_id`, or for all of `job_ids`; else the jobs that it stands for.

    A second request with the key waits here for the first one's transaction, and then finds its row.
    """
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    claim = dialect.insert(IdempotencyKey).values(
        key=key, request_hash=request_hash, job_id=job_id, job_ids=job_ids, at=now
    )
    if session.scalar(claim.on_conflict_do_nothing().returning(IdempotencyKey.key)) is not None:
        return None
    return _find_jobs_of_key(session, key, request_hash)


def _find_jobs_of_key(session: Session, key: str, request_hash: str) -> list[str] | None:
    """The jobs that the key stands for; raises ConflictError where that was another request."""
    known = session.scalars(select(IdempotencyKey).where(IdempotencyKey.key == key)).one_or_none()
    if known is not None and known.request_hash != request_hash:
        raise ConflictError(f"the Idempotency-Key {key!r} was used for another request")
    return None if known is None else known.job_ids or [known.job_id]


def _to_values(
    spec: JobSpec, image: ImageRow, resources: Resources, job_id: str, now: datetime, user: str
) -> Mapping[str, Any]:
    return {
        "id": job_id,
        "name": spec.name,
        "project": spec.project,
        "user": user,
        "image_version_id": image.id,
        "spec": to_stored(spec),
        "size": spec.size,
        **from_resources(resources),
        "priority": spec.priority,
        "labels": dict(spec.labels),
        "desired": Desired.RUN,
        "desired_rev": 1,
        "observed_rev": 0,
        "retry_rev": 0,
        "retry_rev_done": 0,
        "state": JobState.PENDING,
        "pending": Ranges.of(spec.size).to_document(),
        **{f"{name}_count": 0 for name in _COUNTS},
        "pending_count": spec.size,
        "submitted_at": now,
    }


def _select_jobs() -> Select[Any]:
    """What `_to_job` needs. `pending` stays where it is: it may hold thousands of ranges."""
    wanted = [*_PLAIN, *RESOURCES, *(f"{name}_count" for name in _COUNTS)]
    columns = [getattr(Job, name) for name in wanted]
    image = [getattr(ImageVersion, name).label(f"image_{name}") for name in ("name", "version", "digest")]
    return select(*columns, *image).join(ImageVersion, ImageVersion.id == Job.image_version_id)


def _to_job(row: AnyRow) -> JobRow:
    return JobRow(
        **{name: getattr(row, name) for name in _PLAIN},
        image_name=row.image_name,
        image_version=row.image_version,
        image_digest=row.image_digest,
        resources=to_resources(row),
        counts=to_counts(row),
    )


def _filtered(query: Select[Any], filters: JobFilters, is_postgres: bool) -> Select[Any]:
    for name in ("project", "user", "state", "name"):
        if (wanted := getattr(filters, name)) is not None:
            query = query.where(getattr(Job, name) == wanted)
    if filters.image is not None:
        image, _, version = filters.image.partition(":")
        query = query.where(ImageVersion.name == image)
        if version:
            query = query.where(ImageVersion.version == version)
    if filters.trial_of is not None:
        query = query.where(Job.image_version_id == filters.trial_of, Job.spec["trial"].as_boolean().is_(True))
    for label, value in filters.labels.items():
        # Pairs, not a path to the label: SQLite's paths cannot name a key with a quotation mark in it.
        pairs = (func.json_each_text if is_postgres else func.json_each)(Job.labels).table_valued("key", "value")
        query = query.where(exists().where(pairs.c.key == label, pairs.c.value == value))
    return query


def _lock(session: Session, job_id: str) -> AnyRow:
    """The job's row, held until the transaction ends, so that its state cannot change between the look and the wish."""
    wanted = (Job.desired, Job.state, Job.desired_rev, Job.observed_rev, Job.failed_count, Job.dropped, Job.spec)
    row = session.execute(select(*wanted).where(Job.id == job_id).with_for_update(key_share=True)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no job {job_id}")
    return row


def _desire(session: Session, job_id: str, wishes: dict[str, Any]) -> JobRow:
    wish = update(Job).where(Job.id == job_id).values(desired_rev=Job.desired_rev + 1, **wishes)
    if session.scalar(wish.returning(literal_column("1")).execution_options(synchronize_session=False)) is None:
        raise InternalError(f"job {job_id} vanished while it was locked")
    return get_job(session, job_id)

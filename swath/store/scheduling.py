"""What the scheduler does with the database: read what is open, write what it observed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import and_, or_, select, text
from sqlalchemy.orm import Session

from swath.domain.attempts import Attempt
from swath.domain.changes import Change, PutAgent, PutLearned, PutTask
from swath.domain.dependencies import Upstream
from swath.domain.duration import is_foreseen
from swath.domain.errors import NotFoundError
from swath.domain.jobs import ArraySpec, JobSpec
from swath.domain.ranges import Ranges
from swath.domain.retries import SAYS_NOTHING_OF_AGENT
from swath.domain.states import TaskState
from swath.domain.wishes import Wishes
from swath.store import models
from swath.store.database import Channel, Database
from swath.store.dependencies import read_upstream
from swath.store.documents import CHUNK, from_stored
from swath.store.images import to_image
from swath.store.inputs import read_chunk
from swath.store.jobs import RESOURCES, to_counts, to_resources
from swath.store.leadership import check_epoch
from swath.store.losers import Losers, list_losers
from swath.store.models import ATTEMPT_IS_OPEN, JOB_IS_CHANGED, JOB_IS_OPEN, TASK_IS_OPEN
from swath.store.projects import read_pasts, read_projects
from swath.store.pruning import prune
from swath.store.rows import ImageRow, JobRecord, Owner, Snapshot
from swath.store.wishes import read_framework_wish, read_standing_agent_wishes, read_wishes
from swath.store.writing import write_changes

_ARRAYS_KEPT = 1000  # three numbers each: documents themselves may be megabytes
_LEARNED = 100_000  # rows of a hundred bytes
_ALIKE = 200  # jobs of an image version, the newest: an index leads to them
_CHUNKS_KEPT = 8  # of items, which never change; 10,000 hrefs take some 3 MB

_JOB_ELSEWHERE = ("spec", "resources", "image", "pending", "dropped", "counts", "upstream", "alike_s")
_JOB = tuple(name for name in JobRecord.__slots__ if name not in _JOB_ELSEWHERE)
_TASK = tuple(PutTask.__slots__)
_ATTEMPT = tuple(name for name in Attempt.__slots__ if name not in ("resources", "ports"))


class SchedulerStore:
    """The scheduler's side of the store. Used by one thread at a time; every method may raise StoreUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._chunk = lru_cache(maxsize=_CHUNKS_KEPT)(self._read_chunk)
        self._array = lru_cache(maxsize=_ARRAYS_KEPT)(self._read_array)

    def load(self) -> Snapshot:
        """Everything that is open, as of one moment. Its cost grows with what is open, not with what has ended."""
        with self._database.read() as session:
            return Snapshot(
                framework_id=session.scalar(select(models.Framework.framework_id).where(models.Framework.id == 1)),
                jobs=_read_open_jobs(session),
                tasks=_read_tasks(session, text(TASK_IS_OPEN)),
                attempts=_read_attempts(session),
                agents=_read_agents(session),
                images=_read_images(session),
                agent_wishes=read_standing_agent_wishes(session),
                framework_wish=read_framework_wish(session),
                learned=_read_learned(session),
                failed_on=_read_failed_on(session),
                projects=read_projects(session),
                pasts=read_pasts(session),
                owners=_read_owners(session),
            )

    def read_changed_jobs(self) -> list[JobRecord]:
        """Jobs of which something is desired that no ChangeJob has taken in (`observed_rev` < `desired_rev`), oldest first."""
        with self._database.read() as session:
            return _read_jobs(session, JOB_IS_CHANGED)

    def read_wishes(self) -> Wishes:
        """What operators want of agents and of the framework, and no Observe...Wish has said to be carried out."""
        with self._database.read() as session:
            return read_wishes(session)

    def find_alike_s(self, image_id: int, project: str) -> float | None:
        """How long the attempts of the project's last jobs of an image version took at most; None where it has none."""
        with self._database.read() as session:
            return _read_longest_runs(session, image_id).get(project)

    def read_items(self, job_id: str, indices: Iterable[int]) -> dict[int, Any]:
        """The elements of the job's array: items, numbers of a range, or None. Raises NotFoundError for an unknown job."""
        array = self._array(job_id)
        if array is None:
            return dict.fromkeys(indices)
        if array.items is None:
            return {index: array.number_at(index) for index in indices}
        return {index: self._chunk(job_id, index // CHUNK)[index % CHUNK] for index in indices}

    def apply(self, changes: Sequence[Change], *, epoch: int, now: datetime) -> None:
        """Write all of `changes`, or nothing, in one transaction, and wake the followers.

        Several changes of one thing are written as their last. `now` dates events and agents. Raises LeadershipLostError when
        another scheduler leads, RefusedByDatabaseError when a value does not fit into the database, InternalError when a
        change names a row that is not there, IllegalTransitionError when it would change an attempt that has ended. After
        a StoreUnavailableError only `load` knows what is written.
        """
        with self._database.write(notify=Channel.OBSERVED) as session:
            check_epoch(session, epoch)
            write_changes(session, changes, now)

    def list_losers(self, after: str, before: str, limit: int) -> Losers:
        """See swath.store.losers."""
        with self._database.read() as session:
            return list_losers(session, after, before, limit)

    def prune(self, now: datetime) -> int:
        """Delete a slice of what is kept for a time only (swath.store.pruning); how many rows went.

        While that is more than 0 there may be more: call again in a later turn, for one call costs a tenth of a second.
        """
        with self._database.write() as session:
            return prune(session, now)

    def _read_chunk(self, job_id: str, chunk: int) -> list[Any]:
        with self._database.read() as session:
            return read_chunk(session, job_id, chunk)

    def _read_array(self, job_id: str) -> ArraySpec | None:
        with self._database.read() as session:
            document: dict[str, Any] | None = session.scalar(select(models.Job.spec).where(models.Job.id == job_id))
        if document is None:
            raise NotFoundError(f"there is no job {job_id}")
        return from_stored(document).array


def _read_open_jobs(session: Session) -> list[JobRecord]:
    """Two queries, each with an index that holds nothing else; what is open and changed comes once."""
    found = {job.id: job for condition in (JOB_IS_OPEN, JOB_IS_CHANGED) for job in _read_jobs(session, condition)}
    return [found[job_id] for job_id in sorted(found)]


def _read_jobs(session: Session, condition: str) -> list[JobRecord]:
    rows = session.execute(select(*models.Job.__table__.columns).where(text(condition)).order_by(models.Job.id)).all()
    wanted = {row.image_version_id for row in rows}
    found = session.scalars(select(models.ImageVersion).where(models.ImageVersion.id.in_(wanted))) if wanted else ()
    images = {row.id: to_image(row) for row in found}
    specs = {row.id: from_stored(row.spec) for row in rows}
    upstream = read_upstream(session, (entry for spec in specs.values() for entry in spec.after))
    new = {row.image_version_id for row in rows if not is_foreseen(specs[row.id], row.longest_run_s)}
    alike = {image: _read_longest_runs(session, image) for image in new}
    return [_to_job(row, specs[row.id], images[row.image_version_id], upstream, alike) for row in rows]


def _read_longest_runs(session: Session, image: int) -> dict[str, float]:
    """By project: how long the attempts of the image version's last jobs took at most."""
    job = models.Job
    query = select(job.project, job.longest_run_s).where(job.image_version_id == image, job.longest_run_s.is_not(None))
    found: dict[str, float] = {}
    for project, run_s in session.execute(query.order_by(job.id.desc()).limit(_ALIKE)):
        found[project] = max(run_s or 0.0, found.get(project, 0.0))
    return found


def _to_job(
    row: Any,
    spec: JobSpec,
    image: ImageRow,
    upstream: Mapping[str, Upstream],
    alike: Mapping[int, Mapping[str, float]],
) -> JobRecord:
    return JobRecord(
        **{name: getattr(row, name) for name in _JOB},
        spec=spec,
        resources=to_resources(row),
        image=image,
        pending=Ranges.from_document(row.pending),
        dropped=Ranges.from_document(row.dropped),
        upstream=tuple(upstream[entry.job] for entry in spec.after),
        counts=to_counts(row),
        alike_s=alike.get(image.id, {}).get(row.project),
    )


def _read_tasks(session: Session, *conditions: Any) -> list[PutTask]:
    columns = [getattr(models.Task, name) for name in _TASK]
    query = select(*columns).where(*conditions).order_by(models.Task.job_id, models.Task.index)
    return [PutTask(**dict(zip(_TASK, row, strict=True))) for row in session.execute(query)]


def _read_attempts(session: Session) -> list[Attempt]:
    columns = [getattr(models.Attempt, name) for name in (*_ATTEMPT, *RESOURCES, "ports")]
    rows = session.execute(select(*columns).where(text(ATTEMPT_IS_OPEN)).order_by(models.Attempt.id))
    # By place, not by name: a new leader has tens of thousands to read before it can act.
    return [
        Attempt(
            **dict(zip(_ATTEMPT, row, strict=False)),
            resources=to_resources(row),
            ports=tuple(row.ports) if row.ports else (),
        )
        for row in rows
    ]


def _read_owners(session: Session) -> dict[str, Owner]:
    """Of ended jobs with an attempt that has not. There should be none: a job ends after all of its attempts."""
    job, image = models.Job, models.ImageVersion
    columns = (job.id, job.project, job.user, image.name, image.version)
    query = select(*columns).join(image, image.id == job.image_version_id)
    outliving = select(models.Attempt.job_id).where(text(ATTEMPT_IS_OPEN))
    rows = session.execute(query.where(job.id.in_(outliving), text(f"NOT ({JOB_IS_OPEN})")))
    return {row.id: Owner(project=row.project, user=row.user, image=f"{row.name}:{row.version}") for row in rows}


def _read_images(session: Session) -> dict[str, Any]:
    """What was said of the engines of active agents."""
    columns = (models.Agent.id, models.Agent.images)
    query = select(*columns).where(models.Agent.active, models.Agent.images.is_not(None)).order_by(models.Agent.id)
    return {row.id: row.images for row in session.execute(query)}


def _read_learned(session: Session) -> list[PutLearned]:
    """The newest: a row each image version whose tasks ever ran out of something."""
    columns = [getattr(models.LearnedNeed, name) for name in PutLearned.__slots__]
    query = select(*columns).order_by(models.LearnedNeed.at.desc()).limit(_LEARNED)
    return [PutLearned(**row._mapping) for row in session.execute(query)]


def _read_failed_on(session: Session) -> list[tuple[str, int, str]]:
    """Where open tasks have failed. Most of them never have: those at their first attempt are not looked up."""
    tasks, attempts = models.Task, models.Attempt
    tried = or_(tasks.state == TaskState.PENDING, tasks.attempts > 1)
    # Materialized, so that no planner begins with all the attempts, or all the tasks, that there ever were.
    open_ = select(tasks.job_id, tasks.index).where(text(TASK_IS_OPEN), tried).cte("tried").prefix_with("MATERIALIZED")
    told = (text(f"NOT ({ATTEMPT_IS_OPEN})"), attempts.cause.not_in(SAYS_NOTHING_OF_AGENT))
    of_task = and_(attempts.job_id == open_.c.job_id, attempts.task_index == open_.c.index)
    query = select(attempts.job_id, attempts.task_index, attempts.number, attempts.agent_id)
    found = session.execute(query.select_from(open_).join(attempts, of_task).where(*told))
    rows = sorted((job_id, index, number, agent_id) for job_id, index, number, agent_id in found)
    return [(job_id, index, agent_id) for job_id, index, _, agent_id in rows]


def _read_agents(session: Session) -> list[PutAgent]:
    rows = session.scalars(select(models.Agent).where(models.Agent.active).order_by(models.Agent.id))
    return [
        PutAgent(
            agent_id=row.id,
            hostname=row.hostname,
            url=row.url,
            total=to_resources(row),
            attributes=row.attributes,
            region=row.region,
            zone=row.zone,
            active=row.active,
            deactivated=row.deactivated,
            drain=row.drain,
            unavailable_from=row.unavailable_from,
            unavailable_until=row.unavailable_until,
        )
        for row in rows
    ]

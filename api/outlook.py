"""Why jobs wait and when they may start, for the routes.

What this needs, the matcher and numpy with it, is loaded when somebody asks for the first time: it would be a third of the
memory of a service that mostly is not asked.
"""

from __future__ import annotations

from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, Any

from api.submission import Admitted, executor_of
from api.views import to_job
from swath.domain.duration import is_foreseen
from swath.domain.states import ENDED_JOB
from swath.store.api_store import ApiStore
from swath.store.rows import JobRow
from swath.store.scheduling import SchedulerStore

if TYPE_CHECKING:
    from api.picture import Pictures, Told

Document = dict[str, Any]


class Outlook:
    """Explains jobs, submitted or not."""

    def __init__(self, store: ApiStore, scheduling: SchedulerStore) -> None:
        self._store = store
        self._scheduling = scheduling
        self._lock = Lock()
        self._pictures: Pictures | None = None

    def explain(self, job: JobRow, now: datetime) -> Document:
        """Why tasks of the job wait."""
        from api.explanation import explain_demand

        pictures = self._load()
        picture = pictures.take(now, self._ask(), None if job.state in ENDED_JOB else job.id)
        demand = next(iter(picture.demands.get(job.id, ())), None)
        found = explain_demand(picture, demand, {} if demand is None else pictures.look_ahead(picture))
        return {"job": job.id, "state": job.state, "why": to_job(job)["why"] or found.reason, **found.document}

    def try_out(self, admitted: Admitted, job_id: str, user: str, now: datetime) -> Document:
        """What would become of a job, in the form of an explanation."""
        from api.explanation import explain_demand
        from api.picture import make_demand

        pictures, spec = self._load(), admitted.spec
        alike_s = self._scheduling.find_alike_s(admitted.image.id, spec.project)
        demand = make_demand(
            spec,
            admitted.image,
            admitted.resources,
            job=job_id,
            user=user,
            since=now,
            count=spec.size,
            alike_s=alike_s,
        )
        picture = pictures.take(now, self._ask()).beside(demand, foreseen=is_foreseen(spec, None, alike_s))
        found = explain_demand(picture, demand, pictures.look_ahead(picture))
        starts_now = (found.document["estimate"] or {}).get("first_start_s") == 0
        return {"job": None, "state": None, "why": None if starts_now else found.reason, **found.document}

    def _ask(self) -> Told:
        """What the scheduler says of itself."""
        from api.picture import Told

        return Told.from_status(executor_of(self._store), self._store.cluster_status().data)

    def _load(self) -> Pictures:
        from api.picture import Pictures

        with self._lock:
            self._pictures = self._pictures or Pictures(self._scheduling)
            return self._pictures

"""What the api has asked for, as the loop reads it."""

from __future__ import annotations

from swath.domain.changes import PutTask
from swath.domain.states import TaskState
from swath.domain.wishes import Wishes
from swath.store.api_store import ApiStore
from swath.store.rows import JobRecord
from swath.store.scheduling import SchedulerStore

_TASK = tuple(PutTask.__slots__)


class WishReader:
    """Reads changed jobs and operators' wishes, and page by page the tasks to be tried again: there may be a million."""

    def __init__(self, scheduler: SchedulerStore, api: ApiStore) -> None:
        self._scheduler = scheduler
        self._api = api

    def read_changed_jobs(self) -> list[JobRecord]:
        """The jobs of which something is desired that the scheduler has not taken in."""
        return self._scheduler.read_changed_jobs()

    def read_operator_wishes(self) -> Wishes:
        """What operators want of agents and of the framework, and nobody has carried out."""
        return self._scheduler.read_wishes()

    def read_failed(self, job_id: str, after: int | None, limit: int) -> tuple[list[PutTask], int | None]:
        """At most `limit` rows of failed tasks above index `after`; with them the next `after`, None when that was all."""
        page = self._api.list_tasks(job_id, state=TaskState.FAILED, after=after, limit=limit)
        rows = [task for task in page.items if task.attempts]  # those that never ran have no row
        return [PutTask(**{name: getattr(task, name) for name in _TASK}) for task in rows], page.next

"""What the api does with the database: one method a question, each in a transaction of its own, from any thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from swath.domain.dependencies import Upstream
from swath.domain.jobs import JobSpec
from swath.domain.projects import Project
from swath.domain.resources import Resources
from swath.domain.states import TaskState
from swath.domain.wishes import AgentMode, AgentWish, FrameworkDesire, FrameworkWish, ProjectTree
from swath.store import (
    cluster,
    dependencies,
    events,
    jobs,
    outputs,
    projects,
    schedules,
    tasks,
    tenants,
    usage,
    wishes,
)
from swath.store.catalogue_store import CatalogueStore
from swath.store.database import Channel
from swath.store.recurring_rows import Previous, RunRow, ScheduleRow
from swath.store.rows import (
    AgentRow,
    AttemptRow,
    ClusterRow,
    EventRow,
    ImageRow,
    JobFilters,
    JobRow,
    Links,
    OutputRow,
    Page,
    Running,
    Submission,
    TaskRow,
    TenantsRow,
    UsageFilters,
    UsageRow,
)

ALL = JobFilters()


class ApiStore(CatalogueStore):
    """The api's side of the store. Any method may raise StoreUnavailableError, `get_` NotFoundError."""

    def submit(
        self,
        spec: JobSpec,
        image: ImageRow,
        *,
        resources: Resources,
        job_id: str,
        now: datetime,
        user: str,
        idempotency: tuple[str, str] | None = None,
    ) -> JobRow:
        """Write a job and wake the scheduler; the rows written do not grow with a range's length.

        resources: of one task (the manifest's and the job's own). idempotency: (key, hash of the request): a key that was used
        gives back the job of its first use, whose id is then not `job_id`; raises ConflictError if its hash was another.
        """
        with self._database.write(notify=Channel.DESIRED) as session:
            return jobs.submit(
                session,
                spec,
                image,
                resources=resources,
                job_id=job_id,
                now=now,
                user=user,
                idempotency=idempotency,
            )

    def find_submitted(self, key: str, request_hash: str) -> JobRow | None:
        """The job that was submitted with this idempotency key, if any; raises ConflictError if the request was another.

        A repeated request is answered by this, however the world has changed since: its job was accepted.
        """
        with self._database.read() as session:
            return next(iter(jobs.find_submitted(session, key, request_hash)), None)

    def submit_together(
        self,
        submissions: Sequence[Submission],
        *,
        now: datetime,
        user: str,
        idempotency: tuple[str, str] | None = None,
    ) -> list[JobRow]:
        """Write all of the jobs, or none, and wake the scheduler. One that waits for another has the later id.

        idempotency: as for `submit`; a key that was used gives back the jobs of its first use.
        """
        with self._database.write(notify=Channel.DESIRED) as session:
            return jobs.submit_together(session, submissions, now=now, user=user, idempotency=idempotency)

    def find_submitted_together(self, key: str, request_hash: str) -> list[JobRow] | None:
        """The jobs that were submitted with this idempotency key, if any; raises ConflictError if the request was another."""
        with self._database.read() as session:
            return jobs.find_submitted(session, key, request_hash) or None

    def list_jobs(self, filters: JobFilters = ALL, *, after: str | None = None, limit: int = 100) -> Page[JobRow, str]:
        """Jobs, the newest first; `after` is a job's id."""
        with self._database.read() as session:
            return jobs.list_jobs(session, filters, after, limit)

    def get_job(self, job_id: str) -> JobRow:
        """The job."""
        with self._database.read() as session:
            return jobs.get_job(session, job_id)

    def read_document(self, job_id: str) -> dict[str, Any]:
        """The job's document as it was submitted, all of its items included. Raises NotFoundError."""
        with self._database.read() as session:
            return jobs.read_document(session, job_id)

    def request_cancel(self, job_id: str) -> JobRow:
        """Ask the scheduler to end the job; asking twice is asking once. Raises ConflictError for an ended job."""
        with self._database.write(notify=Channel.DESIRED) as session:
            return jobs.request_cancel(session, job_id)

    def request_retry(self, job_id: str, *, now: datetime | None = None) -> JobRow:
        """Ask to run the failed tasks again.

        Raises ConflictError when none has failed, the job was cancelled, or its deadline has passed at `now` (the present).
        """
        with self._database.write(notify=Channel.DESIRED) as session:
            return jobs.request_retry(session, job_id, now or datetime.now(UTC))

    def find_linked(self, job_ids: Iterable[str]) -> dict[str, Upstream]:
        """The jobs with these ids, as far as one that is to start after them has to know; an id that is none is left out."""
        with self._database.read() as session:
            return dependencies.find_linked(session, job_ids)

    def list_links(self, job_id: str) -> Links:
        """The jobs that the job starts after, and those that start after it."""
        with self._database.read() as session:
            return dependencies.list_links(session, job_id)

    def add_schedule(self, row: ScheduleRow) -> ScheduleRow:
        """Write a schedule. Raises ConflictError where its name is taken."""
        with self._database.write() as session:
            return schedules.add_schedule(session, row)

    def list_schedules(self) -> list[ScheduleRow]:
        """All schedules by name."""
        with self._database.read() as session:
            return schedules.list_schedules(session)

    def get_schedule(self, name: str) -> ScheduleRow:
        """The schedule of this name or id."""
        with self._database.read() as session:
            return schedules.get_schedule(session, name)

    def change_schedule(self, schedule_id: str, changed: Mapping[str, Any]) -> ScheduleRow:
        """Write new values of the schedule's fields. Raises NotFoundError."""
        with self._database.write() as session:
            return schedules.change_schedule(session, schedule_id, changed)

    def remove_schedule(self, name: str) -> None:
        """Forget the schedule; its jobs stay. Raises NotFoundError."""
        with self._database.write() as session:
            schedules.remove_schedule(session, name)

    def list_runs(self, schedule_id: str, *, limit: int = 20) -> list[RunRow]:
        """The schedule's last fire times, the newest first."""
        with self._database.read() as session:
            return schedules.list_runs(session, schedule_id, limit)

    def list_due(self, now: datetime, *, limit: int = 100) -> list[ScheduleRow]:
        """Schedules with a fire time that has come."""
        with self._database.read() as session:
            return schedules.list_due(session, now, limit)

    def find_next_at(self) -> datetime | None:
        """The earliest fire time of all schedules that nobody has dealt with."""
        with self._database.read() as session:
            return schedules.find_next_at(session)

    def find_previous(self, schedule_id: str) -> Previous | None:
        """The last job that the schedule has submitted."""
        with self._database.read() as session:
            return schedules.find_previous(session, schedule_id)

    def fire(
        self,
        schedule: ScheduleRow,
        run: RunRow,
        *,
        next_at: datetime | None,
        submission: Submission | None = None,
        cancelled: str | None = None,
    ) -> bool:
        """Deal with a fire time once and for all: its job, its run and the schedule's next fire time in one transaction.

        False, and nothing is written, where the schedule's `next_at` is not `schedule.next_at` any more: another service was
        faster. `cancelled` is a job whose end is asked for.
        """
        with self._database.write(notify=Channel.DESIRED) as session:
            return schedules.fire(session, schedule, run, next_at=next_at, submission=submission, cancelled=cancelled)

    def list_tasks(
        self, job_id: str, *, state: TaskState | None = None, after: int | None = None, limit: int = 100
    ) -> Page[TaskRow, int]:
        """Tasks by index, those never launched too; `after` is an index."""
        with self._database.read() as session:
            return tasks.list_tasks(session, job_id, state, after, limit)

    def get_task(self, job_id: str, index: int) -> TaskRow:
        """One task, launched or not."""
        with self._database.read() as session:
            return tasks.get_task(session, job_id, index)

    def get_item(self, job_id: str, index: int) -> Any:
        """The element of the job's array at `index`; None for a job without an array. Raises NotFoundError."""
        with self._database.read() as session:
            return tasks.get_item(session, job_id, index)

    def list_attempts(self, job_id: str, index: int) -> list[AttemptRow]:
        """All attempts of a task, the first one first. Raises NotFoundError for an unknown task."""
        with self._database.read() as session:
            return tasks.list_attempts(session, job_id, index)

    def list_outputs(
        self, job_id: str, *, index: int | None = None, after: str | None = None, limit: int = 100
    ) -> Page[OutputRow, str]:
        """Files of tasks that have succeeded, of one task where `index` is given; `after` is a page's `next`."""
        with self._database.read() as session:
            return outputs.list_outputs(session, job_id, index, after, limit)

    def read_events(
        self, after: int, *, job_id: str | None = None, task: int | None = None, limit: int = 1000
    ) -> list[EventRow]:
        """At most `limit` events with an id above `after`, in order; none that becomes visible later has a smaller id.

        Those of one `task` are searched among those of its job.
        """
        with self._database.read() as session:
            return events.read_events(session, after, job_id, task, limit)

    def last_event_id(self) -> int:
        """The id of the newest event; 0 when there is none."""
        with self._database.read() as session:
            return events.last_event_id(session)

    def list_agents(self, *, active: bool | None = None) -> list[AgentRow]:
        """Agents by host name, all that were ever seen or those that are (not) active."""
        with self._database.read() as session:
            return cluster.list_agents(session, active=active)

    def get_agent(self, agent_id: str) -> AgentRow:
        """The agent."""
        with self._database.read() as session:
            return cluster.get_agent(session, agent_id)

    def find_agents(self, name: str) -> list[AgentRow]:
        """The agent whose id is `name`, or all that have it as their host name: several where one machine has several."""
        with self._database.read() as session:
            return cluster.find_agents(session, name)

    def want_agent(
        self,
        agent_id: str,
        mode: AgentMode,
        *,
        max_grace_s: float | None = None,
        mark_gone: bool = False,
        user: str,
        now: datetime,
    ) -> AgentWish:
        """Ask the scheduler to make the agent what `mode` says; asking for what is there or under way changes nothing.

        Raises NotFoundError for an agent that was never seen.
        """
        with self._database.write(notify=Channel.DESIRED) as session:
            return wishes.want_agent(
                session, agent_id, mode, max_grace_s=max_grace_s, mark_gone=mark_gone, user=user, now=now
            )

    def want_framework(
        self, desire: FrameworkDesire, *, framework_id: str | None, user: str, now: datetime
    ) -> FrameworkWish:
        """Ask the scheduler to end the framework, or to begin anew under another id; asking twice is asking once.

        Raises ConflictError unless `framework_id` is the present one, for what has none yet, and for the end of what has left.
        """
        with self._database.write(notify=Channel.DESIRED) as session:
            return wishes.want_framework(session, desire, framework_id=framework_id, user=user, now=now)

    def put_project(self, project: Project, *, user: str, now: datetime) -> None:
        """Declare a project or change it, and wake the scheduler; what is declared already changes nothing.

        Raises InvalidInputError for an unknown parent, a cycle, and a tree that is too deep or too large.
        """
        with self._database.write(notify=Channel.DESIRED) as session:
            projects.put_project(session, project, user=user, now=now)

    def remove_project(self, name: str) -> None:
        """Forget what was declared of the project. Its jobs would go on with the defaults, below the root.

        Raises NotFoundError where nothing was, ConflictError while others are below it or jobs of it have not ended.
        """
        with self._database.write(notify=Channel.DESIRED) as session:
            projects.remove_project(session, name)

    def read_projects(self) -> ProjectTree:
        """All declared projects, and whether the scheduler knows of the last change."""
        with self._database.read() as session:
            return projects.read_tree(session)

    def read_tenants(self) -> TenantsRow:
        """The projects, and who holds what of the cluster."""
        with self._database.read() as session:
            return tenants.read_tenants(session)

    def read_usage(
        self, filters: UsageFilters, *, now: datetime, after: tuple[str, ...] | None = None, limit: int = 100
    ) -> Page[UsageRow, tuple[str, ...]]:
        """What was held and used, in the order of the groups; `after` is a page's `next`."""
        with self._database.read() as session:
            return usage.read_usage(session, filters, now, after, limit)

    def count_running(self) -> Running:
        """What has not ended, in numbers."""
        with self._database.read() as session:
            return cluster.count_running(session)

    def cluster_status(self) -> ClusterRow:
        """How the cluster is doing."""
        with self._database.read() as session:
            return cluster.cluster_status(session)

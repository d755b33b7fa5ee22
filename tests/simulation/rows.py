"""The rows of jobs and tasks: ended is ended, counters are those of the rows, and a winner has won."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from swath.domain.changes import ChangeJob, PutTask
from swath.domain.states import ENDED_JOB, ENDED_TASK, AttemptState, JobState, TaskState

if TYPE_CHECKING:
    from tests.simulation.database import SimDatabase


class Rows:
    """Knows what they were before."""

    def __init__(self, database: SimDatabase, fail: Callable[[str], None]) -> None:
        self.published: dict[str, str] = {}  # attempt -> the directory that it has put its outputs into
        self._database = database
        self._fail = fail
        self._tasks: dict[tuple[str, int], PutTask] = {}
        self._job_states: dict[str, tuple[JobState, int, int]] = {}

    def _check(self, condition: object, text: str) -> None:
        if not condition:
            self._fail(text)

    def check_task(self, task: PutTask) -> None:
        """What has ended stays so, unless it is tried again, and who has won stays the winner."""
        key = (task.job_id, task.index)
        before, self._tasks[key] = self._tasks.get(key), task
        if before is not None and before.state in ENDED_TASK and before.state is not task.state:
            job = self._database.jobs[task.job_id]
            again = task.state in (TaskState.PENDING, TaskState.ACTIVE)
            retried = before.state is TaskState.FAILED and again and job.retry_rev > 0
            self._check(retried, f"task {key} was {before.state} and is {task.state}")
        if before is not None and before.winner_attempt is not None:
            self._check(before.winner_attempt == task.winner_attempt, f"task {key} has another winner")
        if task.state is TaskState.SUCCEEDED:
            self._check_winner(task)

    def _check_winner(self, task: PutTask) -> None:
        winner = self._database.attempts.get(task.winner_attempt or "")
        self._check(winner is not None, f"task {task.job_id} {task.index} has succeeded without an attempt")
        if winner is not None:
            mine = (winner.job_id, winner.task_index) == (task.job_id, task.index)
            self._check(mine and winner.state is AttemptState.SUCCEEDED, f"{winner.id} has not won {task.index}")
            directory = self._database.details[winner.id].get("output_dir")
            known = directory is not None and directory == self.published.get(winner.id)
            self._check(known, f"the output of {winner.id} is {directory}, which it has not published")

    def check_job_state(self, job: ChangeJob) -> None:
        """The same of a job."""
        record = self._database.jobs[job.job_id]
        before, rev, dropped = self._job_states.get(job.job_id, (JobState.PENDING, 0, 0))
        # Wishes may come before they are heard of.
        self._job_states[job.job_id] = (job.state, job.retry_rev_done, job.dropped.count)
        if before in ENDED_JOB and before is not job.state:
            woken = job.dropped.count < dropped  # by a retry of the job before it, or of one of its tasks
            self._check(record.retry_rev > rev or woken, f"job {job.job_id} was {before} and is {job.state}")

    def check_counts(self, job_id: str) -> None:
        """Tasks without a row wait, or have ended all together."""
        database = self._database
        job, rows = database.jobs[job_id], database.rows[job_id]
        states = [task.state for task in rows.values()]
        counts, rowless, dropped = job.counts, job.size - len(rows), job.dropped.count
        told = (counts.pending, counts.failed, counts.cancelled)
        there = map(states.count, (TaskState.PENDING, TaskState.FAILED, TaskState.CANCELLED))
        extra = tuple(said - found for said, found in zip(told, there, strict=True))
        self._check(counts.total == job.size == sum((*told, counts.active, counts.succeeded)), f"{job_id} lost tasks")
        self._check(job.pending.count == rowless, f"job {job_id}: {job.pending.count} pending, {rowless} without a row")
        same = (counts.active, counts.succeeded) == (states.count(TaskState.ACTIVE), states.count(TaskState.SUCCEEDED))
        left = rowless - dropped
        if not same or extra not in ((left, dropped, 0), (0, rowless, 0), (0, dropped, left)):
            self._fail(f"job {job_id} counts {counts} where its rows are {Counter(states)} and {rowless} have none")
        live = database.live.get(job_id, ())
        if len(live) != counts.active:
            self._fail(f"job {job_id} counts {counts.active} active and has {sorted(live)}")

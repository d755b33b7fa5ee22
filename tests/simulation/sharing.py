"""What must hold between those who share the cluster: quotas, and attempts ended for others' sake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from swath.domain.attempts import Attempt
from swath.domain.changes import AddAttempt, Change, ChangeAttempt, PutTask
from swath.domain.projects import Project, walk_up
from swath.domain.resources import Resources
from swath.domain.retries import Cause
from swath.domain.states import is_terminal
from swath.store.rows import JobRecord

if TYPE_CHECKING:
    from tests.simulation.world import World


MOST_OFTEN, OFTEN_S = 5, 120.0  # more often is a livelock


class Sharing:
    """Looks at every commit; whoever calls it says what a problem leads to."""

    def __init__(self, world: World, fail: Callable[[str], None]) -> None:
        self._world = world
        self._fail = fail
        self._preempted: dict[tuple[str, int], list[float]] = {}  # when each task was, of late
        self._failures: dict[tuple[str, int], int] = {}
        self.seen: Counter[str] = Counter()  # what has come up, and how often: nothing is tested by what never happens

    def on_commit(self, changes: Sequence[Change]) -> None:
        """The rows are as the changes have made them."""
        launched = [change.attempt for change in changes if isinstance(change, AddAttempt)]
        ended = [change for change in changes if isinstance(change, ChangeAttempt)]
        for problem in self._find_problems(launched, ended, changes):
            self._fail(problem)

    def _find_problems(
        self, launched: Sequence[Attempt], ended: Sequence[ChangeAttempt], changes: Iterable[Change]
    ) -> Iterator[str]:
        for change in ended:
            yield from self._check_preemption(change)
        yield from self._check_failures(ended, changes)
        if launched and self._world.database.projects.rev == self._world.database.projects.observed_rev:
            yield from self._check_quotas(launched)

    # Attempts that are ended for others

    def _check_preemption(self, change: ChangeAttempt) -> Iterator[str]:
        """Only what may be preempted is, and only that is called so."""
        attempt = self._world.database.attempts[change.attempt_id]
        if change.kill_cause is Cause.PREEMPTED:
            self.seen["preempted"] += 1
            now, key = self._world.timeline.now, (attempt.job_id, attempt.task_index)
            self._preempted[key] = [at for at in self._preempted.get(key, []) if at > now - OFTEN_S] + [now]
            if len(self._preempted[key]) > MOST_OFTEN:
                yield f"task {key} is preempted over and over: {len(self._preempted[key])} times in {OFTEN_S:.0f} s"
            if not self._world.database.jobs[attempt.job_id].spec.preemptible:
                yield f"{attempt.id} is preempted, and its job is not preemptible"
        if change.cause is Cause.PREEMPTED and attempt.kill_cause is not Cause.PREEMPTED:
            yield f"{attempt.id} has ended as preempted, and nobody had written that it is to be"

    def _check_failures(self, ended: Sequence[ChangeAttempt], changes: Iterable[Change]) -> Iterator[str]:
        """ "A preempted attempt costs no retry"."""
        attempts = self._world.database.attempts
        free = {
            (attempts[change.attempt_id].job_id, attempts[change.attempt_id].task_index)
            for change in ended
            if is_terminal(change.state) and change.cause is Cause.PREEMPTED
        }
        for task in (change for change in changes if isinstance(change, PutTask)):
            key = (task.job_id, task.index)
            before, self._failures[key] = self._failures.get(key, 0), task.failures
            if key in free and task.failures > before:
                yield f"task {key} was preempted, and that counts as failure {task.failures}"

    # Quotas

    def _check_quotas(self, launched: Iterable[Attempt]) -> Iterator[str]:
        """Whatever is launched fits beside what is held already, in the project and in all above it."""
        database = self._world.database
        jobs = {attempt.job_id: database.jobs[attempt.job_id] for attempt in launched}
        for project, user in {(job.project, job.user) for job in jobs.values()}:
            for above in walk_up(database.projects.projects, project):
                whole = self._find_excess(above, above.quota, above.max_running, None)
                own = self._find_excess(above, above.user_quota, above.user_max_running, user)
                yield from (f"{of} exceeds its quota by a launch: {excess}" for of, excess in (*whole, *own))

    def _find_excess(
        self, project: Project, quota: object, most: int | None, user: str | None
    ) -> Iterator[tuple[str, str]]:
        assert isinstance(quota, dict)
        if not quota and most is None:
            return
        self.seen["launched under a quota"] += 1
        held, tasks = self._count_held(project, user)
        of = f"project {project.name}" if user is None else f"user {user} in project {project.name}"
        for name, limit in quota.items():
            if held[name] > limit:
                yield of, f"{held[name]} of {limit} {name}"
        if most is not None and tasks > most:
            yield of, f"{tasks} of {most} tasks"

    def _count_held(self, project: Project, user: str | None) -> tuple[Counter[str], int]:
        database = self._world.database
        held: Counter[str] = Counter()
        tasks = 0
        for job_id in database.live:
            job = database.jobs[job_id]
            mine = user in (None, job.user) and project in walk_up(database.projects.projects, job.project)
            for attempt in database.find_holders(job_id) if mine else ():
                held.update(attempt.resources.amounts())
                tasks += 1
        return held, tasks

    # For those who look whether anything waits for too long

    def may_start(self, job: JobRecord, need: Resources) -> bool:
        """False where a quota may be what a task of the job waits for that asks for `need`: its request may have grown."""
        projects = self._world.database.projects
        if projects.rev != projects.observed_rev:
            return False
        amounts = need.amounts()
        for above in walk_up(projects.projects, job.project):
            for quota, most, user in (
                (above.quota, above.max_running, None),
                (above.user_quota, above.user_max_running, job.user),
            ):
                if not quota and most is None:
                    continue
                held, tasks = self._count_held(above, user)
                if any(held[name] + amounts.get(name, 0) > limit for name, limit in quota.items()):
                    return False
                if most is not None and tasks >= most:
                    return False
        return True

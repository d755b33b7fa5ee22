"""The database in memory as its users see it: one truth, all or nothing, fenced by an epoch; and how it fails them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from swath.domain.attempts import Attempt
from swath.domain.changes import AddAttempt, Change, ChangeAttempt, PutTask
from swath.domain.errors import LeadershipLostError, StoreUnavailableError
from swath.domain.projects import Project
from swath.domain.states import ENDED_JOB, Desired, TaskState, is_terminal
from swath.domain.wishes import AgentMode, AgentWish, FrameworkDesire, FrameworkWish, Wishes
from swath.store.leadership import Term
from swath.store.rows import JobRecord, Snapshot
from tests.scheduler.memory_store import MemoryStore
from tests.simulation.timeline import START, Timeline

if TYPE_CHECKING:
    from tests.simulation.process import SchedulerProcess


class SimDatabase(MemoryStore):
    """The rows, the leadership's among them, and what the api does with them."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, dict[int, PutTask]] = {}  # tasks by job
        self.live: dict[str, set[str]] = {}  # open attempts by job
        self.in_slots: dict[str, list[str]] = {}  # all attempts by slot
        self.holder: str | None = None
        self.epoch = 0
        self.until: datetime = START

    def apply(self, changes: Sequence[Change]) -> None:
        """Write everything. That it can be stored is for the tests of the core to see."""
        for change in changes:
            self._write(change)

    def _write(self, change: Change) -> None:
        super()._write(change)
        match change:
            case PutTask():
                self.rows[change.job_id][change.index] = change
            case AddAttempt():
                self.live[change.attempt.job_id].add(change.attempt.id)
                self.in_slots.setdefault(change.attempt.slot_id, []).append(change.attempt.id)
            case ChangeAttempt() if is_terminal(change.state):
                self.live[self.attempts[change.attempt_id].job_id].discard(change.attempt_id)

    def attempts_in(self, slot_id: str) -> list[Attempt]:
        """The attempts of a Mesos task, ended ones too."""
        return [self.attempts[attempt_id] for attempt_id in self.in_slots.get(slot_id, ())]

    def find_holders(self, job_id: str) -> list[Attempt]:
        """One open attempt of each Mesos task of the job: what it asks for is what the Mesos task holds."""
        attempts = [self.attempts[attempt_id] for attempt_id in self.live.get(job_id, ())]
        return list({attempt.slot_id: attempt for attempt in attempts}.values())

    def check_epoch(self, epoch: int) -> None:
        """Raise LeadershipLostError unless `epoch` leads."""
        if epoch != self.epoch or self.holder is None:
            raise LeadershipLostError(f"epoch {epoch} leads no more: {self.holder} with epoch {self.epoch} does")

    # The leadership's row: swath.store.leadership

    def find(self) -> Term | None:
        """Who leads or led last."""
        return Term(holder=self.holder, epoch=self.epoch, expires_at=self.until) if self.epoch else None

    def acquire(self, holder: str, now: datetime, lease_s: float, *, instead_of: int | None = None) -> int | None:
        """The new epoch when the lease was free, expired, `holder`'s own or that of the epoch `instead_of`."""
        if self.holder not in (None, holder) and self.until > now and self.epoch != instead_of:
            return None
        self.holder, self.epoch, self.until = holder, self.epoch + 1, now + timedelta(seconds=lease_s)
        return self.epoch

    def renew(self, epoch: int, until: datetime) -> bool:
        """False when another epoch has begun."""
        if epoch != self.epoch or self.holder is None:
            return False
        self.until = until
        return True

    def release(self, epoch: int, now: datetime) -> bool:
        """Let the next one begin at once."""
        if epoch != self.epoch:
            return False
        self.holder, self.until = None, now
        return True

    # The api: swath.store.jobs

    def submit(self, record: JobRecord) -> None:
        """A job is accepted."""
        self.jobs[record.id] = record
        self.rows[record.id] = {}
        self.live[record.id] = set()

    def request_cancel(self, job_id: str) -> bool:
        """False where the api would answer with a conflict."""
        job = self.jobs[job_id]
        if job.desired is Desired.CANCELLED or (job.state in ENDED_JOB and job.desired_rev == job.observed_rev):
            return False
        self._desire(job, desired=Desired.CANCELLED)
        return True

    def request_retry(self, job_id: str, now: datetime) -> bool:
        """False where the api would answer with a conflict."""
        job = self.jobs[job_id]
        late = job.spec.deadline is not None and job.spec.deadline <= now
        if job.desired is Desired.CANCELLED or job.counts.failed == 0 or late:
            return False
        for other in self.find_dropped(job_id):
            self._desire(self.jobs[other])
        self._desire(job, retry_rev=job.retry_rev + 1)
        return True

    def _desire(self, job: JobRecord, **wishes: Any) -> None:
        self.jobs[job.id] = replace(job, desired_rev=job.desired_rev + 1, **wishes)

    def declare(self, projects: Mapping[str, Project]) -> None:
        """Projects as somebody has set them."""
        self.projects = replace(self.projects, projects=projects, rev=self.projects.rev + 1)

    def want_agent(self, agent_id: str, mode: AgentMode, *, mark_gone: bool = False) -> bool:
        """An operator wants something of an agent; False where there is no such agent."""
        if agent_id not in self.agents:
            return False
        known = self.agent_wishes.get(agent_id) or AgentWish(agent_id=agent_id, mode=AgentMode.ACTIVE, rev=0)
        self.agent_wishes[agent_id] = replace(known, mode=mode, rev=known.rev + 1, mark_gone=mark_gone, user="ada")
        return True

    def want_framework(self, desire: FrameworkDesire) -> bool:
        """An operator wants the framework to leave, or to begin anew; False where the api would answer with a conflict."""
        known = self.framework_wish or FrameworkWish(desire=FrameworkDesire.RUN, rev=0)
        if known.torn_down if desire is FrameworkDesire.TEARDOWN else not (self.framework_id or known.torn_down):
            return False
        self.framework_wish = replace(known, desire=desire, rev=known.rev + 1)
        return True

    # What the loop reads: scheduler.wishes

    def read_operator_wishes(self) -> Wishes:
        """What nobody has carried out."""
        wish = self.framework_wish
        framework = wish if wish is not None and wish.rev != wish.observed_rev else None
        return Wishes(
            projects=self.projects if self.projects.rev != self.projects.observed_rev else None,
            framework=framework,
            agents=tuple(wish for wish in self.agent_wishes.values() if wish.rev != wish.observed_rev),
        )

    def read_changed_jobs(self) -> list[JobRecord]:
        """Jobs of which something is desired that nobody has taken in."""
        changed = (name for name in sorted(self.jobs) if self.jobs[name].desired_rev != self.jobs[name].observed_rev)
        return [self.complete(self.jobs[name]) for name in changed]

    def read_failed(self, job_id: str, after: int | None, limit: int) -> tuple[list[PutTask], int | None]:
        """One page of the failed tasks that were ever launched."""
        rows = self.rows[job_id]
        failed = [rows[index] for index in sorted(rows) if rows[index].state is TaskState.FAILED]
        page = [task for task in failed if after is None or task.index > after]
        more = page[limit - 1].index if len(page) > limit else None
        return [task for task in page[:limit] if task.attempts], more


@dataclass(slots=True)
class Trouble:
    """What is wrong with the database now; faults set it."""

    timeline: Timeline
    random: Random
    down_until_us: int = 0
    slow_until_us: int = 0
    failing_commits: int = 0
    lost_answers: int = 0

    def draw_latency_s(self) -> float:
        """How long the database takes."""
        if self.timeline.now_us < self.slow_until_us:
            return self.random.uniform(0.5, 12.0)
        return self.random.uniform(0.0005, 0.005)

    def check(self) -> None:
        """Raise StoreUnavailableError while nobody gets through."""
        if self.timeline.now_us < self.down_until_us:
            raise StoreUnavailableError("the connection was refused")

    def end(self) -> None:
        """All is well."""
        self.down_until_us = self.slow_until_us = self.failing_commits = self.lost_answers = 0


class StorePort:
    """The database as one scheduler's process reaches it: scheduler.shell.Store, .loop.Jobs and .lease.LeaderRow at once."""

    def __init__(self, process: SchedulerProcess) -> None:
        self._process = process
        self._database = process.world.database
        self._trouble = process.world.trouble
        self._lease_s = 0.0

    def _visit(self, what: str) -> None:
        self._process.sleep(self._trouble.draw_latency_s(), f"{what} of {self._process}")
        self._check()

    def _check(self) -> None:
        self._trouble.check()
        if self._process.link.database_cut:
            raise StoreUnavailableError("no route to host")

    def apply(self, changes: Sequence[Change], *, epoch: int, now: datetime) -> None:
        """One transaction."""
        self._process.reach("before commit")
        self._visit("commit")
        if self._trouble.failing_commits:
            self._trouble.failing_commits -= 1
            self._process.world.note(f"commit of {self._process} fails")
            raise StoreUnavailableError("the commit failed")
        self._process.world.commit(self._process, changes, epoch)
        if self._trouble.lost_answers:
            self._trouble.lost_answers -= 1
            self._process.world.note(f"the answer to a commit of {self._process} is lost")
            raise StoreUnavailableError("the connection broke before the answer")
        self._process.reach("after commit")

    def load(self) -> Snapshot:
        """Everything that is open."""
        self._visit("load")
        return self._database.load()

    def read_items(self, job_id: str, indices: Iterable[int]) -> dict[int, Any]:
        """The elements of the job's array."""
        array = self._database.jobs[job_id].spec.array
        return {index: None if array is None else array.number_at(index) for index in indices}

    def read_changed_jobs(self) -> list[JobRecord]:
        """See SimDatabase."""
        self._visit("read")
        return self._database.read_changed_jobs()

    def read_operator_wishes(self) -> Wishes:
        """See SimDatabase."""
        return self._database.read_operator_wishes()  # in the same visit as the jobs, which are read before

    def read_failed(self, job_id: str, after: int | None, limit: int) -> tuple[list[PutTask], int | None]:
        """See SimDatabase."""
        self._visit("read")
        return self._database.read_failed(job_id, after, limit)

    def find(self) -> Term | None:
        """See swath.store.leadership. A standby asks all the time: it is not held up."""
        self._check()
        return self._database.find()

    def acquire(self, holder: str, now: datetime, lease_s: float, *, instead_of: int | None = None) -> int | None:
        """See swath.store.leadership."""
        self._process.come_home()
        self._lease_s = lease_s
        self._visit("acquire")
        epoch = self._database.acquire(holder, now, lease_s, instead_of=instead_of)
        if epoch is not None:
            self._process.world.note(f"{self._process} leads with epoch {epoch}")
        return epoch

    def renew(self, epoch: int, now: datetime) -> bool:
        """See swath.store.leadership."""
        self._visit("renew")
        return self._database.renew(epoch, now + timedelta(seconds=self._lease_s))

    def release(self, epoch: int, now: datetime) -> bool:
        """See swath.store.leadership."""
        self._visit("release")
        return self._database.release(epoch, now)

"""The database in memory: the store's changes on dictionaries."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from datetime import date
from math import isfinite
from typing import Any

import pytest

from swath.domain.attempts import Attempt
from swath.domain.changes import (
    AddAttempt,
    AddEvent,
    AddUsage,
    Change,
    ChangeAttempt,
    ChangeJob,
    CordonAgent,
    DeactivateAgent,
    ObserveAgentWish,
    ObserveFrameworkWish,
    ObserveProjects,
    PutAgent,
    PutImages,
    PutLearned,
    PutPast,
    PutSchedulerStatus,
    PutTask,
    SetFrameworkId,
    TellOfEnded,
)
from swath.domain.dependencies import Upstream, make_upstream
from swath.domain.ranges import Ranges
from swath.domain.retries import SAYS_NOTHING_OF_AGENT, Cause
from swath.domain.shares import Past
from swath.domain.states import Desired, JobState, TaskState, is_terminal
from swath.domain.usage import SUCCEEDED, Amounts
from swath.domain.wishes import SWATH, AgentMode, AgentWish, FrameworkWish, ProjectTree
from swath.store.rows import JobRecord, Snapshot
from swath.store.types import to_json


def _key(change: Change) -> tuple[object, ...] | None:
    """What a change is of, for those that the store writes as rows of their own."""
    match change:
        case ChangeAttempt():
            return "attempt", change.attempt_id
        case PutTask():
            return "task", change.job_id, change.index
        case ChangeJob():
            return "job", change.job_id
        case PutAgent():
            return "agent", change.agent_id
        case PutImages():
            return "images", change.agent_id
        case PutPast():
            return "past", change.project
        case AddUsage():
            return "usage", change.day, change.project, change.user, change.image, change.outcome
    return None


def check_storable(value: Any) -> None:
    """Fail for what the store cannot write: integers beyond 64 bits, numbers that are none, documents with those.

    Text it cleans: NULs and lone surrogates.
    """
    match value:
        case bool() | None | date() | str():
            pass
        case int():
            assert -(2**63) <= value < 2**63, f"{value} has more than 64 bits"
        case float():
            assert isfinite(value), f"{value} is no number"
        case Mapping():
            json.loads(to_json(value), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
            check_storable(list(value.values()))
        case list() | tuple():
            for entry in value:
                check_storable(entry)
        case _ if is_dataclass(value):
            check_storable([getattr(value, entry.name) for entry in fields(value)])
        case _:
            raise AssertionError(f"{value!r} has no column")


class MemoryStore:
    """What the store does with changes, on dictionaries; complains of everything that the real one would refuse."""

    def __init__(self) -> None:
        self.framework_id: str | None = None
        self.jobs: dict[str, JobRecord] = {}
        self.tasks: dict[tuple[str, int], PutTask] = {}
        self.attempts: dict[str, Attempt] = {}
        self.details: dict[str, dict[str, Any]] = {}
        self.agents: dict[str, PutAgent] = {}
        self.images: dict[str, Any] = {}
        self.events: list[AddEvent] = []
        self.status: PutSchedulerStatus | None = None
        self.agent_wishes: dict[str, AgentWish] = {}
        self.learned: dict[tuple[int, str], PutLearned] = {}
        self.framework_wish: FrameworkWish | None = None
        self.projects = ProjectTree()
        self.pasts: dict[str, Past] = {}
        self.usage: dict[tuple[date, str, str, str, str], Amounts] = {}

    def apply(self, changes: Sequence[Change]) -> None:
        """Write everything."""
        keys = [key for change in changes if (key := _key(change)) is not None]
        assert len(keys) == len(set(keys)), "the core merges what it writes: each thing comes once in a turn"
        for change in changes:
            check_storable(change)
            self._write(change)

    def _write(self, change: Change) -> None:
        match change:
            case SetFrameworkId():
                self.framework_id = change.framework_id
            case AddAttempt():
                assert change.attempt.id not in self.attempts
                self.attempts[change.attempt.id] = change.attempt
                self.details[change.attempt.id] = {}
            case ChangeAttempt():
                before = self.attempts[change.attempt_id]
                assert not is_terminal(before.state), "an attempt that has ended never changes"
                since = change.unreachable_at or before.unreachable_at
                why, begun = change.kill_cause or before.kill_cause, change.started_at or before.started_at
                self.attempts[change.attempt_id] = replace(
                    before, state=change.state, started_at=begun, unreachable_at=since, kill_cause=why
                )
                said = {f.name: getattr(change, f.name) for f in fields(change)}
                self.details[change.attempt_id] |= {name: value for name, value in said.items() if value is not None}
            case PutTask():
                self.tasks[(change.job_id, change.index)] = change
            case ChangeJob():
                kept = (
                    "state",
                    "pending",
                    "counts",
                    "observed_rev",
                    "retry_rev_done",
                    "wait_reason",
                    "dropped",
                    "message",
                )
                times = {"started_at": change.started_at, "ended_at": change.ended_at}
                self.jobs[change.job_id] = replace(
                    self.jobs[change.job_id], **{name: getattr(change, name) for name in kept}, **times
                )
            case PutAgent():
                self.agents[change.agent_id] = change
            case PutImages():
                assert change.agent_id in self.agents
                self.images[change.agent_id] = json.loads(to_json(change.report))
            case DeactivateAgent():
                self.images.pop(change.agent_id, None)
                del self.agents[change.agent_id]
            case AddEvent():
                self.events.append(change)
            case TellOfEnded():
                if (told := self.attempts.get(change.slot_id)) is not None:
                    data = {**change.data, "task": told.task_index, "attempt": told.id}
                    self.events.append(AddEvent(job_id=told.job_id, kind=change.kind, data=data))
            case ObserveAgentWish():
                if (wish := self.agent_wishes.get(change.agent_id)) is not None:
                    observed = max(wish.observed_rev, change.rev)
                    self.agent_wishes[change.agent_id] = replace(wish, observed_rev=observed)
            case PutLearned():
                self.learned[change.image_version_id, change.asked] = change
            case CordonAgent():
                known = self.agent_wishes.get(change.agent_id, AgentWish(agent_id="", mode=AgentMode.ACTIVE, rev=0))
                if known.mode is AgentMode.ACTIVE and known.rev == known.observed_rev:
                    self.agent_wishes[change.agent_id] = AgentWish(
                        agent_id=change.agent_id,
                        mode=AgentMode.CORDONED,
                        rev=known.rev + 1,
                        observed_rev=known.rev + 1,
                        user=SWATH,
                    )
            case ObserveFrameworkWish():
                if self.framework_wish is not None:
                    seen = {"observed_rev": change.rev, "torn_down": change.torn_down}
                    self.framework_wish = replace(self.framework_wish, **seen)
            case ObserveProjects():
                self.projects = replace(self.projects, observed_rev=max(self.projects.observed_rev, change.rev))
            case AddUsage():
                key = (change.day, change.project, change.user, change.image, change.outcome)
                self.usage[key] = self.usage.get(key, Amounts()) + change.amounts
            case PutPast():
                self.pasts[change.project] = change.past
            case PutSchedulerStatus():
                self.status = change

    def load(self) -> Snapshot:
        """Everything that is open."""
        return Snapshot(
            framework_id=self.framework_id,
            jobs=[
                self.complete(job)
                for job in self.jobs.values()
                if job.state in (JobState.PENDING, JobState.RUNNING) or job.desired_rev != job.observed_rev
            ],
            tasks=[task for task in self.tasks.values() if task.state in (TaskState.PENDING, TaskState.ACTIVE)],
            attempts=[attempt for attempt in self.attempts.values() if not is_terminal(attempt.state)],
            agents=list(self.agents.values()),
            images=dict(self.images),
            agent_wishes=[
                wish
                for wish in self.agent_wishes.values()
                if wish.mode is not AgentMode.ACTIVE or wish.rev != wish.observed_rev
            ],
            framework_wish=self.framework_wish,
            learned=list(self.learned.values()),
            failed_on=[
                (attempt.job_id, attempt.task_index, attempt.agent_id)
                for attempt in self.attempts.values()
                if is_terminal(attempt.state)
                and self.details[attempt.id].get("cause", Cause.KILLED) not in SAYS_NOTHING_OF_AGENT
                and self.tasks[(attempt.job_id, attempt.task_index)].state in (TaskState.PENDING, TaskState.ACTIVE)
            ],
            projects=self.projects.projects,
            pasts=dict(self.pasts),
        )

    def complete(self, job: JobRecord) -> JobRecord:
        """The job's row beside what the rows of the jobs say that it waits for."""
        return replace(job, upstream=tuple(self._read_upstream(entry.job) for entry in job.spec.after))

    def find_dropped(self, job_id: str) -> list[str]:
        """The jobs, near and far, that have failed because this one did: swath.store.dependencies."""
        found: dict[str, None] = {job_id: None}
        for job in self.jobs.values():  # each is there later than those that it waits for
            waits = any(entry.job in found for entry in job.spec.after)
            if waits and job.dropped and job.desired is Desired.RUN:
                found[job.id] = None
        return list(found)[1:]

    def _read_upstream(self, job_id: str) -> Upstream:
        job = self.jobs[job_id]
        tasks = [task for (owner, _), task in self.tasks.items() if owner == job_id]
        rows = {state: Ranges().add(task.index for task in tasks if task.state is state) for state in TaskState}
        known = {"id": job.id, "name": job.name, "counts": job.counts}
        return make_upstream(**known, pending=job.pending, dropped=job.dropped, rows=rows)

    def check_counts(self) -> None:
        """The counts of every job are those of its rows; tasks without a row are pending, or ended with the job."""
        for job in self.jobs.values():
            rows = [task for (job_id, _), task in self.tasks.items() if job_id == job.id]
            by_state = {state: sum(task.state is state for task in rows) for state in TaskState}
            without_row = job.size - len(rows)
            assert job.pending.count == without_row
            assert not any(index in job.pending for (job_id, index) in self.tasks if job_id == job.id)
            counts = job.counts
            assert counts.active == by_state[TaskState.ACTIVE]
            assert counts.succeeded == by_state[TaskState.SUCCEEDED]
            idle = counts.pending + counts.failed + counts.cancelled
            rows_idle = by_state[TaskState.PENDING] + by_state[TaskState.FAILED] + by_state[TaskState.CANCELLED]
            assert idle == rows_idle + without_row
            waiting = without_row - job.dropped.count
            assert counts.pending in (by_state[TaskState.PENDING], by_state[TaskState.PENDING] + waiting)
            assert job.dropped.minus(job.pending) == Ranges()
            live = [a for a in self.attempts.values() if a.job_id == job.id and not is_terminal(a.state)]
            assert len(live) == counts.active

    def check_usage(self) -> None:
        """Every attempt that has ended was accounted for once, under its job's owner and its own outcome."""
        assert not self.find_misaccounted()

    def find_misaccounted(self) -> dict[tuple[str, str, str], tuple[int, int]]:
        """(project, user, outcome) -> how many attempts the account has, and how many there are, where these differ."""
        accounted: Counter[tuple[str, str, str]] = Counter()
        for (_, project, user, _, outcome), amounts in self.usage.items():
            accounted[project, user, outcome] += amounts.attempts
        ended: Counter[tuple[str, str, str]] = Counter()
        for attempt in self.attempts.values():
            if is_terminal(attempt.state):
                job = self.jobs[attempt.job_id]
                ended[job.project, job.user, str(self.details[attempt.id].get("cause", SUCCEEDED))] += 1
        keys = accounted.keys() | ended.keys()
        return {key: (accounted[key], ended[key]) for key in keys if accounted[key] != ended[key]}

"""What the scheduler does around a plan, measured in this process: see benchmarks/matching.py.

The core is loaded as after a restart, with all that runs, and is offered what is free. `views`, `demands` and `tenants` are
made from its state for the plan; a turn is everything: offers, plan, launches recorded, declines, reasons when they are due.
"""

from __future__ import annotations

import os
from datetime import timedelta
from itertools import count
from typing import Any

from benchmarks.cycle import measure
from benchmarks.machine import peak_resident_mb
from benchmarks.workload import EXECUTOR, NOW, Workload, make_workload
from scheduler.core import demands, launching
from scheduler.core import events as ev
from scheduler.core.reactor import Core
from scheduler.core.state import CoreSettings
from swath.domain.attempts import Attempt
from swath.domain.catalogue import ImageState
from swath.domain.changes import PutAgent, PutTask
from swath.domain.ids import make_ulid
from swath.domain.jobs import JobSpec
from swath.domain.ranges import Ranges
from swath.domain.states import AttemptState, Desired, JobCounts, JobState, TaskState
from swath.matching.model import AgentView, Demand, Running
from swath.matching.plan import plan
from swath.store.rows import ImageRow, JobRecord, Snapshot

SETTINGS = CoreSettings(executor_id="swath-0", executor_resources=EXECUTOR)
IMAGE = ImageRow(
    id=1,
    name="true",
    version="1.0.0",
    digest="sha256:0",
    reference=None,
    image_id=None,
    context="builtin:true",
    manifest={"job": {"timeout": 3600}},
    swath_manifest=None,
    state=ImageState.ACTIVE,
    created_at=NOW,
    registered_at=NOW,
)
_ids = count(1)


def main(order: dict[str, Any]) -> dict[str, Any]:
    """Median milliseconds: of CPU for each part, and of both kinds for whole turns."""
    rounds = order.pop("rounds")
    workload = make_workload(**order)
    core = load(workload)
    clock = _Clock(core, [agent for agent in workload.agents if agent.offered])
    state = core.state
    clock.offer()
    parts = {
        "views": lambda: demands.make_views(state, NOW),
        "demands": lambda: demands.make_demands(state, NOW),
        "tenants": lambda: demands.make_tenants(state, NOW),
        "all_and_plan": lambda: plan_of(core),
    }
    figures = {f"{name}_cpu_ms": measure(act, min(9, rounds))["cpu_median_ms"] for name, act in parts.items()}
    figures["live_attempts"] = len(state.attempts)
    turn = measure(clock.turn, rounds, clock.offer)
    turns = {f"turn_{name}": value for name, value in turn.items()} if clock.agents else {}
    return {**figures, **turns, "peak_rss_mb": round(peak_resident_mb(os.getpid()))}


def plan_of(core: Core) -> object:
    """The plan as `launching.place` makes it, from views and demands that are made with it."""
    state = core.state
    return plan(
        demands.make_views(state, NOW),
        demands.make_demands(state, NOW),
        tenants=demands.make_tenants(state, NOW),
        work=demands.make_work(state, NOW),
        most=launching.LAUNCHES,
    )


class _Clock:
    """Has the agents offer what they have free, again and again, a second apart."""

    def __init__(self, core: Core, agents: list[AgentView]) -> None:
        self.agents = agents
        self._core = core
        self._now = NOW
        self._event: tuple[ev.Event, ...] = (ev.Subscribed(framework_id="f"),)

    def offer(self) -> None:
        """Make the offers of the next second, and have the core know of them without acting."""
        self._now += timedelta(seconds=1)
        self._event = (ev.Offered(offers=tuple(map(_make_offer, self.agents))),)

    def turn(self) -> None:
        """One turn of the core."""
        self._core.handle(self._event, self._now)


def _make_offer(agent: AgentView) -> ev.Offer:
    return ev.Offer(
        id=f"offer-{next(_ids)}",
        agent_id=agent.id,
        hostname=agent.attributes["hostname"],
        url="http://127.0.0.1:5051",
        resources=agent.free,
        executor_ids=frozenset() if agent.overhead == EXECUTOR else frozenset({SETTINGS.executor_id}),
        attributes=agent.attributes,
    )


def load(workload: Workload) -> Core:
    """A core that knows all agents, jobs and attempts of the workload."""
    by_job: dict[str, list[tuple[str, Running]]] = {}
    for agent, attempts in workload.running.items():
        for attempt in attempts:
            by_job.setdefault(attempt.attempt.partition(" ")[0], []).append((agent, attempt))
    jobs = [_make_job(demand, len(by_job.get(demand.job, ()))) for demand in workload.demands]
    attempts = [
        _make_attempt(job, index, agent, running)
        for job, entries in by_job.items()
        for index, (agent, running) in enumerate(entries)
    ]
    snapshot = Snapshot(
        framework_id="f",
        jobs=jobs,
        tasks=[_make_task(attempt) for attempt in attempts],
        attempts=attempts,
        agents=list(map(_make_agent, workload.agents)),
    )
    core = Core.load(snapshot, SETTINGS, make_id=lambda at: make_ulid(at, next(_ids).to_bytes(10, "big")), now=NOW)
    core.handle([ev.Subscribed(framework_id="f")], NOW)
    return core


def _make_job(demand: Demand, active: int) -> JobRecord:
    constraints = [
        {"attribute": rule.attribute, "operator": rule.operator, "value": rule.value} for rule in demand.constraints
    ]
    size = active + demand.count
    document = {"image": "true", "array": {"over": "I", "range": [0, size]}, "constraints": constraints}
    return JobRecord(
        id=demand.job,
        name=demand.job,
        project=demand.project,
        user=demand.user,
        spec=JobSpec.from_document({**document, "expected_s": demand.expected_s}),
        size=size,
        resources=demand.resources,
        priority=demand.priority,
        image=IMAGE,
        desired=Desired.RUN,
        desired_rev=1,
        observed_rev=1,
        retry_rev=0,
        retry_rev_done=0,
        state=JobState.RUNNING if active else JobState.PENDING,
        pending=Ranges(((active, size),)),
        counts=JobCounts(total=size, pending=demand.count, active=active),
        wait_reason=None,
        submitted_at=demand.since,
        started_at=NOW if active else None,
        ended_at=None,
    )


def _make_attempt(job: str, index: int, agent: str, running: Running) -> Attempt:
    launched_at = NOW - timedelta(seconds=running.age_s)
    attempt_id = make_ulid(launched_at, next(_ids).to_bytes(10, "big"))
    return Attempt(
        id=attempt_id,
        job_id=job,
        task_index=index,
        number=1,
        slot_id=attempt_id,
        agent_id=agent,
        hostname=agent,
        resources=running.resources,
        executor_id=SETTINGS.executor_id,
        state=AttemptState.RUNNING,
        launched_at=launched_at,
        started_at=launched_at,
    )


def _make_task(attempt: Attempt) -> PutTask:
    return PutTask(job_id=attempt.job_id, index=attempt.task_index, state=TaskState.ACTIVE, attempts=1)


def _make_agent(view: AgentView) -> PutAgent:
    return PutAgent(
        agent_id=view.id,
        hostname=view.attributes["hostname"],
        url="http://127.0.0.1:5051",
        total=view.total,
        attributes=view.attributes,
        region=view.attributes["region"],
    )

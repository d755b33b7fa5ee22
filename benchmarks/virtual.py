"""The matcher on a virtual clock, told of everything that the scheduler tells it of: projects, what runs, what is kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from swath.domain.projects import Project
from swath.domain.resources import Resources
from swath.matching.model import Claim, Demand, Plan, Policy, Running, Tenants
from swath.matching.plan import plan
from swath.simulation.books import Books, JobBook, Live


@dataclass(frozen=True, kw_only=True)
class Held:
    """What somebody's live attempts take."""

    resources: Resources
    tasks: int


class Planner:
    """What the simulation asks; it remembers which agents the last plan kept."""

    def __init__(self, projects: Mapping[str, Project] | None = None, policy: Policy | None = None) -> None:
        self._projects = projects or {}
        self._policy = policy or Policy()
        self._claims: Sequence[Claim] = ()

    def __call__(self, books: Books, now: float) -> Plan:
        """One cycle."""
        held = {key: Held(resources=amount, tasks=tasks) for key, (amount, tasks) in books.ledger.held().items()}
        result = plan(
            [agent.view for agent in books.agents.values()],
            [_to_demand(job, now) for job in books.waiting.values()],
            tenants=Tenants(projects=self._projects, held=held, past=books.ledger.past(now)),
            work=lambda agents: _find_running(books, agents, now),
            policy=self._policy,
            claims=self._claims,
        )
        self._claims = result.claims
        return result


def _to_demand(job: JobBook, now: float) -> Demand:
    spec = job.spec
    waited_s = now - spec.submitted_s
    return replace(job.demand, project=spec.project, user=spec.user, interactive=spec.interactive, waited_s=waited_s)


def _find_running(books: Books, agents: Collection[str], now: float) -> Mapping[str, Sequence[Running]]:
    return {agent: [_to_running(live, now) for live in books.agents[agent].live.values()] for agent in agents}


def _to_running(live: Live, now: float) -> Running:
    spec, age_s = live.job.spec, now - live.launched_s
    return Running(
        attempt=str(live.number),
        project=spec.project,
        resources=spec.resources,
        priority=spec.priority,
        age_s=age_s,
        ends_in_s=max(0.0, spec.believed_s - age_s),
        preemptible=spec.preemptible,
        ending=live.asked,
    )

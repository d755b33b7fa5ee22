"""The scheduler's own matcher as the simulation's planner."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from swath.domain.duration import left_s
from swath.domain.projects import Project
from swath.matching.model import Claim, Plan, Policy, Running, Tenants, Work
from swath.matching.plan import plan
from swath.simulation.books import Books, Live
from swath.simulation.engine import Planner

SHARES_S = 10.0  # between two plans that take resources back for projects below their share, as in the scheduler


def make_planner(policy: Policy | None = None, projects: Mapping[str, Project] | None = None) -> Planner:
    """The matcher, as the scheduler calls it; for one simulation, for it remembers which agents are kept."""
    wanted, declared = policy or Policy(), projects or {}
    claims: tuple[Claim, ...] = ()
    taken_back_s = -SHARES_S

    def decide(books: Books, now: float) -> Plan:
        nonlocal claims, taken_back_s
        resting = wanted.preempt_for_share and now - taken_back_s < SHARES_S
        found = plan(
            books.make_views(),
            books.make_demands(now),
            tenants=Tenants(projects=declared, held=books.ledger.held, past=books.past(now)),
            work=_make_work(books, now),
            policy=replace(wanted, preempt_for_share=False) if resting else wanted,
            claims=claims,
        )
        claims = found.claims
        if any(preemption.for_share for preemption in found.preemptions):
            taken_back_s = now
        return found

    return decide


def _make_work(books: Books, now: float) -> Work:
    """What runs on agents, as far as the matcher asks."""

    def find(agents: Collection[str]) -> Mapping[str, list[Running]]:
        return {agent: [_to_running(live, now) for live in books.agents[agent].live.values()] for agent in agents}

    return find


def _to_running(live: Live, now: float) -> Running:
    """The attempt as the scheduler sees it: when it will really end it can only guess."""
    job = live.job.spec
    age_s = max(0.0, now - live.started_s)
    return Running(
        attempt=str(live.number),
        job=job.id,
        project=job.project,
        user=job.user,
        resources=job.resources,
        priority=job.priority,
        age_s=age_s,
        ends_in_s=max(0.0, live.stops_s - now) if live.asked else left_s(live.job.believed_s, age_s),
        overdue=age_s > job.believed_s,
        preemptible=job.preemptible and not job.interactive,  # else two that wait would end each other for ever
        ending=live.asked,
    )

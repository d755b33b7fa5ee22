"""Agents, demands and plans in few words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from swath.domain.resources import Resources
from swath.matching.model import AgentView, Demand, Plan, Running, Tenants, Work

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
EXECUTOR = Resources(cpus_m=100, mem=128)
ONE = Resources(cpus_m=1000, mem=1000, disk=1000)
FULL = Resources()


def an_agent(name: str = "a1", cpus: float = 4, mem: int = 8192, *, cold: bool = False, **more: object) -> AgentView:
    """An idle agent, all of it offered."""
    size = Resources(cpus_m=int(cpus * 1000), mem=mem, disk=10_000)
    overhead = EXECUTOR if cold else Resources()
    more = {"free": size, **more}
    return AgentView(id=name, total=size, overhead=overhead, **more)


def a_busy(name: str, free: Resources = FULL) -> AgentView:
    """An agent of four cpus, of which `free` is offered."""
    return an_agent(name, cpus=4, free=free, offered=free != FULL)


def a_demand(job: str = "j1", count: int = 1, cpus: float = 1, mem: int = 100, **more: object) -> Demand:
    """Tasks that wait since noon."""
    more.setdefault("since", NOON)
    return Demand(job=job, count=count, resources=Resources(cpus_m=int(cpus * 1000), mem=mem), **more)


def placed(result: Plan) -> dict[tuple[str, str], int]:
    """(job, agent) -> tasks."""
    count: dict[tuple[str, str], int] = {}
    for placement in result.placements:
        key = (placement.demand.job, placement.agent)
        count[key] = count.get(key, 0) + placement.count
    return count


def started(result: Plan) -> dict[str, int]:
    """Job -> tasks."""
    count: dict[str, int] = {}
    for (job, _), tasks in placed(result).items():
        count[job] = count.get(job, 0) + tasks
    return count


def why(result: Plan) -> dict[str, str]:
    """Job -> why tasks of it wait."""
    return {leftover.demand.job: str(leftover.reason) for leftover in result.leftovers}


@dataclass(frozen=True, kw_only=True)
class Holds:
    """What somebody holds."""

    resources: Resources
    tasks: int


def holding(**projects: float) -> Tenants:
    """Tenants of whom each project holds so many cpus, its user being ana."""
    held = {
        (name, "ana"): Holds(resources=Resources(cpus_m=int(1000 * cpus)), tasks=int(cpus))
        for name, cpus in projects.items()
    }
    return Tenants(held=held)


def a_running(attempt: str, cpus: float = 1, project: str = "default", **more: object) -> Running:
    """An attempt of one cpu."""
    return Running(attempt=attempt, project=project, resources=Resources(cpus_m=int(1000 * cpus), mem=100), **more)


def works(**agents: Sequence[Running]) -> Work:
    """What runs on each agent."""

    def find(wanted: Collection[str]) -> Mapping[str, Sequence[Running]]:
        return {agent: running for agent, running in agents.items() if agent in wanted}

    return find

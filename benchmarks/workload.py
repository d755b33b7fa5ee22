"""A cluster and a queue made up at random, the same for the same seed: what the benchmarks of the matcher are run on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from swath.domain.constraints import Constraint
from swath.domain.resources import Resources
from swath.matching.model import AgentView, Demand, Placement, Running, Tenants

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EXECUTOR = Resources(cpus_m=100, mem=32)
SHAPES = (  # of agents, and how many in ten
    (Resources(cpus_m=16_000, mem=64 * 1024, disk=500_000), 5),
    (Resources(cpus_m=32_000, mem=128 * 1024, disk=1_000_000), 4),
    (Resources(cpus_m=64_000, mem=256 * 1024, disk=2_000_000, gpus=4), 1),
)
CPUS_M = (500, 1000, 1000, 2000, 4000)  # of tasks
MEM_A_CPU = (1024, 2048, 4096, 8192)
DISK = (0, 1024, 10_240)
REGIONS = ("north", "south", "east", "west")


@dataclass(frozen=True, kw_only=True)
class Held:
    """What somebody's live attempts take."""

    resources: Resources
    tasks: int


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What a cycle is given."""

    agents: list[AgentView]
    demands: list[Demand]
    running: Mapping[str, Sequence[Running]] = field(default_factory=dict)
    tenants: Tenants = field(default_factory=Tenants)

    def work(self, agents: Collection[str]) -> Mapping[str, Sequence[Running]]:
        """What runs on some agents."""
        return {agent: self.running[agent] for agent in agents if agent in self.running}


def make_workload(
    *, agents: int, jobs: int, tasks: int, projects: int, busy: float, freed: float = 0.0, seed: int = 1
) -> Workload:
    """`tasks` pending tasks in `jobs` of `projects`, and a cluster of which a part is `busy`: full to the brim.

    A part `freed` of the busy agents has lost one of its tasks just now. Agents that have something free offer it.
    """
    rng = np.random.default_rng(seed)
    demands = make_demands(jobs, tasks, projects, rng)
    views, running = [], {}
    for number in range(agents):
        view = make_agent(number, rng)
        if number < busy * agents:
            view, attempts = _fill(view, demands, rng)
            if rng.random() < freed:
                gone = attempts.pop()
                view = replace(view, free=view.free + gone.resources, offered=True)
            running[view.id] = attempts
        views.append(view)
    order = rng.permutation(agents)
    return Workload(
        agents=[views[index] for index in order], demands=demands, running=running, tenants=_count_held(running)
    )


def make_demands(jobs: int, tasks: int, projects: int, rng: np.random.Generator) -> list[Demand]:
    """Jobs of all sizes (log-normal) and shapes, a tenth bound to a region, a tenth to two of them."""
    sizes = rng.lognormal(0, 1, jobs)
    counts = np.maximum(1, np.floor(sizes / sizes.sum() * tasks)).astype(int)
    counts[0] = max(1, counts[0] + tasks - counts.sum())
    return [_make_demand(number, int(counts[number]), number % projects, rng) for number in range(jobs)]


def make_agent(number: int, rng: np.random.Generator) -> AgentView:
    """An idle agent of a random shape; its executor is not there yet."""
    weights = np.array([weight for _, weight in SHAPES]) / 10
    total = SHAPES[rng.choice(len(SHAPES), p=weights)][0]
    attributes = {
        "hostname": f"agent-{number}",
        "region": REGIONS[rng.integers(len(REGIONS))],
        "rack": str(number % 40),
    }
    return AgentView(
        id=f"agent-{number:05}",
        free=total,
        total=total,
        overhead=EXECUTOR,
        reserved=EXECUTOR,
        attributes=attributes,
    )


def make_shape(rng: np.random.Generator) -> Resources:
    """What a task of some job needs."""
    cpus_m = int(rng.choice(CPUS_M))
    mem = cpus_m * int(rng.choice(MEM_A_CPU)) // 1000
    return Resources(cpus_m=cpus_m, mem=mem, disk=int(rng.choice(DISK)), gpus=int(rng.random() < 0.02))


def _make_demand(number: int, count: int, project: int, rng: np.random.Generator) -> Demand:
    draw = rng.random()
    where: tuple[Constraint, ...] = ()
    if draw < 0.1:
        where = (Constraint(attribute="region", operator="equals", value=REGIONS[number % 4]),)
    elif draw < 0.2:
        where = (Constraint(attribute="region", operator="in", value=(REGIONS[number % 4], REGIONS[(number + 1) % 4])),)
    return Demand(
        job=f"job-{number:05}",
        resources=make_shape(rng),
        count=count,
        project=f"project-{project}",
        user=f"user-{project}",
        priority=int(rng.integers(0, 3)) * 25,
        since=NOW - timedelta(seconds=int(rng.integers(0, 86_400))),
        constraints=where,
        expected_s=float(rng.integers(60, 3600)),
    )


def _fill(view: AgentView, demands: Sequence[Demand], rng: np.random.Generator) -> tuple[AgentView, list[Running]]:
    """The agent full of tasks like those that wait; what is left of it is refused for now."""
    left, attempts = view.total - EXECUTOR, []
    ages, ends = rng.integers(0, 3600, 200).tolist(), rng.integers(0, 3600, 200).tolist()
    for number, index in enumerate(rng.integers(len(demands), size=200).tolist()):
        demand = demands[index]
        if demand.resources.fits_in(left):
            left -= demand.resources
            attempts.append(
                Running(
                    attempt=f"{demand.job} {view.id} {number}",
                    project=demand.project,
                    resources=demand.resources,
                    priority=demand.priority,
                    age_s=ages[number],
                    ends_in_s=ends[number],
                )
            )
    return replace(view, free=left, overhead=Resources(), offered=False), attempts


def _count_held(running: Mapping[str, Sequence[Running]]) -> Tenants:
    """What each project has of it, one user a project."""
    held: dict[tuple[str, str], Held] = {}
    for attempts in running.values():
        for attempt in attempts:
            key = attempt.project, attempt.project.replace("project", "user")
            before = held.get(key, Held(resources=Resources(), tasks=0))
            held[key] = Held(resources=before.resources + attempt.resources, tasks=before.tasks + 1)
    return Tenants(held=held)


def check(workload: Workload, placements: Iterable[Placement]) -> None:
    """Raise AssertionError where a plan places what there is no room for, or somewhere it must not be."""
    agents = {agent.id: agent for agent in workload.agents}
    left = {agent.id: agent.free - agent.overhead for agent in workload.agents if agent.offered}
    placed: Counter[int] = Counter()
    used = set()
    for placement in placements:
        used.add(placement.agent)
        demand = placement.demand
        placed[id(demand)] += placement.count
        left[placement.agent] -= demand.resources.scaled(placement.count)
        assert all(rule.admits(agents[placement.agent].attributes) for rule in demand.constraints), placement
    assert all(Resources().fits_in(left[agent]) for agent in used), "an agent is over-committed"
    assert all(placed[id(demand)] <= demand.count for demand in workload.demands), "more starts than waits"

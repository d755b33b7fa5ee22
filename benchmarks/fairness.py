"""Dominant shares of projects that want more than there is: in one cycle on an idle cluster, and over simulated time.

Ten equal projects; three with the weights 1:2:4; a tree of projects. Their tasks are alike, or some need more CPU and others
more memory, a hundredth to a twentieth of an agent. The spread is the largest share by weight minus the smallest, in per
cent of their mean. Over time tasks run exponentially long, everybody wants more all the time, and the shares are means of a
span after the first three mean run times. There is also a project that had the whole cluster for itself before the others
came; its past is not held against it there, which would be another policy's matter.

Beside the spread stands what the worst off lacks of what it would have of a cluster that is one agent, with tasks cut to drops:
whoever can use what is too small for the others is above them and takes nothing from them, so the spread alone says little of
unlike tasks. In a cycle the same mix is dealt out once more with tasks a tenth as large, which leave a tenth on each agent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.workload import NOW
from swath.domain.projects import Project
from swath.domain.resources import Resources
from swath.matching.fairness import Tree
from swath.matching.model import AgentView, Demand, Policy, Tenants
from swath.matching.plan import plan
from swath.simulation.engine import simulate
from swath.simulation.history import History
from swath.simulation.model import Cluster, Timing, Trace, TraceAgent, TraceJob
from swath.simulation.planning import make_planner
from swath.simulation.timeline import make_timeline

AGENT = Resources(cpus_m=32_000, mem=128 * 1024, disk=1_000_000)
CYCLE_AGENTS, TIMED_AGENTS = 200, 50
MOST_ON_ONE = 1000  # tasks: no agent holds more, so that everybody wants more than there is
MEAN_S = 100.0
SETTLED, MEASURED = 3, 4  # mean run times
ALIKE = Resources(cpus_m=1000, mem=4096, disk=1000)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Who competes, and by how much their shares may differ."""

    projects: tuple[Project, ...] = ()  # all that are declared
    parts: Mapping[str, float]  # those that want resources -> their part of the cluster, in whatever unit
    goal_percent: float


WEIGHTS = (1, 2, 4)
TREE = (
    *(Project(name="land", weight=1), Project(name="sea", weight=2)),
    *(Project(name="forest", parent="land"), Project(name="soil", parent="land")),
    *(Project(name="ice", parent="sea", weight=1), Project(name="waves", parent="sea", weight=3)),
)
CASES = {
    "ten_equal": Case(parts={f"project-{number}": 1.0 for number in range(10)}, goal_percent=2),
    "weights_1_2_4": Case(
        projects=tuple(Project(name=f"weight-{weight}", weight=weight) for weight in WEIGHTS),
        parts={f"weight-{weight}": float(weight) for weight in WEIGHTS},
        goal_percent=3,
    ),
    "tree": Case(projects=TREE, parts={"forest": 1, "soil": 1, "ice": 1, "waves": 3}, goal_percent=3),
}


def run() -> dict[str, object]:
    """The spreads of all cases, in a cycle and over time."""
    figures: dict[str, object] = {}
    for name, case in CASES.items():
        for kind, shapes in (("alike", make_alike(case)), ("unlike", make_unlike(case))):
            undivided = share_undivided(case, shapes)
            figures[f"{name}_{kind}_cycle"] = describe(case, share_in_a_cycle(case, shapes), undivided)
            figures[f"{name}_{kind}_time"] = describe(case, share_over_time(case, shapes), undivided)
        tenths = make_tenths(make_unlike(case))
        undivided = share_undivided(case, tenths)
        figures[f"{name}_unlike_tenths_cycle"] = describe(case, share_in_a_cycle(case, tenths), undivided)
    equal, alike = CASES["ten_equal"], make_alike(CASES["ten_equal"])
    late = describe(equal, share_over_time(equal, alike, head_start=True), share_undivided(equal, alike))
    return {**figures, "ten_equal_alike_one_came_first": late}


def describe(case: Case, shares: Mapping[str, float], undivided: Mapping[str, float]) -> dict[str, object]:
    """How far apart the shares by part are, and how far below those of an undivided cluster."""
    fair = [share / case.parts[name] for name, share in shares.items()]
    spread = 100 * (max(fair) - min(fair)) / (sum(fair) / len(fair))
    return {
        "spread_percent": round(spread, 2),
        "largest_lack_percent": round(max(100 * (1 - share / undivided[name]) for name, share in shares.items()), 2),
        "goal_percent": case.goal_percent,
        "smallest_share": round(min(shares.values()), 4),
        "largest_share": round(max(shares.values()), 4),
    }


def make_alike(case: Case) -> dict[str, Resources]:
    """What a task of each project needs: the same."""
    return dict.fromkeys(case.parts, ALIKE)


def make_unlike(case: Case, seed: int = 1) -> dict[str, Resources]:
    """More CPU for some, more memory for others."""
    drawn = np.random.default_rng(seed).uniform(0.01, 0.05, (len(case.parts), 2)).tolist()
    return {
        name: Resources(cpus_m=round(cpus * AGENT.cpus_m), mem=round(mem * AGENT.mem), disk=1000)
        for name, (cpus, mem) in zip(case.parts, drawn, strict=True)
    }


def make_tenths(shapes: Mapping[str, Resources]) -> dict[str, Resources]:
    """The same needs in tasks a tenth as large."""
    return {
        name: Resources(cpus_m=shape.cpus_m // 10, mem=shape.mem // 10, disk=shape.disk // 10)
        for name, shape in shapes.items()
    }


def share_in_a_cycle(case: Case, shapes: Mapping[str, Resources], agents: int = CYCLE_AGENTS) -> dict[str, float]:
    """The dominant shares that one plan gives on an idle cluster."""
    views = [AgentView(id=f"agent-{number:03}", free=AGENT, total=AGENT) for number in range(agents)]
    demands = [
        Demand(job=f"of-{name}", project=name, resources=shape, count=agents * MOST_ON_ONE, since=NOW)
        for name, shape in shapes.items()
    ]
    declared = {project.name: project for project in case.projects}
    result = plan(views, demands, tenants=Tenants(projects=declared), policy=Policy(most_starting=None))
    counts = dict.fromkeys(shapes, 0)
    for placement in result.placements:
        counts[placement.demand.project] += placement.count
    return {name: dominant(shapes[name], count, agents) for name, count in counts.items()}


def dominant(shape: Resources, count: int, agents: int) -> float:
    """The largest part of any resource that so many tasks take of so many agents."""
    pairs = zip(shape.as_tuple(), AGENT.as_tuple(), strict=True)
    return max(need * count / (have * agents) for need, have in pairs if have)


def share_undivided(case: Case, shapes: Mapping[str, Resources], drops: int = 20_000) -> dict[str, float]:
    """The dominant shares by progressive filling (Ghodsi 2011) until the first resource, of which everybody needs some, is used
    up: a drop is such a part of the cluster.
    """
    demands = [Demand(job=name, project=name, resources=shape, count=1, since=NOW) for name, shape in shapes.items()]
    tenants = Tenants(projects={project.name: project for project in case.projects})
    tree = Tree(tenants, AGENT.as_tuple(), Resources.as_tuple, demands, Policy())
    tree.enqueue(demands)
    while tree.share(tree.root) < 1 and (node := tree.next_leaf()) is not None:
        drop = 1 / (drops * dominant(shapes[node.name], 1, 1))
        tree.hold(node.name, [drop * amount for amount in shapes[node.name].as_tuple()])
    return {name: tree.share(tree.leaf(name)) for name in shapes}


def share_over_time(
    case: Case, shapes: Mapping[str, Resources], *, head_start: bool = False, agents: int = TIMED_AGENTS, seed: int = 1
) -> dict[str, float]:
    """Mean dominant shares after the beginning; with a `head_start` one project comes three mean run times before all."""
    start = SETTLED if head_start else 0
    jobs = list(_make_jobs(shapes, agents, start, np.random.default_rng(seed)))
    cluster = Cluster(
        name="busy", agents=tuple(TraceAgent(id=f"agent-{number:03}", total=AGENT) for number in range(agents))
    )
    end_s = (start + SETTLED + MEASURED) * MEAN_S
    policy = Policy(most_starting=None, past_weight=0.0)
    planner = make_planner(policy, {project.name: project for project in case.projects})
    history = simulate(Trace(name="all want more", jobs=tuple(jobs)), cluster, planner, timing=Timing(until_s=end_s))
    return _mean_shares(history, (start + SETTLED) * MEAN_S)


def _make_jobs(
    shapes: Mapping[str, Resources], agents: int, start: int, rng: np.random.Generator
) -> Iterable[TraceJob]:
    """One job a project, with as many tasks as would keep the whole cluster busy to the end."""
    for number, (name, shape) in enumerate(shapes.items()):
        at_once = min(have // need for need, have in zip(shape.as_tuple(), AGENT.as_tuple(), strict=True) if need)
        runs = rng.exponential(MEAN_S, round(1.2 * agents * at_once * (1 + start + SETTLED + MEASURED)))
        yield TraceJob(
            id=f"of-{name}",
            submitted_s=0.0 if number == 0 else start * MEAN_S,
            runs_s=tuple(runs.tolist()),
            resources=shape,
            project=name,
            expected_s=MEAN_S,
        )


def _mean_shares(history: History, from_s: float) -> dict[str, float]:
    line = make_timeline(history)
    spans = line.edges[:-1] >= from_s
    means: Sequence[float] = line.shares[:, spans].mean(axis=1).tolist()
    return dict(zip(line.projects, means, strict=True))

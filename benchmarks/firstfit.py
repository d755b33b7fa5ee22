"""Plain first fit, one task after the other, as programs in Python do it, beside our plan in the same run.

For each task in order of priority and age, the first offer that has enough of everything takes it: offers are dicts, and
what the task needs is subtracted from one. Projects, reasons, reservations and the rest are left out, in its favour. It is
run on a size that it can finish; both results are checked to over-commit nothing and to break no constraint.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.workload import Workload, check, make_workload
from swath.matching.model import AgentView, Demand, Placement
from swath.matching.plan import plan

Place = Callable[[Sequence[AgentView], Sequence[Demand]], Sequence[Placement]]

SIZES = ((100, 1_000), (300, 3_000), (1_000, 20_000))  # agents, tasks
JOBS, PROJECTS = 100, 10


def run() -> dict[str, object]:
    """Both on an idle cluster, size by size."""
    return {f"{agents}_agents": measure(agents, tasks) for agents, tasks in SIZES}


def measure(agents: int, tasks: int) -> dict[str, object]:
    """Microseconds a placement, and how many times as long first fit takes."""
    workload = make_workload(agents=agents, jobs=JOBS, tasks=tasks, projects=PROJECTS, busy=0.0)
    timed = {
        "first_fit": _timed(workload, first_fit),
        "plan": min((_timed(workload, by_plan) for _ in range(5)), key=_time),
    }
    placed = {name: count for name, (_, count) in timed.items()}
    a_placement = {name: 1e6 * seconds / count for name, (seconds, count) in timed.items()}
    return {
        "tasks": tasks,
        **{f"placed_by_{name}": count for name, count in placed.items()},
        **{f"us_a_placement_{name}": round(value, 1) for name, value in a_placement.items()},
        "ratio_a_placement": round(a_placement["first_fit"] / a_placement["plan"], 1),
    }


def by_plan(agents: Sequence[AgentView], demands: Sequence[Demand]) -> Sequence[Placement]:
    """A cycle of ours, its reasons included."""
    return plan(agents, demands).placements


def first_fit(agents: Sequence[AgentView], demands: Sequence[Demand]) -> list[Placement]:
    """One placement a task."""
    offers = [_make_offer(agent) for agent in agents if agent.offered]
    placements = []
    for demand in sorted(demands, key=lambda demand: (-demand.priority, demand.since)):
        needs = demand.resources.to_document()
        for _ in range(demand.count):
            offer = _find(offers, needs, demand)
            if offer is not None:
                placements.append(Placement(demand=demand, agent=offer["agent"].id, count=1))
    return placements


def _make_offer(agent: AgentView) -> dict[str, Any]:
    return {"agent": agent, "resources": (agent.free - agent.overhead).to_document()}


def _find(offers: Sequence[dict[str, Any]], needs: Mapping[str, float], demand: Demand) -> dict[str, Any] | None:
    """The first offer that fits, with the task's part taken from it."""
    for offer in offers:
        left = offer["resources"]
        if all(left.get(name, 0) >= need for name, need in needs.items()) and all(
            rule.admits(offer["agent"].attributes) for rule in demand.constraints
        ):
            for name, need in needs.items():
                left[name] = left.get(name, 0) - need
            return offer
    return None


def _timed(workload: Workload, place: Place) -> tuple[float, int]:
    """Seconds of CPU, which a busy machine disturbs least, and how many tasks found a place; what was placed is checked."""
    began = time.process_time()
    placements = place(workload.agents, workload.demands)
    seconds = time.process_time() - began
    check(workload, placements)
    return seconds, sum(entry.count for entry in placements)


def _time(timed: tuple[float, int]) -> float:
    return timed[0]

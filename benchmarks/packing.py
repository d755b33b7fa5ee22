"""How full the matcher packs a cluster, against the bound that linear programming gives (scipy's HiGHS is the oracle).

A mix of task shapes, each so many times, is asked for t times over; t is whole, and as large as the matcher still places
every single task in one cycle. The bound is the largest real t if tasks could be cut into pieces at will, so no packing
reaches it. Agents are identical, or have three shapes with other proportions of memory, disk and CPUs, where the bound gives
each agent what suits it. The guard against many starts at once on one agent is off: it would bound what one cycle may do,
not how full the cluster gets in time.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from benchmarks.workload import NOW
from swath.domain.resources import Resources
from swath.matching.model import AgentView, Demand, Policy
from swath.matching.plan import plan

SEEDS = 20
AGENTS = 200  # so many that whole multiples are fine steps
SHAPES = 8
LARGEST = {"twentieth": 1 / 20, "tenth": 1 / 10, "quarter": 1 / 4}  # of an agent, that a task takes of any resource
KINDS = (  # cpus, memory, disk
    Resources(cpus_m=32_000, mem=128 * 1024, disk=1_000_000),
    Resources(cpus_m=32_000, mem=256 * 1024, disk=1_000_000),
    Resources(cpus_m=64_000, mem=192 * 1024, disk=2_000_000),
)
POLICY = Policy(most_starting=None)


@dataclass(frozen=True, kw_only=True)
class Puzzle:
    """Agents and a mix."""

    agents: list[AgentView]
    shapes: list[Resources]
    times: list[int]  # how often each shape is in the mix


def run() -> dict[str, object]:
    """The gap to the bound, in per cent of it."""
    clusters = {"identical": KINDS[:1], "three_kinds": KINDS}
    return {
        "goal_gap_percent_of_twentieth": 3,
        "seeds": SEEDS,
        **{
            f"{cluster}_{name}": measure(part, kinds)
            for cluster, kinds in clusters.items()
            for name, part in LARGEST.items()
        },
    }


def measure(part: float, kinds: Sequence[Resources], seeds: int = SEEDS, agents: int = AGENTS) -> dict[str, object]:
    """Tasks of at most `part` of an agent."""
    gaps, multiples = [], []
    for seed in range(seeds):
        puzzle = make_puzzle(seed, part, kinds, agents)
        bound = find_bound(puzzle)
        multiple = find_multiple(puzzle, bound)
        gaps.append(100 * (1 - multiple / bound))
        multiples.append(multiple)
    return {
        "mean_gap_percent": round(statistics.fmean(gaps), 2),
        "worst_gap_percent": round(max(gaps), 2),
        "worst_seed": gaps.index(max(gaps)),
        "smallest_multiple": min(multiples),  # one more would be 1 / this: what whole multiples cost at most
    }


def make_puzzle(seed: int, part: float, kinds: Sequence[Resources], count: int) -> Puzzle:
    """Shapes from a tenth of `part` of the smallest agent up to all of it, each one to five times."""
    rng = np.random.default_rng(seed)
    chosen = [kinds[index] for index in rng.integers(len(kinds), size=count)]
    agents = [AgentView(id=f"agent-{number:03}", free=kind, total=kind) for number, kind in enumerate(chosen)]
    least = np.array([kind.as_tuple()[:3] for kind in kinds]).min(axis=0)
    amounts = np.floor(rng.uniform(part / 10, part, (SHAPES, 3)) * least).astype(int).tolist()
    shapes = [Resources(cpus_m=cpus_m, mem=mem, disk=disk) for cpus_m, mem, disk in amounts]
    return Puzzle(agents=agents, shapes=shapes, times=rng.integers(1, 6, SHAPES).tolist())


def find_bound(puzzle: Puzzle) -> float:
    """The largest t with t times the mix in pieces; variables are t and how much of each shape goes to each kind of agent."""
    kinds = sorted({agent.total.as_tuple() for agent in puzzle.agents})
    counts = [sum(agent.total.as_tuple() == kind for agent in puzzle.agents) for kind in kinds]
    needs = np.array([shape.as_tuple()[:3] for shape in puzzle.shapes], dtype=float)
    size = 1 + len(needs) * len(kinds)
    balance = np.zeros((len(needs), size))
    room = np.zeros((3 * len(kinds), size))
    for shape in range(len(needs)):
        balance[shape, 0] = -puzzle.times[shape]
        for kind in range(len(kinds)):
            column = 1 + shape * len(kinds) + kind
            balance[shape, column] = 1
            room[3 * kind : 3 * kind + 3, column] = needs[shape]
    limits = np.concatenate([np.array(kind[:3]) * count for kind, count in zip(kinds, counts, strict=True)])
    wish = np.zeros(size)
    wish[0] = -1
    solved = linprog(wish, A_ub=room, b_ub=limits, A_eq=balance, b_eq=np.zeros(len(needs)), method="highs")
    if not solved.success:
        raise RuntimeError(solved.message)
    return float(-solved.fun)


def find_multiple(puzzle: Puzzle, bound: float) -> int:
    """The largest whole multiple up to the bound that is placed to the last task; 0 where none is."""
    return next((times for times in range(int(bound), 0, -1) if is_placed(puzzle, times)), 0)


def is_placed(puzzle: Puzzle, times: int) -> bool:
    """True when one cycle places so many times the mix whole."""
    return not plan(puzzle.agents, make_demands(puzzle, times), policy=POLICY).leftovers


def make_demands(puzzle: Puzzle, times: int) -> Sequence[Demand]:
    """A job for each shape, all of one project and age."""
    return [
        Demand(job=f"job-{number}", resources=shape, count=times * often, since=NOW)
        for number, (shape, often) in enumerate(zip(puzzle.shapes, puzzle.times, strict=True))
    ]

"""How long a task that needs a whole agent waits in a stream of small ones that fill the cluster, in mean run times.

50 agents with room for 16 small tasks each, whose run times are exponential; more of them wait than can run. Once the
cluster is in its steady state a task comes that needs all 16 places of one agent. The matcher decides on a virtual clock; run
times are expected to be their mean, which is all that a scheduler can know of them. Nothing is preempted, so that an agent
has to be kept until it is empty; with preemption a project that holds nothing waits for the matcher's patience.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import numpy as np

from swath.domain.resources import Resources
from swath.simulation.engine import simulate
from swath.simulation.model import Cluster, Timing, Trace, TraceAgent, TraceJob
from swath.simulation.planning import make_planner

AGENTS, SLOTS = 50, 16
MEAN_S = 100.0  # of which a cycle takes a hundredth
SETTLED = 2  # mean run times until the large task comes
WATCHED = 5  # and how long it may take: more counts as for ever
SMALL, LARGE = Resources(cpus_m=1000, mem=1024), Resources(cpus_m=SLOTS * 1000, mem=SLOTS * 1024)
SEEDS = 20
PROJECTS = {"same_project": "small", "own_project": "large"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """Whose the large task is, and what the small ones are like."""

    project: str
    believed: float = 1.0  # what run times are expected to be, in means
    lognormal: bool = False  # instead of exponential
    preemptible: bool = False


def run() -> dict[str, object]:
    """Of the project that has the stream, and of one that holds nothing; and with other run times than exponential ones."""
    return {
        "goal_median_runs": 2,
        **{name: measure(Case(project=project)) for name, project in PROJECTS.items()},
        "own_project_expectations_4_times_too_low": measure(Case(project="large", believed=0.25)),
        "own_project_lognormal_runs": measure(Case(project="large", lognormal=True)),
        "own_project_preempts": measure(Case(project="large", preemptible=True)),
    }


def measure(case: Case, seeds: int = SEEDS) -> dict[str, object]:
    """Waits over many seeds; a task that never started counts as infinite."""
    waits = sorted(find_wait(seed, case) for seed in range(seeds))
    return {
        "median_runs": round(statistics.median(waits), 2),
        "p95_runs": round(waits[int(0.95 * (len(waits) - 1))], 2),
        "longest_runs": round(waits[-1], 2),
        "seeds": seeds,
    }


def find_wait(seed: int, case: Case) -> float:
    """Mean run times from the large task's submission to its start."""
    trace = make_trace(seed, case)
    agents = tuple(TraceAgent(id=f"agent-{number:02}", total=LARGE) for number in range(AGENTS))
    until_s = (SETTLED + WATCHED) * MEAN_S
    history = simulate(trace, Cluster(name="full", agents=agents), make_planner(), timing=Timing(until_s=until_s))
    attempts = history.attempts
    starts = attempts.launched[attempts.job == 1]
    return float((starts[0] - SETTLED * MEAN_S) / MEAN_S) if len(starts) else float("inf")


def make_trace(seed: int, case: Case) -> Trace:
    """The stream of small tasks, enough for the whole time, and the large one."""
    rng = np.random.default_rng(seed)
    count = round(1.5 * AGENTS * SLOTS * (1 + SETTLED + WATCHED))
    runs = rng.lognormal(-0.5, 1, count) if case.lognormal else rng.exponential(1, count)
    small = TraceJob(
        id="small",
        submitted_s=0.0,
        runs_s=tuple((MEAN_S * runs).tolist()),
        resources=SMALL,
        project="small",
        expected_s=case.believed * MEAN_S,
        preemptible=case.preemptible,
    )
    large = TraceJob(
        id="large",
        submitted_s=SETTLED * MEAN_S,
        runs_s=(MEAN_S,),
        resources=LARGE,
        project=case.project,
        expected_s=MEAN_S,
    )
    return Trace(name="whole agent", jobs=(small, large))

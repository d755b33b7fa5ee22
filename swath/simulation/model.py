"""What is simulated: jobs with known run times, agents, and the few durations that the matcher does not decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from swath.domain.constraints import Constraint, Preference
from swath.domain.jobs import DEFAULT_PRIORITY
from swath.domain.projects import Project
from swath.domain.resources import Resources

MOST_TASKS = 5_000_000  # of one trace: each of them is remembered
MOST_AGENTS = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceJob:
    """A job whose tasks' run times are known, as they are only afterwards."""

    id: str
    submitted_s: float  # since the trace began
    runs_s: tuple[float, ...]  # how long each of its tasks runs
    resources: Resources  # of one task
    project: str = "default"
    user: str = ""
    image: str = ""
    priority: int = DEFAULT_PRIORITY
    interactive: bool = False
    preemptible: bool = True
    max_running: int | None = None
    expected_s: float | None = None  # what the scheduler believes of a task's run time; None: the mean of `runs_s`
    constraints: tuple[Constraint, ...] = ()
    prefer: tuple[Preference, ...] = ()

    @property
    def believed_s(self) -> float:
        """The run time that the matcher reckons with."""
        return sum(self.runs_s) / len(self.runs_s) if self.expected_s is None else self.expected_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """Jobs in the order of their submission."""

    name: str
    jobs: tuple[TraceJob, ...]
    notes: tuple[str, ...] = ()  # what was left out or assumed when it was read, in sentences

    @property
    def tasks(self) -> int:
        """Of all jobs."""
        return sum(len(job.runs_s) for job in self.jobs)


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceAgent:
    """One agent."""

    id: str
    total: Resources
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """Agents, all with an executor of the same size, and the projects among which they are shared out."""

    name: str
    agents: tuple[TraceAgent, ...]
    projects: Mapping[str, Project] = field(default_factory=dict)  # one that is not among them has the defaults
    reserved: Resources = field(default_factory=Resources)  # what an executor takes of each agent

    @property
    def capacity(self) -> dict[str, int]:
        """What tasks can use of all agents together, by resource, fixed-point."""
        total: dict[str, int] = {}
        for agent in self.agents:
            for name, amount in (agent.total - self.reserved).amounts().items():
                total[name] = total.get(name, 0) + amount
        return total


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """How long things take around a schedule."""

    cycle_s: float = 1.0  # at least, between two plans: Mesos offers once a second (--allocation_interval)
    idle_s: float = 10.0  # after so long what waits is looked at again, though nothing has happened
    launch_s: float = 0.0  # from a launch until the task runs
    pull_s: float = 0.0  # more, on an agent that has not run the image before
    grace_s: float = 10.0  # between the asking for an attempt's end and its end
    half_life_s: float = 86_400.0  # of past usage
    until_s: float | None = None  # the simulation ends here, whatever still waits or runs


def choose_cycle_s(trace: Trace) -> float:
    """A cycle that nobody notices: a two hundredth of the median task's run time, 1 s to 30 s."""
    runs = sorted((job.believed_s, len(job.runs_s)) for job in trace.jobs if not job.interactive)
    half, seen = sum(count for _, count in runs) / 2, 0
    for run_s, count in runs:
        seen += count
        if seen >= half:
            return min(30.0, max(1.0, run_s / 200))
    return 1.0

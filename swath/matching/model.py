"""What the matcher is told and what it answers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt

from swath.domain.constraints import Constraint, Preference
from swath.domain.projects import Project
from swath.domain.resources import Resources
from swath.matching.reasons import Reason, Shut

OFFER_S = 3.0  # what is free and not offered yet is, by then


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentView:
    """One agent as the matcher sees it; every known agent counts for the reasons, only offered ones take tasks."""

    id: str
    free: Resources  # the sum of its offers; an estimate where nothing is offered
    total: Resources  # everything it has
    overhead: Resources = field(
        default_factory=Resources
    )  # what its first task must leave to an executor not there yet
    reserved: Resources = field(default_factory=Resources)  # what an executor takes of `total` in any case
    attributes: Mapping[str, str] = field(default_factory=dict)  # with "hostname", "region" and "zone" where known
    offered: bool = True
    shut: Shut | None = None  # why it takes no tasks for now, whatever is free
    closes_in_s: float | None = None  # until its maintenance window begins, 0 within it; None where none is known
    starting: int = 0  # attempts on it that have not begun to run
    freed_lately: bool = False  # an attempt of ours ended there not OFFER_S ago: what it held is about to be offered
    withheld: bool = False  # what seems free there has not been offered for long: somebody else may have it


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """Tasks of one job that are alike: they could start now, wherever they fit."""

    job: str
    resources: Resources  # of one task
    count: int  # how many wait
    limit: int | None = None  # how many more tasks of the whole job may run (max_running); None for no limit
    project: str = "default"
    user: str = ""
    priority: int = 0  # larger first
    since: datetime  # waiting since; older first within a priority
    waited_s: float = 0.0  # that nothing of it could start
    interactive: bool = False  # somebody sits and waits: goes before batch, and takes resources back from it
    constraints: tuple[Constraint, ...] = ()
    prefer: tuple[Preference, ...] = ()  # where its data are, say
    expected_s: float = 0.0  # how long one of them may run: it is not to outlast the start of a window (M32)
    image: str = ""  # key of its image
    image_at: Mapping[str, float] = field(default_factory=dict)  # agent -> how much of the image's bytes it holds, to 1
    avoid: frozenset[str] = frozenset()  # agents that it must not use
    shun: frozenset[str] = frozenset()  # agents to use last: one of the tasks has failed there
    running_on: Mapping[str, int] = field(default_factory=dict)  # agent -> live tasks; where a constraint counts them


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A live attempt, as far as it matters to those who wait for its resources."""

    attempt: str
    job: str = ""
    project: str
    user: str = ""
    resources: Resources
    priority: int = 0
    age_s: float = 0.0  # since its launch
    ends_in_s: float = 0.0  # as expected: see swath.domain.duration.left_s
    overdue: bool = False  # it was expected to have ended by now: it may do so at any moment
    preemptible: bool = True
    ending: bool = False  # its end has been asked for


class Work(Protocol):
    """What runs. Asked for a few agents only: the cluster may run hundreds of thousands of attempts."""

    def __call__(self, agents: Collection[str]) -> Mapping[str, Sequence[Running]]:
        """The live attempts on each of `agents`; those without any may be left out."""
        ...


def nothing_runs(agents: Collection[str]) -> Mapping[str, Sequence[Running]]:
    """The `Work` of an idle cluster."""
    return {}


class Holding(Protocol):
    """What somebody holds: the sum of the live attempts."""

    @property
    def resources(self) -> Resources:
        """Executors aside."""
        ...

    @property
    def tasks(self) -> int:
        """How many there are."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Tenants:
    """Who holds what: the projects as declared, and what their users hold now and held lately."""

    projects: Mapping[str, Project] = field(default_factory=dict)
    held: Mapping[tuple[str, str], Holding] = field(default_factory=dict)  # by (project, user)
    past: Mapping[str, float] = field(default_factory=dict)  # project -> decayed dominant share, 0 to 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """How the matcher weighs one good against another; docs/scheduling.md says why."""

    fair: bool = True  # between projects; else priority and age alone count
    past_weight: float = 0.25  # of the recent past beside what a project holds now
    image_weight: float = 4.0  # an agent that holds the image
    warm_weight: float = 2.0  # an agent whose executor runs
    soft_weight: float = 1.0  # a soft constraint that is met
    shape_weight: float = 0.5  # an agent whose resources stand in the task's proportions, where agents differ in that
    shun_weight: float = 8.0  # against an agent where the task has failed
    packing: bool = True  # use as few agents as the waiting tasks need, so that whole ones stay free
    most_starting: int | None = 64  # attempts that start on one agent at once
    large: float = (
        0.25  # of the largest agent: for tasks from this size on agents are kept, or they might never find room
    )
    behind: float = 0.02  # of its fair share: they are kept for whatever a project waits for that lacks so much
    kept_share: float = 0.2  # of the agents may be kept at a time, but one in any case
    most_kept: int = 64  # agents
    preempt: bool = True  # for interactive work
    preempt_for_share: bool = True  # for projects below their fair share
    share_margin: float = 0.1  # of its fair share that a project must lack before anything is taken back for it
    share_patience_s: float = 60.0  # that its oldest task has waited by then
    most_preemptions: int = 1000  # in one cycle


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """`count` tasks of a demand that start on one agent."""

    demand: Demand
    agent: str
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Leftover:
    """Tasks that stay where they are, and why."""

    demand: Demand
    count: int
    reason: Reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Preemption:
    """An attempt that has to go, so that others get its resources."""

    attempt: str
    agent: str
    demand: Demand  # that needs them
    for_share: bool = False  # because its project is below its fair share; else because somebody waits at a screen


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """An agent that is kept for a task which finds no room: a large one, or one that others were ended for."""

    agent: str
    job: str
    resources: Resources  # of the task
    urgent: bool = False  # nobody else gets it, but who is at a screen: others' attempts may have been ended for it


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Assignment:
    """Tasks of one demand that start now, `counts[i]` of them on the agent `rows[i]` of `views`."""

    demand: Demand
    views: Sequence[AgentView]
    rows: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """(agent, tasks)."""
        return (
            (self.views[row].id, count) for row, count in zip(self.rows.tolist(), self.counts.tolist(), strict=True)
        )

    @property
    def count(self) -> int:
        """All of its tasks."""
        return int(self.counts.sum())


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to do with the offers at hand. It is verified again where it is applied: offers may have gone since."""

    assignments: tuple[Assignment, ...] = ()  # in the order of service; a demand may come several times
    leftovers: tuple[Leftover, ...] = ()
    preemptions: tuple[Preemption, ...] = ()
    claims: tuple[Claim, ...] = ()  # what is kept free for whom; to be told to the next cycle
    cut: bool = False  # more could be placed at once: the cycle had been told to stop

    @property
    def placements(self) -> list[Placement]:
        """The assignments, one entry an agent; a demand has one entry there at most."""
        counts: dict[tuple[int, str], Placement] = {}
        for assignment in self.assignments:
            for agent, count in assignment:
                key = (id(assignment.demand), agent)
                before = counts[key].count if key in counts else 0
                counts[key] = Placement(demand=assignment.demand, agent=agent, count=before + count)
        return list(counts.values())

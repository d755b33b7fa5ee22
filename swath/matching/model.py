"""What the matcher is told and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from swath.domain.constraints import Constraint
from swath.domain.resources import Resources
from swath.matching.reasons import Reason, Shut


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
    attributes: Mapping[str, str] = field(default_factory=dict)
    offered: bool = True
    shut: Shut | None = None  # why it takes no tasks for now, whatever is free
    closes_in_s: float | None = None  # until its maintenance window begins, 0 within it; None where none is known


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """Tasks of one job that are alike: they could start now, wherever they fit."""

    job: str
    resources: Resources  # of one task
    count: int  # how many wait
    limit: int | None = None  # how many more tasks of the whole job may run (max_running); None for no limit
    priority: int = 0  # larger first
    since: datetime  # waiting since; older first within a priority
    constraints: tuple[Constraint, ...] = ()
    expected_s: float = 0.0  # how long one of them may run: it is not to outlast the start of a window (M32)


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
class Plan:
    """What to do with the offers at hand. It is verified again where it is applied: offers may have gone since."""

    placements: tuple[Placement, ...] = ()  # in the order of the demands
    leftovers: tuple[Leftover, ...] = ()

"""What operators want of agents and of the framework: the api writes it, the scheduler carries it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from swath.domain.projects import Project

SWATH = "swath"  # the user in whose name the scheduler itself cordons agents


class AgentMode(StrEnum):
    """What an agent is to do for us."""

    ACTIVE = "ACTIVE"  # take tasks
    CORDONED = "CORDONED"  # take no new ones; what runs there runs on
    DRAINED = "DRAINED"  # take no new ones, and end what runs there


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentWish:
    """What is wanted of one agent. Without one, it is to be ACTIVE."""

    agent_id: str
    mode: AgentMode
    rev: int  # raised by the api at every change
    observed_rev: int = 0  # the `rev` that the scheduler has carried out, as far as Mesos let it
    max_grace_s: float | None = None  # of DRAINED: at most so long for tasks to end; None for their own grace
    mark_gone: bool = False  # of DRAINED: the agent is not to come back
    user: str = field(default="", compare=False)  # who wants it, which changes nothing of what is wanted

    @property
    def is_our_own(self) -> bool:
        """No operator wants it: the scheduler has found the agent to fail everything."""
        return self.user == SWATH


class FrameworkDesire(StrEnum):
    """What is wanted of the whole framework."""

    RUN = "RUN"
    TEARDOWN = "TEARDOWN"  # leave Mesos: every attempt is killed, and nothing is launched until a RESET
    RESET = "RESET"  # begin anew under another framework id, without what runs under the old one


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameworkWish:
    """What is wanted of the framework, and how far that is."""

    desire: FrameworkDesire
    rev: int  # raised by the api at every change
    observed_rev: int = 0  # the `rev` that the scheduler has carried out
    torn_down: bool = False  # the framework has left Mesos on request, and waits for a RESET


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectTree:
    """All declared projects as of one revision: they are changed one by one, and taken in together."""

    projects: Mapping[str, Project] = field(default_factory=dict)  # by name
    rev: int = 0  # raised by the api at every change of any of them
    observed_rev: int = 0  # the `rev` that the scheduler has taken in


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """Everything that operators want and nobody has carried out yet."""

    agents: tuple[AgentWish, ...] = ()
    framework: FrameworkWish | None = None
    projects: ProjectTree | None = None

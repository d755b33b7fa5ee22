"""Why a task waits: one small type a reason, each of which says itself in one sentence with numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from swath.domain.constraints import Constraint

RESOURCE_NAMES = ("cpus", "memory", "disk", "gpus")  # the matcher's columns, in the order of Resources.as_tuple()


def to_amount(column: int, value: int) -> str:
    """An amount as people read it: "0.5 cpus", "48 GiB memory", "200 MiB disk", "1 gpu"."""
    if column == 0:
        return f"{value / 1000:g} {'cpu' if value == 1000 else 'cpus'}"
    if column == 3:
        return f"{value} {'gpu' if value == 1 else 'gpus'}"
    size = f"{round(value / 1024, 1):g} GiB" if value >= 1024 else f"{value} MiB"
    return f"{size} {RESOURCE_NAMES[column]}"


def to_agents(count: int) -> str:
    """ "1 agent", "2 agents"."""
    return f"{count} agent{'' if count == 1 else 's'}"


def to_span(seconds: float) -> str:
    """A duration in its largest sensible unit: "90 s", "45 min", "24 h"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


@dataclass(frozen=True, kw_only=True, slots=True)
class NoAgents:
    """The cluster is empty."""

    hopeless = True

    def __str__(self) -> str:
        return "no agent is registered"


@dataclass(frozen=True, kw_only=True, slots=True)
class NoSuchAgent:
    """No agent has the attributes that the job asks for."""

    constraint: Constraint  # the first that no agent meets, or that none meets together with those before it
    agents: int

    hopeless = True

    def __str__(self) -> str:
        return f"needs an agent with {_to_wish(self.constraint)}; none of {to_agents(self.agents)} has it"


def _to_wish(constraint: Constraint) -> str:
    """What an agent must have, in words that follow "with": "rack in 1, 2", "hostname like node-.*", "an attribute rack"."""
    value = constraint.value
    match constraint.operator:
        case "equals":
            return f"{constraint.attribute} = {value}"
        case "in":
            return f"{constraint.attribute} in {', '.join(value) if isinstance(value, tuple) else value}"
        case "like":
            return f"{constraint.attribute} like {value}"
        case _:
            return f"an attribute {constraint.attribute}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TooLarge:
    """One task is larger than every agent that it could run on."""

    column: int | None  # the resource that no agent has enough of; None when none has enough of all at once
    need: tuple[int, int, int, int]
    largest: int  # of that resource, on one agent
    agents: int

    hopeless = True

    def __str__(self) -> str:
        if self.column is None:
            wanted = " and ".join(to_amount(column, need) for column, need in enumerate(self.need) if need)
            return f"needs {wanted} on one agent; none of {to_agents(self.agents)} has all of it"
        need, largest = to_amount(self.column, self.need[self.column]), to_amount(self.column, self.largest)
        # Both figures carry the resource's name; the second time it goes without saying, except for counts.
        shown = largest.removesuffix(f" {RESOURCE_NAMES[self.column]}") if self.column in (1, 2) else largest
        return f"needs {need}; largest agent has {shown}"


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingForResources:
    """It would fit, were the agents not busy."""

    agents: int  # that it may run on
    short: tuple[
        tuple[int, int], ...
    ]  # (column, largest free amount on one agent) of what is short; () when spread out

    hopeless = False

    def __str__(self) -> str:
        if not self.short:
            return f"waiting for resources: {to_agents(self.agents)}, none has everything free at once"
        free = ", ".join(to_amount(column, value) for column, value in self.short)
        return f"waiting for resources: {to_agents(self.agents)}, largest free {free}"


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingForOffers:
    """Something is free, and Mesos has not offered it yet."""

    agents: int

    hopeless = False

    def __str__(self) -> str:
        return f"waiting for an offer: {to_agents(self.agents)} with room"


class Shut(StrEnum):
    """Why an agent takes no tasks, in words that follow "not used for now because"."""

    CORDONED = "an operator has cordoned or drained it"
    RESTING = "attempts kept failing there"
    FAILING = "nothing succeeded there any more, and Swath has cordoned it"
    KEPT_FOR_GPUS = "its gpus are waited for"


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentsShut:
    """What is free is on agents that take no tasks for now."""

    agents: int  # of these
    why: Shut  # of most of them

    hopeless = False

    def __str__(self) -> str:
        where = f"{to_agents(self.agents)} with room"
        return f"waiting for resources: {where}, not used for now because {self.why}"


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowNear:
    """What is free is on agents whose maintenance begins before a task would end."""

    agents: int  # of these
    expected_s: float
    closes_in_s: float  # the longest of them

    hopeless = False

    def __str__(self) -> str:
        where = f"{to_agents(self.agents)} with room"
        begins = "is under way" if self.closes_in_s <= 0 else f"begins in {to_span(self.closes_in_s)}"
        return f"waiting for maintenance: a task may take {to_span(self.expected_s)}, and on {where} it {begins}"


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitReached:
    """As many of the job's tasks run as it allows itself."""

    hopeless = False  # the job's own tasks make room by ending

    def __str__(self) -> str:
        return "as many tasks run as max_running allows"


Reason = (
    NoAgents | NoSuchAgent | TooLarge | WaitingForResources | WaitingForOffers | AgentsShut | WindowNear | LimitReached
)

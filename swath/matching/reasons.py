"""Why a task waits: one small type a reason, each of which says itself in one sentence with numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from swath.domain.constraints import Constraint

_WORDS = {"mem": "memory"}  # how people call a resource, where that is another word
_COUNTED = {"cpus": ("cpu", "cpus"), "gpus": ("gpu", "gpus"), "ports": ("port", "ports"), "tasks": ("task", "tasks")}
_SIZES = ("mem", "disk")


def to_words(resource: str) -> str:
    """The resource as people call it."""
    return _WORDS.get(resource, resource)


def to_amount(resource: str, value: int) -> str:
    """A fixed-point amount as people read it: "0.5 cpus", "48 GiB memory", "200 MiB disk", "1 gpu"."""
    if resource in _SIZES:
        size = f"{round(value / 1024, 1):g} GiB" if value >= 1024 else f"{value} MiB"
        return f"{size} {to_words(resource)}"
    number = value if resource in ("gpus", "ports", "tasks") else value / 1000
    one, many = _COUNTED.get(resource, (resource, resource))
    return f"{number:g} {one if number == 1 else many}"


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

    resource: str | None  # that no agent has enough of; None when none has enough of all at once
    need: tuple[tuple[str, int], ...]  # by resource
    largest: int  # of that resource, on one agent
    agents: int

    hopeless = True

    def __str__(self) -> str:
        if self.resource is None:
            wanted = " and ".join(to_amount(name, amount) for name, amount in self.need)
            return f"needs {wanted} on one agent; none of {to_agents(self.agents)} has all of it"
        need, largest = to_amount(self.resource, dict(self.need)[self.resource]), to_amount(self.resource, self.largest)
        # Both figures carry the resource's name; the second time it goes without saying, except for counts.
        shown = largest.removesuffix(f" {to_words(self.resource)}") if self.resource in _SIZES else largest
        return f"needs {need}; largest agent has {shown}"


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingForResources:
    """It would fit, were the agents not busy."""

    agents: int  # that it may run on
    short: tuple[tuple[str, int], ...]  # (resource, largest free amount on one agent); () when it is free, spread out

    hopeless = False

    def __str__(self) -> str:
        if not self.short:
            return f"waiting for resources: {to_agents(self.agents)}, none has everything free at once"
        free = ", ".join(to_amount(name, value) for name, value in self.short)
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
    SICK = "its Docker engine is sick"
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
class ImageCools:
    """What is free is on agents where the image keeps failing."""

    agents: int  # of these

    hopeless = False

    def __str__(self) -> str:
        return f"cooling down: this image keeps failing on {to_agents(self.agents)} with room, and will be tried there again"


@dataclass(frozen=True, kw_only=True, slots=True)
class TasksApart:
    """What is free is on agents where enough of the job's tasks are already, as it wished."""

    constraint: Constraint
    agents: int  # of these

    hopeless = False  # the job's own tasks make room by ending

    def __str__(self) -> str:
        where = f"{to_agents(self.agents)} with room"
        return f"waiting for its own tasks: {where}, none of which takes another by {self.constraint}"


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


@dataclass(frozen=True, kw_only=True, slots=True)
class QuotaReached:
    """Its project, or the user within it, holds as much as it may."""

    of: str  # "project forest", "user ana in project forest"
    resource: str  # of which the quota is reached; "tasks" for the number of them
    held: int
    most: int

    hopeless = False  # the project's own tasks make room by ending

    def __str__(self) -> str:
        part = f"at {100 * self.held / self.most:.0f} % of" if self.most else "not to exceed"
        return f"{self.of} is {part} its quota of {to_amount(self.resource, self.most)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Blocker:
    """Agents that take no task of a job for the same reason."""

    agents: int
    words: str  # follows "12 agents: "

    def __str__(self) -> str:
        return f"{to_agents(self.agents)}: {self.words}"


Reason = (
    NoAgents
    | NoSuchAgent
    | TooLarge
    | WaitingForResources
    | WaitingForOffers
    | AgentsShut
    | ImageCools
    | TasksApart
    | WindowNear
    | LimitReached
    | QuotaReached
)

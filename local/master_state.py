"""What the master knows: agents, frameworks, tasks, executors, offers; and the changes that several calls share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from local.messages import KillTask, MasterEffect, MasterMessage, SendEvent, ToAgent
from local.resources import EMPTY, Bundle, role_of, sum_bundles
from local.statuses import VERSION, has_capability, is_terminal

Json = dict[str, Any]
HEARTBEAT_S = 15.0
COMPLETED_TASKS = 1000  # as Mesos' --max_completed_tasks_per_framework


@dataclass(kw_only=True, slots=True)
class Task:
    """A task between its launch and the acknowledgement of its terminal update."""

    info: Json
    framework_id: str
    agent_id: str
    executor_id: str
    bundle: Bundle
    state: str  # newest that the master has heard of
    forwarded: str  # newest that was sent to the scheduler
    uuid: str | None = None  # of the newest update
    statuses: list[Json] = field(default_factory=list)
    update: Json | None = None  # the newest that an agent sent while the master knew the task
    released: bool = False  # whether its resources are free again

    @property
    def task_id(self) -> str:
        return str(self.info["task_id"]["value"])


@dataclass(kw_only=True, slots=True)
class Executor:
    """An executor; it counts once, and holds its resources until it exits."""

    info: Json
    bundle: Bundle


@dataclass(kw_only=True, slots=True)
class Agent:
    """A registered agent."""

    agent_id: str
    info: Json
    port: int
    total: Bundle
    reserved: bool  # whether some of it is for one role only; asked at each tick
    registered_at: float
    reregistered_at: float | None = None
    connected: bool = True
    unreachable_at: float | None = None  # when a broken connection makes it unreachable
    used: Bundle = EMPTY
    used_by_role: dict[str, Bundle] = field(default_factory=dict)
    offered: Bundle = EMPTY
    kept_kills: list[KillTask] = field(default_factory=list)  # while the connection is broken
    executors: dict[tuple[str, str], Executor] = field(default_factory=dict)  # (framework id, executor id)

    @property
    def available(self) -> Bundle:
        return self.total - self.used - self.offered


@dataclass(kw_only=True, slots=True)
class Framework:
    """A framework: subscribed (it has a stream), disconnected, or only known from agents (recovered)."""

    info: Json
    registered_at: float
    reregistered_at: float
    stream: str | None = None
    recovered: bool = False
    suppressed: set[str] = field(default_factory=set)
    constraints: Json = field(default_factory=dict)
    heartbeat_at: float = 0.0
    remove_at: float | None = None  # while disconnected
    unregistered_at: float = 0.0
    used_by_role: dict[str, Bundle] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    unreachable: dict[str, Task] = field(default_factory=dict)  # of agents that the master has given up for now
    chosen: dict[str, int] = field(default_factory=dict)  # how often an offer was made, by role
    completed: deque[Task] = field(default_factory=lambda: deque(maxlen=COMPLETED_TASKS))

    @property
    def framework_id(self) -> str:
        return str(self.info["id"]["value"])

    @property
    def roles(self) -> list[str]:
        if has_capability(self.info, "MULTI_ROLE"):
            return list(self.info.get("roles", ()))
        return [self.info.get("role", "*")]

    @property
    def used(self) -> Bundle:
        return sum_bundles(self.used_by_role.values())

    @property
    def partition_aware(self) -> bool:
        return has_capability(self.info, "PARTITION_AWARE")


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """Resources of one agent on offer to one framework for one role."""

    offer_id: str
    framework_id: str
    agent_id: str
    role: str
    bundle: Bundle
    expires_at: float | None = None  # by --offer_timeout


@dataclass(frozen=True, kw_only=True, slots=True)
class InverseOffer:
    """A question to one framework: may its resources on an agent go for a maintenance window?"""

    offer_id: str
    framework_id: str
    agent_id: str
    expires_at: float | None = None


@dataclass(kw_only=True, slots=True)
class Drain:
    """What DRAIN_AGENT asked for, and how far it is."""

    config: Json  # DrainConfig: max_grace_period (as a DurationInfo) where given, mark_gone
    since: float
    drained: bool = False


@dataclass(kw_only=True, slots=True)
class Maintenance:
    """The schedule of windows, which machines are down, and what schedulers answered to inverse offers."""

    windows: list[Json] = field(default_factory=list)
    down: list[Json] = field(default_factory=list)  # MachineIDs
    answers: dict[tuple[str, str], Json] = field(default_factory=dict)  # (agent id, framework id) -> status
    filters: dict[tuple[str, str], float] = field(default_factory=dict)  # (agent id, framework id) -> until


@dataclass(kw_only=True, slots=True)
class MasterState:
    """Everything; the functions of master_*.py and allocator.py change it."""

    master_id: str
    hostname: str
    port: int
    make_uuid: Callable[[], str]
    started_at: float
    interval_s: float
    domain: Json | None  # DomainInfo
    next_tick: float
    agents: dict[str, Agent] = field(default_factory=dict)
    recovered_agents: dict[str, Json] = field(default_factory=dict)  # known, and not back yet
    frameworks: dict[str, Framework] = field(default_factory=dict)
    removed: dict[str, Framework] = field(default_factory=dict)
    offers: dict[str, Offer] = field(default_factory=dict)
    recovered_until: float = 0.0  # when agents that are not back yet are given up
    ping_timeout_s: float = 75.0
    heartbeat_s: float = HEARTBEAT_S
    offer_timeout_s: float | None = None
    unreachable: dict[str, float] = field(default_factory=dict)  # agent id -> since when
    gone: dict[str, float] = field(default_factory=dict)
    deactivated: set[str] = field(default_factory=set)  # agent ids; they outlive an agent's restart
    drains: dict[str, Drain] = field(default_factory=dict)
    maintenance: Maintenance = field(default_factory=Maintenance)
    inverse_offers: dict[str, InverseOffer] = field(default_factory=dict)
    filters: dict[tuple[str, str, str], list[tuple[Bundle, float]]] = field(default_factory=dict)
    framework_count: int = 0
    offer_count: int = 0

    def master_info(self) -> Json:
        domain = {} if self.domain is None else {"domain": self.domain}
        return {
            "id": self.master_id,
            "ip": 16777343,  # 127.0.0.1 in network byte order, read as a little-endian number
            "port": self.port,
            "pid": f"master@{self.hostname}:{self.port}",
            "hostname": self.hostname,
            "version": VERSION,
            "address": {"hostname": self.hostname, "ip": self.hostname, "port": self.port},
            "capabilities": [{"type": "AGENT_UPDATE"}, {"type": "AGENT_DRAINING"}, {"type": "QUOTA_V2"}],
            **domain,
        }

    def offers_of(self, framework_id: str) -> Iterator[Offer]:
        return (offer for offer in list(self.offers.values()) if offer.framework_id == framework_id)

    def make_offer_id(self) -> str:
        """Offers and inverse offers are counted together."""
        self.offer_count += 1
        return f"{self.master_id}-O{self.offer_count - 1}"

    def is_active(self, agent: Agent) -> bool:
        """Whether it may be offered."""
        return agent.connected and agent.agent_id not in self.deactivated

    def tell_agent(self, agent_id: str, message: MasterMessage) -> list[MasterEffect]:
        """Lost while the agent's connection is broken, but for KILL, which is kept (surprise 24)."""
        agent = self.agents.get(agent_id)
        if agent is None:
            return []
        if agent.connected:
            return [ToAgent(agent_id=agent_id, message=message)]
        if isinstance(message, KillTask):
            agent.kept_kills.append(message)
        return []

    def tell_agents(self, message: MasterMessage) -> list[MasterEffect]:
        connected = (agent.agent_id for agent in self.agents.values() if agent.connected)
        return [ToAgent(agent_id=agent_id, message=message) for agent_id in connected]

    def tasks_of(self, framework: Framework, agent_id: str) -> list[Task]:
        return [task for task in framework.tasks.values() if task.agent_id == agent_id]


def send(framework: Framework, event: Json) -> list[MasterEffect]:
    """An event for a scheduler; lost while it is disconnected."""
    return [] if framework.stream is None else [SendEvent(stream=framework.stream, event=event)]


def take_back(state: MasterState, offer: Offer) -> None:
    """The offer ends; its resources are free."""
    del state.offers[offer.offer_id]
    agent = state.agents.get(offer.agent_id)
    if agent is not None:
        agent.offered = agent.offered - offer.bundle


def take_back_all(state: MasterState, framework_id: str) -> None:
    """In silence: the framework is away, or is told in another way."""
    for offer in state.offers_of(framework_id):
        take_back(state, offer)
    for inverse in [o for o in state.inverse_offers.values() if o.framework_id == framework_id]:
        del state.inverse_offers[inverse.offer_id]


def rescind_agent(state: MasterState, agent_id: str) -> list[MasterEffect]:
    """All offers of an agent, and the questions about it."""
    effects = rescind(state, [offer for offer in state.offers.values() if offer.agent_id == agent_id])
    inverse = [offer for offer in state.inverse_offers.values() if offer.agent_id == agent_id]
    return effects + rescind_inverse(state, inverse)


def rescind_inverse(state: MasterState, offers: Iterable[InverseOffer]) -> list[MasterEffect]:
    effects: list[MasterEffect] = []
    for offer in list(offers):
        del state.inverse_offers[offer.offer_id]
        body = {"inverse_offer_id": {"value": offer.offer_id}}
        event = {"type": "RESCIND_INVERSE_OFFER", "rescind_inverse_offer": body}
        effects += send(state.frameworks[offer.framework_id], event)
    return effects


def rescind(state: MasterState, offers: Iterable[Offer]) -> list[MasterEffect]:
    """The offers end, and their schedulers are told."""
    effects: list[MasterEffect] = []
    for offer in list(offers):
        take_back(state, offer)
        event = {"type": "RESCIND", "rescind": {"offer_id": {"value": offer.offer_id}}}
        effects += send(state.frameworks[offer.framework_id], event)
    return effects


def occupy(state: MasterState, framework: Framework, agent_id: str, role: str, bundle: Bundle) -> None:
    agent = state.agents[agent_id]
    agent.used = agent.used + bundle
    agent.used_by_role[role] = agent.used_by_role.get(role, EMPTY) + bundle
    framework.used_by_role[role] = framework.used_by_role.get(role, EMPTY) + bundle


def release(state: MasterState, framework: Framework, agent_id: str, role: str, bundle: Bundle) -> None:
    agent = state.agents.get(agent_id)
    if agent is not None:
        agent.used = agent.used - bundle
        agent.used_by_role[role] = agent.used_by_role.get(role, EMPTY) - bundle
    framework.used_by_role[role] = framework.used_by_role.get(role, EMPTY) - bundle


def note_status(task: Task, status: Json) -> None:
    """The newest status of each state stays (Mesos' updateTask)."""
    task.forwarded, task.uuid = status["state"], status.get("uuid")
    if task.uuid is not None:
        task.update = status
    if task.statuses and task.statuses[-1]["state"] == status["state"]:
        task.statuses.pop()
    task.statuses.append(status)


def set_task_state(state: MasterState, framework: Framework, task: Task, newest: str) -> None:
    """Resources are free on the terminal update, not on its acknowledgement (surprise 13)."""
    if is_terminal(task.state):
        return
    task.state = newest
    if is_terminal(newest) and not task.released:
        task.released = True
        release(state, framework, task.agent_id, role_of(task.info), task.bundle)


def remove_task(state: MasterState, framework: Framework, task: Task) -> None:
    if not task.released:
        task.released = True
        release(state, framework, task.agent_id, role_of(task.info), task.bundle)
    del framework.tasks[task.task_id]
    complete(framework, task)


def complete(framework: Framework, task: Task) -> None:
    # Mesos' Task has no data either; kept, a thousand of them would be most of our memory.
    task.info = {name: value for name, value in task.info.items() if name not in ("data", "executor")}
    task.info["executor"] = {"executor_id": {"value": task.executor_id}}
    task.statuses = [{k: v for k, v in status.items() if k != "data"} for status in task.statuses]
    framework.completed.append(task)


def remove_executor(state: MasterState, framework: Framework, agent_id: str, executor_id: str) -> bool:
    """Whether there was such an executor."""
    agent = state.agents.get(agent_id)
    executor = agent.executors.pop((framework.framework_id, executor_id), None) if agent else None
    if executor is None:
        return False
    release(state, framework, agent_id, role_of(executor.info), executor.bundle)
    return True

"""What the REST API answers about agents, the cluster and its scheduler, for its OpenAPI document."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from api.answers import Answered


class AgentAnswer(Answered):
    """An agent."""

    id: str
    hostname: str
    url: str
    resources: dict[str, Any]
    attributes: dict[str, str]
    region: str | None
    zone: str | None
    active: bool = Field(description="whether the master has it")
    first_seen: str
    last_seen: str
    attempts: int = Field(description="those on it that have not ended")
    images: list[str] | None = Field(
        description="what its engine held when its executor last said so; null where none has"
    )
    mode: str = Field(description="what operators want of it: ACTIVE, CORDONED or DRAINED")
    mode_pending: bool = Field(description="whether the scheduler has still to take that in")
    mode_message: str | None = Field(description="what Mesos had against it")
    mode_user: str | None = Field(description="who wanted it last")
    mode_at: str | None
    max_grace_s: float | None
    mark_gone: bool
    deactivated: bool = Field(description="whether it is kept from offering anything, by whomever")
    drain: str | None = Field(description="DRAINING or DRAINED, as the master says")
    unavailable_from: str | None = Field(description="when its next maintenance window begins")
    unavailable_until: str | None = Field(description="null for a window without an end")


class AgentList(Answered):
    """Agents by host name."""

    items: list[AgentAnswer]


class ClusterAnswer(Answered):
    """The cluster."""

    connected: bool = Field(description="whether the scheduler is subscribed to a master")
    master: str | None
    heartbeat_at: str | None
    framework_id: str | None
    leader: str | None
    agents: int
    resources: dict[str, Any]
    open_jobs: int
    open_attempts: int
    scheduler: dict[str, Any]


class RunningAnswer(Answered):
    """What has not ended, in numbers."""

    attempts: int
    jobs: int = Field(description="those that the attempts belong to")
    agents: int = Field(description="those that the attempts are on")


class WishAnswer(Answered):
    """What operators want of the framework."""

    desire: str = Field(description="RUN, TEARDOWN or RESET")
    pending: bool = Field(description="whether the scheduler has still to carry it out")
    user: str | None
    at: str | None


class SchedulerAnswer(Answered):
    """The scheduler, and what an end of its framework would kill."""

    health: str = Field(description='"ok", or what is wrong in words')
    connected: bool = Field(description="whether it is subscribed to a master")
    master: str | None
    heartbeat_at: str | None
    leader: str | None = Field(description="which instance leads, or led last")
    epoch: int = Field(description="how often the lead has changed")
    lease_expires_at: str | None
    framework_id: str | None
    torn_down: bool = Field(
        description="whether the framework has left Mesos by an operator's wish, and waits for a reset"
    )
    wish: WishAnswer | None
    running: RunningAnswer
    open_jobs: int
    figures: dict[str, Any] = Field(description="what the scheduler says of itself")


class FrameworkAnswer(Answered):
    """A wish that was taken down, and what it will kill."""

    framework_id: str | None
    wish: WishAnswer
    running: RunningAnswer

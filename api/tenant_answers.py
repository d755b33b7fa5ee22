"""What the REST API answers about projects and usage, for its OpenAPI document."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from api.answers import Answered


class UserShareAnswer(Answered):
    """What a user holds in a project."""

    user: str
    tasks: int
    held: dict[str, Any]
    share: float = Field(description="the largest part of any of the cluster's resources, 0 to 1")


class ProjectAnswer(Answered):
    """A project with all that is below it."""

    name: str
    parent: str | None
    depth: int = Field(description="0 below the root")
    declared: bool = Field(description="false for one that has the defaults as nobody has declared it")
    weight: float
    quota: dict[str, Any]
    max_running: int | None
    user_quota: dict[str, Any]
    user_max_running: int | None
    changed_by: str | None
    changed_at: str | None
    pending: bool = Field(description="whether the scheduler has still to take the last change of any project in")
    open_jobs: int
    tasks: int = Field(description="attempts that have not ended")
    held: dict[str, Any] = Field(description="what these hold")
    share: float = Field(description="the largest part of any of the cluster's resources that this is, 0 to 1")
    fair_share: float = Field(description="the part that its weight gives it among the projects with open jobs")
    past_share: float = Field(description="the decayed mean of its share in the recent past")
    quota_use: float | None = Field(description="the largest part of any of its limits that is in use")
    users: list[UserShareAnswer] | None = Field(default=None, description="where one project is asked for")
    warnings: list[str] | None = Field(
        default=None, description="where one project is asked for: limits on what nobody has or wants"
    )


class ProjectList(Answered):
    """Projects, each above those below it."""

    items: list[ProjectAnswer]
    total: dict[str, Any] = Field(description="what the cluster has")


class RequestedAnswer(Answered):
    """Amounts times the seconds that they were held."""

    cpu_s: float
    mem_mib_s: float
    gpu_s: float


class UsedAnswer(Answered):
    """What was measured."""

    cpu_s: float
    mem_mib_s: float = Field(description="the largest memory of each attempt over its run")
    mean_mem_mib_s: float = Field(description="the mean memory of each attempt over its run")
    read_mib: float = Field(description="from disks")
    written_mib: float
    received_mib: float = Field(description="from the network")
    sent_mib: float


class EfficiencyAnswer(Answered):
    """Used as a part of what the attempts requested of which something was measured; null where none was."""

    cpu: float | None
    mem: float | None


class UsageAnswer(Answered):
    """What attempts held and used."""

    day: str | None = Field(default=None, description="of UTC; present where it is grouped by, like those that follow")
    project: str | None = None
    user: str | None = None
    image: str | None = None
    outcome: str | None = Field(default=None, description="SUCCEEDED, a cause, or RUNNING")
    attempts: int = Field(description="that ended, or run now, within the days")
    outcomes: dict[str, int] = Field(description="how many of them ended how, or are RUNNING")
    held_s: float = Field(description="from launches to ends, or to the present")
    requested: RequestedAnswer
    used: UsedAnswer
    efficiency: EfficiencyAnswer


class UsagePage(Answered):
    """A page of sums."""

    items: list[UsageAnswer]
    next: str | None
    first: str = Field(description="the first day, of UTC")
    last: str = Field(description="the last day, included")

"""What a project, or one user of it, may hold at most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from swath.domain.projects import walk_up
from swath.matching.model import Demand, Tenants
from swath.matching.reasons import LimitReached, QuotaReached


@dataclass(slots=True)
class Limit:
    """One limit, and what is held under it."""

    of: str  # in words: "project forest", "user ana in project forest"
    quota: Mapping[str, int]  # by resource
    most_tasks: int | None
    amounts: dict[str, int] = field(default_factory=dict)
    tasks: int = 0

    def room(self, need: Mapping[str, int]) -> int | None:
        """How many more tasks that need `need` each may run; None for no limit."""
        rooms = [
            (most - self.amounts.get(name, 0)) // need[name] for name, most in self.quota.items() if need.get(name)
        ]
        if self.most_tasks is not None:
            rooms.append(self.most_tasks - self.tasks)
        return max(0, min(rooms)) if rooms else None

    def hold(self, amounts: Mapping[str, int], tasks: int) -> None:
        """So much more is held under the limit."""
        self.tasks += tasks
        for name, value in amounts.items():
            self.amounts[name] = self.amounts.get(name, 0) + value

    def standings(self) -> list[QuotaReached]:
        """How much of each of its amounts is used."""
        of = [
            QuotaReached(of=self.of, resource=name, held=self.amounts.get(name, 0), most=most)
            for name, most in self.quota.items()
        ]
        if self.most_tasks is not None:
            of.append(QuotaReached(of=self.of, resource="tasks", held=self.tasks, most=self.most_tasks))
        return of

    def reason(self, need: Mapping[str, int]) -> QuotaReached:
        """Why a task that needs `need` does not start under this limit."""
        for name, most in self.quota.items():
            if need.get(name) and self.amounts.get(name, 0) + need[name] > most:
                return QuotaReached(of=self.of, resource=name, held=self.amounts.get(name, 0), most=most)
        return QuotaReached(of=self.of, resource="tasks", held=self.tasks, most=self.most_tasks or 0)


class Limits:
    """All limits, and what is held under each while a plan grows."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants
        self._known: dict[tuple[str, str | None], Limit] = {}  # (project, user or None for the project's own)
        self._chains: dict[tuple[str, str], tuple[Limit, ...]] = {}
        self._placed: dict[str, int] = {}  # job -> tasks placed in this cycle
        if any(_is_limited(project.quota, project.max_running) for project in tenants.projects.values()) or any(
            _is_limited(project.user_quota, project.user_max_running) for project in tenants.projects.values()
        ):
            for (project, user), held in tenants.held.items():
                for limit in self._chain(project, user):
                    limit.hold(held.resources.amounts(), held.tasks)

    def allowed(self, demand: Demand, count: int) -> int:
        """How many of `count` tasks of the demand may start, resources of agents aside."""
        if demand.limit is not None:
            count = min(count, demand.limit - self._placed.get(demand.job, 0))
        chain = self._chain(demand.project, demand.user)
        if chain:
            need = demand.resources.amounts()
            rooms = [room for limit in chain if (room := limit.room(need)) is not None]
            count = min(count, *rooms) if rooms else count
        return max(0, count)

    def take(self, demand: Demand, count: int) -> None:
        """So many tasks of the demand start."""
        self._placed[demand.job] = self._placed.get(demand.job, 0) + count
        for limit in self._chain(demand.project, demand.user):
            limit.hold(demand.resources.scaled(count).amounts(), count)

    def reason(self, demand: Demand) -> LimitReached | QuotaReached | None:
        """Why no further task of the demand may start; None when one may."""
        if demand.limit is not None and demand.limit <= self._placed.get(demand.job, 0):
            return LimitReached()
        need = demand.resources.amounts()
        shut = (limit for limit in self._chain(demand.project, demand.user) if limit.room(need) == 0)
        return next((limit.reason(need) for limit in shut), None)

    def standings(self, demand: Demand) -> list[QuotaReached]:
        """How much of every limit that the demand stands under is used, whether it is reached or not."""
        return [standing for limit in self._chain(demand.project, demand.user) for standing in limit.standings()]

    def _chain(self, project: str, user: str) -> tuple[Limit, ...]:
        """The limits that a user of a project stands under; mostly none."""
        key = (project, user)
        if key not in self._chains:
            found: list[Limit] = []
            for entry in walk_up(self._tenants.projects, project):
                if _is_limited(entry.user_quota, entry.user_max_running):
                    of = f"user {user} in project {entry.name}"
                    mine = Limit(of=of, quota=entry.user_quota, most_tasks=entry.user_max_running)
                    found.append(self._known.setdefault((entry.name, user), mine))
                if _is_limited(entry.quota, entry.max_running):
                    whole = Limit(of=f"project {entry.name}", quota=entry.quota, most_tasks=entry.max_running)
                    found.append(self._known.setdefault((entry.name, None), whole))
            self._chains[key] = tuple(found)
        return self._chains[key]


def _is_limited(quota: Mapping[str, int], most_tasks: int | None) -> bool:
    return bool(quota) or most_tasks is not None

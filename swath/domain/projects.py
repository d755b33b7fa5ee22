"""Projects: the tree over which the cluster is shared out, and what each of them may hold at most.

A project that nobody declared exists with the defaults, below the root. The root has no name and no entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from swath.domain.errors import InvalidInputError, Problem

DEEPEST = 8  # projects from the root down: the fair order walks the tree in every cycle
LEAST_WEIGHT, LARGEST_WEIGHT = 0.001, 1_000_000.0
MOST_RUNNING = 10**9  # fits into the columns
LARGEST_QUOTA = 10**12  # as written; in thousandths every database and matrix counts so far

PLAIN = ("cpus", "mem", "disk", "gpus", "ports")  # all others stand within "custom", as in a job's document
_WHOLE = frozenset(PLAIN) - {"cpus"}  # MiB, and things that are not shared; cpus and custom ones are in thousandths
_NAME = re.compile(r"[A-Za-z0-9_./-]{1,128}")
_CUSTOM = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")
_FIELDS = ("parent", "weight", "quota", "max_running", "user_quota", "user_max_running")


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """A unit of fair share, quota and accounting. Amounts are fixed-point as in `Resources.amounts`."""

    name: str
    parent: str | None = None  # None: below the root
    weight: float = 1.0  # its part among its siblings
    quota: Mapping[str, int] = field(default_factory=dict)  # by resource; what is not named is not limited
    max_running: int | None = None  # tasks at a time
    user_quota: Mapping[str, int] = field(default_factory=dict)  # of each of its users
    user_max_running: int | None = None  # of each of its users

    def to_document(self) -> dict[str, Any]:
        """The project as users write it: cpus as a number, memory and disk in MiB; without its name."""
        return {
            "parent": self.parent,
            "weight": self.weight,
            "quota": to_amounts(self.quota),
            "max_running": self.max_running,
            "user_quota": to_amounts(self.user_quota),
            "user_max_running": self.user_max_running,
        }

    @classmethod
    def from_document(cls, name: str, document: Mapping[str, Any]) -> Project:
        """The project of a document; what it leaves out has its default. Raises InvalidInputError with every problem."""
        said = {key: value for key, value in document.items() if value is not None}
        problems = [*_complain_of_name(name), *_complain_of_fields(said)]
        if problems:
            raise InvalidInputError(problems)
        values: dict[str, Any] = {**said, "weight": float(said.get("weight", 1.0))}
        values |= {key: _from_amounts(said[key]) for key in ("quota", "user_quota") if key in said}
        return cls(name=name, **values)


def to_amounts(quota: Mapping[str, int]) -> dict[str, Any]:
    """Fixed-point amounts as users write them."""
    plain: dict[str, Any] = {name: show_amount(name, quota[name]) for name in PLAIN if name in quota}
    custom = {name: show_amount(name, value) for name, value in quota.items() if name not in PLAIN}
    return plain | ({"custom": custom} if custom else {})


def show_amount(name: str, value: int) -> float:
    """A fixed-point amount as people write it."""
    return value if name in _WHOLE else value / 1000


def find_project(projects: Mapping[str, Project], name: str) -> Project:
    """The project as it was declared, or with the defaults."""
    return projects.get(name) or Project(name=name)


def walk_up(projects: Mapping[str, Project], name: str) -> Iterator[Project]:
    """The project and those above it, the topmost last; of a checked tree at most DEEPEST."""
    for _ in range(DEEPEST):
        project = find_project(projects, name)
        yield project
        if project.parent is None:
            return
        name = project.parent


def check_tree(projects: Mapping[str, Project]) -> None:
    """Return for a tree; raise InvalidInputError that names every unknown parent, every cycle and every branch too deep."""
    problems = [
        Problem("/parent", f"there is no project {project.parent}, which {name} is to be below: declare it first")
        for name, project in sorted(projects.items())
        if project.parent is not None and project.parent not in projects
    ]
    cycles = {way for name in projects if (way := _find_cycle(projects, name)) is not None}
    problems += [Problem("/parent", f"a project would be below itself: {' -> '.join(way)}") for way in sorted(cycles)]
    problems = problems or _complain_of_depth(projects)
    if problems:
        raise InvalidInputError(problems)


def _find_cycle(projects: Mapping[str, Project], name: str) -> tuple[str, ...] | None:
    """The cycle that the way up from `name` runs into, told from its alphabetically first member; None where it ends."""
    way: dict[str, None] = {}
    at: str | None = name
    while at is not None and at not in way:
        way[at] = None
        at = projects[at].parent if at in projects else None
    if at is None:
        return None
    ring = list(way)[list(way).index(at) :]
    first = ring.index(min(ring))
    return (*ring[first:], *ring[:first], ring[first])


def _complain_of_depth(projects: Mapping[str, Project]) -> list[Problem]:
    """Of a tree without cycles."""
    depths: dict[str, int] = {}
    for name in projects:
        way = []
        at: str | None = name
        while at is not None and at not in depths:
            way.append(at)
            at = projects[at].parent
        for depth, entry in enumerate(reversed(way), start=1 + (depths[at] if at is not None else 0)):
            depths[entry] = depth
    deep = sorted(name for name, depth in depths.items() if depth > DEEPEST)
    return [
        Problem("/parent", f"{name} would be {depths[name]} levels deep, at most {DEEPEST} are taken") for name in deep
    ]


def _complain_of_name(name: object) -> Iterator[Problem]:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield Problem("/name", "must be 1 to 128 letters, digits and any of _ . / -")


def _complain_of_fields(said: Mapping[str, Any]) -> Iterator[Problem]:
    yield from (
        Problem(f"/{key}", f"is not known; known are {', '.join(_FIELDS)}") for key in said if key not in _FIELDS
    )
    parent, weight = said.get("parent"), said.get("weight", 1.0)
    if parent is not None and (not isinstance(parent, str) or not _NAME.fullmatch(parent)):
        yield Problem("/parent", "must be the name of a project, or null for the root")
    if not _is_number(weight) or not LEAST_WEIGHT <= weight <= LARGEST_WEIGHT:
        yield Problem("/weight", f"must be more than 0: {LEAST_WEIGHT:g} to {LARGEST_WEIGHT:,.0f}")
    for key in ("max_running", "user_max_running"):
        value = said.get(key, 0)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_RUNNING:
            yield Problem(f"/{key}", "must be a whole number, not below 0, or null for no limit")
    for key in ("quota", "user_quota"):
        yield from _complain_of_quota(said.get(key, {}), f"/{key}")


def _complain_of_quota(quota: object, path: str) -> Iterator[Problem]:
    custom = quota.get("custom", {}) if isinstance(quota, Mapping) else None
    if not isinstance(quota, Mapping) or not isinstance(custom, Mapping):
        yield Problem(path, 'must be amounts by resource, like {"cpus": 100, "mem": 204800, "custom": {"licences": 2}}')
        return
    plain = {name: value for name, value in quota.items() if name != "custom"}
    for name in [name for name in plain if name not in PLAIN]:
        yield Problem(f"{path}/{name}", f"is not a resource; known are {', '.join(PLAIN)}, and others within custom")
    for name in custom:
        if name in PLAIN or not isinstance(name, str) or not _CUSTOM.fullmatch(name):
            yield Problem(f"{path}/custom/{name}", "cannot be the name of a custom resource")
    for way, amounts in ((path, plain), (f"{path}/custom", custom)):
        yield from (
            Problem(f"{way}/{name}", said) for name, value in amounts.items() if (said := _complaint(name, value))
        )


def _complaint(name: object, value: object) -> str | None:
    """Why `value` cannot be a limit on the resource `name`; None when it can."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return "must be a number"
    if value < 0:
        return "must not be below 0"
    if value > LARGEST_QUOTA:
        return f"is absurdly large, at most {LARGEST_QUOTA:,} is taken; leave it out for no limit"
    return "must be whole" if name in _WHOLE and value != int(value) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _from_amounts(quota: Mapping[str, Any]) -> dict[str, int]:
    """Fixed-point, by name in order: equal quotas are equal documents."""
    flat = {name: value for name, value in quota.items() if name != "custom"} | dict(quota.get("custom", {}))
    return {name: int(flat[name]) if name in _WHOLE else round(flat[name] * 1000) for name in sorted(flat)}

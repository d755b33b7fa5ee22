"""Projects as users see them: the tree, what each branch holds, and what it could have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from api.views import to_time
from swath.domain.projects import Project, find_project
from swath.domain.resources import Resources
from swath.domain.shares import dominant_share
from swath.store.rows import TenantsRow

Document = dict[str, Any]
_DIGITS = 6  # of a share


@dataclass(kw_only=True, slots=True)
class _Branch:
    """A project with all that is below it."""

    project: Project
    depth: int = 0
    children: list[_Branch] = field(default_factory=list)
    held: Resources = field(default_factory=Resources)
    tasks: int = 0
    own_jobs: int = 0  # open ones, without those below
    open_jobs: int = 0
    past: float = 0.0
    fair: float = 1.0


def to_projects(rows: TenantsRow, now: datetime) -> list[Document]:
    """All projects that were declared or have something open, each above those below it, by name."""
    return [_to_document(rows, branch) for branch in _walk(_grow(rows, now))]


def to_users(rows: TenantsRow, name: str) -> list[Document]:
    """What each user of the project holds in it, by name; those of projects below it aside."""
    return [
        {
            "user": user,
            "tasks": row.tasks,
            "held": row.resources.to_document(),
            "share": round(dominant_share(row.resources, rows.total), _DIGITS),
        }
        for (project, user), row in sorted(rows.held.items())
        if project == name
    ]


def _grow(rows: TenantsRow, now: datetime) -> list[_Branch]:
    """The topmost branches."""
    projects = rows.tree.projects
    names = sorted({*projects, *rows.open_jobs, *(project for project, _ in rows.held)})
    branches = {name: _Branch(project=find_project(projects, name)) for name in names}
    for name, branch in branches.items():
        branch.open_jobs = branch.own_jobs = rows.open_jobs.get(name, 0)
        branch.past = rows.pasts[name].value_at(now) if name in rows.pasts else 0.0
        if branch.project.parent is not None:
            branches[branch.project.parent].children.append(branch)
    for (name, _), row in rows.held.items():
        branches[name].held += row.resources
        branches[name].tasks += row.tasks
    tops = [branch for branch in branches.values() if branch.project.parent is None]
    for branch in tops:
        _add_up(branch)
    _share_out(tops, 1.0, 0)
    return tops


def _add_up(branch: _Branch) -> None:
    """A project counts with what is below it."""
    for child in branch.children:
        _add_up(child)
        branch.held += child.held
        branch.tasks += child.tasks
        branch.open_jobs += child.open_jobs
        branch.past += child.past


def _share_out(siblings: list[_Branch], whole: float, depth: int, own: float = 0.0) -> None:
    """To each its weight's part of `whole`, among those that have work now; one that has none is told what it would have.

    `own` is the weight of what their parent runs itself: that is like one more child of weight 1.
    """
    busy = own + sum(branch.project.weight for branch in siblings if branch.open_jobs)
    for branch in siblings:
        weight = branch.project.weight
        branch.depth, branch.fair = depth, whole * weight / (busy if branch.open_jobs else busy + weight)
        _share_out(branch.children, branch.fair, depth + 1, 1.0 if branch.own_jobs else 0.0)


def _walk(branches: list[_Branch]) -> Iterator[_Branch]:
    for branch in branches:
        yield branch
        yield from _walk(branch.children)


def _to_document(rows: TenantsRow, branch: _Branch) -> Document:
    declared = rows.declared.get(branch.project.name)
    return {
        "name": branch.project.name,
        "depth": branch.depth,
        "declared": declared is not None,
        **branch.project.to_document(),
        "changed_by": declared.user if declared else None,
        "changed_at": to_time(declared.at) if declared else None,
        "pending": rows.tree.rev != rows.tree.observed_rev,
        "open_jobs": branch.open_jobs,
        "tasks": branch.tasks,
        "held": branch.held.to_document(),
        "share": round(dominant_share(branch.held, rows.total), _DIGITS),
        "fair_share": round(branch.fair, _DIGITS),
        "past_share": round(min(1.0, branch.past), _DIGITS),
        "quota_use": _quota_use(branch.project, branch.held.amounts(), branch.tasks),
    }


def _quota_use(project: Project, held: Mapping[str, int], tasks: int) -> float | None:
    """The largest part of any of its limits that is in use; None without a limit."""
    limits = [(held.get(name, 0), limit) for name, limit in project.quota.items()]
    limits += [] if project.max_running is None else [(tasks, project.max_running)]
    return max((round(have / limit, _DIGITS) if limit else 1.0 for have, limit in limits), default=None)

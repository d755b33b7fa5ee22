"""Names that are most likely misspelt: which of those that there are is meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from swath.domain.projects import PLAIN, Project
from swath.domain.resources import Resources
from swath.store.api_store import ApiStore
from swath.store.rows import JobFilters


def find_nearest(name: str, known: Iterable[str]) -> str | None:
    """The name that is most like it, and not it; None where none is."""
    return next(iter(get_close_matches(name, {*known} - {name}, n=1)), None)


def find_resource_hint(request: Resources, rooms: Iterable[Resources]) -> str:
    """What of a request no agent has at all, where something of nearly that name is there; else nothing."""
    known = {name for room in rooms for name, _ in room.custom}
    lacking = [name for name, _ in request.custom if name not in known]
    near = [nearest for name in lacking if (nearest := find_nearest(name, {*known, *PLAIN}))]
    return f" (did you mean {', '.join(near)}?)" if near else ""


def warn_of_project(name: str, declared: Iterable[Project], store: ApiStore) -> list[str]:
    """A warning about the first job of a project that nobody has declared, where one of nearly that name is."""
    names = {project.name for project in declared}
    near = None if name in names else find_nearest(name, names)
    if near is None or store.list_jobs(JobFilters(project=name), limit=1).items:
        return []
    return [f"this is the first job of a project {name}, which nobody has declared; did you mean {near}?"]

"""Projects: the api writes the tree, one project at a time and checked as a whole; the scheduler takes all of it in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import delete, literal, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from swath.domain.errors import ConflictError, InvalidInputError, NotFoundError
from swath.domain.projects import Project, check_tree
from swath.domain.shares import Past
from swath.domain.wishes import ProjectTree
from swath.store import models
from swath.store.models import JOB_IS_OPEN, PROJECTS_ARE_CHANGED

MOST_PROJECTS = 10_000
_PROJECT = tuple(Project.__slots__)
_PAST = tuple(Past.__slots__)


def read_tree(session: Session) -> ProjectTree:
    """All declared projects and their revision."""
    row = session.get(models.ProjectTree, 1)
    rev, observed_rev = (row.rev, row.observed_rev) if row else (0, 0)
    return ProjectTree(projects=read_projects(session), rev=rev, observed_rev=observed_rev)


def read_changed_tree(session: Session) -> ProjectTree | None:
    """All declared projects, where the scheduler has not taken their last revision in; else None, for little."""
    changed = session.scalar(select(literal(1)).select_from(models.ProjectTree).where(text(PROJECTS_ARE_CHANGED)))
    return None if changed is None else read_tree(session)


def read_projects(session: Session) -> dict[str, Project]:
    """All declared projects by name, in the order of names."""
    rows = session.scalars(select(models.Project).order_by(models.Project.name))
    return {row.name: _to_project(row) for row in rows}


def put_project(session: Session, project: Project, *, user: str, now: datetime) -> None:
    """Declare the project, or change it: see ApiStore.put_project."""
    rev = _lock_tree(session)
    projects = read_projects(session)
    if projects.get(project.name) == project:
        return
    if len(projects) >= MOST_PROJECTS and project.name not in projects:
        raise InvalidInputError.at("", f"there are {len(projects):,} projects already, as many as may be")
    check_tree({**projects, project.name: project})
    values = {name: getattr(project, name) for name in _PROJECT} | {"user": user, "at": now}
    values |= {name: dict(values[name]) for name in ("quota", "user_quota")}
    insert = _dialect(session).insert(models.Project).values(**values)
    changed = {name: value for name, value in values.items() if name != "name"}
    session.execute(insert.on_conflict_do_update(index_elements=["name"], set_=changed))
    _raise_rev(session, rev)


def remove_project(session: Session, name: str) -> None:
    """Forget what was declared of the project: see ApiStore.remove_project."""
    rev = _lock_tree(session)
    projects = read_projects(session)
    if name not in projects:
        raise NotFoundError(f"project {name} was never declared")
    if below := sorted(child.name for child in projects.values() if child.parent == name):
        raise ConflictError(f"project {name} has others below it: {_some(below)}")
    is_open = (models.Job.project == name, text(JOB_IS_OPEN))
    jobs = list(session.scalars(select(models.Job.id).where(*is_open).order_by(models.Job.id).limit(_FEW + 1)))
    if jobs:
        raise ConflictError(f"project {name} has jobs that have not ended: {_some(jobs)}")
    session.execute(delete(models.Project).where(models.Project.name == name))
    _raise_rev(session, rev)


def observe_projects(session: Session, rev: int | None) -> None:
    """Note which revision the scheduler has taken in; a newer one stays to be."""
    if rev is not None:
        met = (models.ProjectTree.id == 1, models.ProjectTree.observed_rev <= rev)
        wish = update(models.ProjectTree).where(*met).values(observed_rev=rev)
        session.execute(wish.execution_options(synchronize_session=False))


def read_pasts(session: Session) -> dict[str, Past]:
    """What every project has held of late, as the scheduler wrote it last."""
    rows = session.scalars(select(models.ProjectPast))
    return {row.project: Past(**{name: getattr(row, name) for name in _PAST}) for row in rows}


_FEW = 3  # names in an error


def _some(names: list[str]) -> str:
    more = len(names) > _FEW
    return f"{', '.join(names[:_FEW])}{' and more' if more else ''}"


def _lock_tree(session: Session) -> int:
    """The present revision. The row is held until the transaction ends: two changes come one after the other."""
    insert = _dialect(session).insert(models.ProjectTree).values(id=1, rev=0, observed_rev=0)
    held = insert.on_conflict_do_update(index_elements=["id"], set_={"rev": models.ProjectTree.rev})
    rev: int = session.scalars(held.returning(models.ProjectTree.rev)).one()
    return rev


def _raise_rev(session: Session, rev: int) -> None:
    wish = update(models.ProjectTree).where(models.ProjectTree.id == 1).values(rev=rev + 1)
    session.execute(wish.execution_options(synchronize_session=False))


def _to_project(row: models.Project) -> Project:
    return Project(**{name: getattr(row, name) for name in _PROJECT})


def _dialect(session: Session) -> Any:
    return postgresql if session.get_bind().dialect.name == "postgresql" else sqlite

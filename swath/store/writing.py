"""The scheduler's changes as few statements: grouped by what they touch, each group one bulk statement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Insert, Table, Update, bindparam, func, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from swath.domain.changes import (
    AddAttempt,
    AddEvent,
    AddUsage,
    Change,
    ChangeAttempt,
    ChangeJob,
    CordonAgent,
    DeactivateAgent,
    ObserveAgentWish,
    ObserveFrameworkWish,
    ObserveProjects,
    PutAgent,
    PutImages,
    PutLearned,
    PutPast,
    PutSchedulerStatus,
    PutTask,
    SetFrameworkId,
    TellOfEnded,
)
from swath.domain.errors import IllegalTransitionError, InternalError
from swath.domain.shares import Past
from swath.domain.states import is_terminal
from swath.store.jobs import from_resources
from swath.store.models import (
    ATTEMPT_IS_OPEN,
    Agent,
    Attempt,
    Base,
    Event,
    Framework,
    Job,
    LearnedNeed,
    ProjectPast,
    SchedulerStatus,
    Task,
)
from swath.store.projects import observe_projects
from swath.store.usage import add_usage
from swath.store.wishes import cordon_agents, observe_agent_wishes, observe_framework_wishes

Kind = TypeVar("Kind")
Values = dict[str, Any]

_ADDED = (
    *("id", "job_id", "task_index", "number", "slot_id", "agent_id", "hostname", "executor_id", "state"),
    *("launched_at", "started_at", "ended_at", "sandbox"),
)
_REPORTED = tuple(name for name in ChangeAttempt.__slots__ if name not in ("attempt_id", "state"))
_PAST = tuple(Past.__slots__)
_JOB = (
    "state",
    "observed_rev",
    "retry_rev_done",
    "wait_reason",
    "started_at",
    "ended_at",
    "message",
    "asks_mem",
    "asks_disk",
    "longest_run_s",
)
_COUNTS = ("pending", "active", "succeeded", "failed", "cancelled")
_AGENT = (
    *("hostname", "url", "region", "zone", "active", "deactivated", "drain"),
    *("unavailable_from", "unavailable_until"),
)


def write_changes(session: Session, changes: Sequence[Change], now: datetime) -> None:
    """Write `changes` in the session's transaction, what others refer to first. See SchedulerStore.apply."""
    _put_framework(session, _of(changes, SetFrameworkId))
    _put_agents(session, [change for change in changes if isinstance(change, PutAgent | DeactivateAgent)], now)
    _put_images(session, _last(_of(changes, PutImages), key=lambda change: change.agent_id))
    _put_tasks(session, _of(changes, PutTask))
    _add_attempts(session, _of(changes, AddAttempt))
    _change_attempts(session, _of(changes, ChangeAttempt))
    add_usage(session, _of(changes, AddUsage))
    _change_jobs(session, _of(changes, ChangeJob))
    _add_events(session, [change for change in changes if isinstance(change, AddEvent | TellOfEnded)], now)
    observe_agent_wishes(session, _last(_of(changes, ObserveAgentWish), key=lambda change: change.agent_id))
    _put_learned(session, _of(changes, PutLearned), now)
    cordon_agents(session, _last(_of(changes, CordonAgent), key=lambda change: change.agent_id), now)
    observe_framework_wishes(session, _of(changes, ObserveFrameworkWish)[-1:])
    observe_projects(session, max((change.rev for change in _of(changes, ObserveProjects)), default=None))
    _put_pasts(session, _last(_of(changes, PutPast), key=lambda change: change.project))
    _put_status(session, _of(changes, PutSchedulerStatus))


def _of(changes: Iterable[Change], kind: type[Kind]) -> list[Kind]:
    return [change for change in changes if isinstance(change, kind)]


def _last(changes: Iterable[Kind], key: Callable[[Kind], object]) -> list[Kind]:
    """The last change of each thing: whole rows replace each other."""
    return list({key(change): change for change in changes}.values())


def _put_framework(session: Session, changes: list[SetFrameworkId]) -> None:
    if changes:
        _upsert(session, Framework, [{"id": 1, "framework_id": changes[-1].framework_id}])


def _put_status(session: Session, changes: list[PutSchedulerStatus]) -> None:
    if changes:
        said = changes[-1]
        values = {name: getattr(said, name) for name in ("connected", "master", "heartbeat_at")}
        _upsert(session, SchedulerStatus, [{"id": 1, **values, "data": said.data}])


def _put_pasts(session: Session, changes: list[PutPast]) -> None:
    rows = [{name: getattr(change.past, name) for name in _PAST} | {"project": change.project} for change in changes]
    _upsert(session, ProjectPast, rows)


def _put_learned(session: Session, changes: list[PutLearned], now: datetime) -> None:
    last = _last(changes, key=lambda change: (change.image_version_id, change.asked))
    rows = [{name: getattr(change, name) for name in PutLearned.__slots__} | {"at": now} for change in last]
    _upsert(session, LearnedNeed, rows)


def _put_agents(session: Session, changes: list[PutAgent | DeactivateAgent], now: datetime) -> None:
    described = [
        {
            "id": change.agent_id,
            **{name: getattr(change, name) for name in _AGENT},
            **from_resources(change.total),
            "attributes": change.attributes,
            "first_seen": now,
            "last_seen": now,
        }
        for change in _last(_of(changes, PutAgent), key=lambda change: change.agent_id)
    ]
    _upsert(session, Agent, described, kept=("first_seen",))
    # Until now it was there: it counts as seen for the hours to come.
    last = _last(changes, key=lambda change: change.agent_id)
    gone = [{"key": change.agent_id, "new_last_seen": now} for change in last if isinstance(change, DeactivateAgent)]
    _update_each(session, _deactivate_agents(), gone, Agent)


def _put_images(session: Session, changes: list[PutImages]) -> None:
    """A hint: where there is no such agent, nothing is lost."""
    if changes:
        rows = [{"key": change.agent_id, "new_images": change.report} for change in changes]
        session.connection().execute(_change_images(), rows)


def _put_tasks(session: Session, changes: list[PutTask]) -> None:
    last = _last(changes, key=lambda change: (change.job_id, change.index))
    _upsert(session, Task, [{name: getattr(change, name) for name in PutTask.__slots__} for change in last])


def _add_attempts(session: Session, changes: list[AddAttempt]) -> None:
    rows = [
        {
            **{name: getattr(change.attempt, name) for name in _ADDED},
            **from_resources(change.attempt.resources),
            "ports": list(change.attempt.ports) or None,
        }
        for change in changes
    ]
    if rows:
        session.connection().execute(insert(_table(Attempt)), rows)


def _change_attempts(session: Session, changes: list[ChangeAttempt]) -> None:
    merged: dict[str, ChangeAttempt] = {}
    for change in changes:
        known = merged.get(change.attempt_id)
        merged[change.attempt_id] = change if known is None else _merge(known, change)
    rows = [
        {"key": change.attempt_id, **{f"new_{name}": getattr(change, name) for name in ("state", *_REPORTED)}}
        for change in merged.values()
    ]
    try:
        _update_each(session, _change_attempt(), rows, Attempt)
    except InternalError as error:
        ended = _find_ended(session, list(merged))
        if ended:
            raise IllegalTransitionError(f"an attempt that has ended never changes: {', '.join(ended)}") from error
        raise


def _merge(before: ChangeAttempt, after: ChangeAttempt) -> ChangeAttempt:
    """Two changes of one attempt as one; raises IllegalTransitionError when the first has ended it."""
    if is_terminal(before.state):
        raise IllegalTransitionError(f"attempt {before.attempt_id} has ended and never changes")
    said = {name: value for name in _REPORTED if (value := getattr(after, name)) is not None}
    return replace(before, state=after.state, **said)


def _change_jobs(session: Session, changes: list[ChangeJob]) -> None:
    rows = [
        {
            "key": change.job_id,
            **{f"new_{name}": getattr(change, name) for name in _JOB},
            "new_pending": change.pending.to_document(),
            "new_dropped": change.dropped.to_document(),
            **{f"new_{name}_count": getattr(change.counts, name) for name in _COUNTS},
        }
        for change in _last(changes, key=lambda change: change.job_id)
    ]
    # In the order of ids, so that two writers of several jobs could never wait for each other.
    _update_each(session, _change_job(), sorted(rows, key=lambda row: str(row["key"])), Job)


def _add_events(session: Session, changes: list[AddEvent | TellOfEnded], now: datetime) -> None:
    """In the order of `changes`, whichever way the job of each is found."""
    ran = _find_ran(session, {change.slot_id for change in changes if isinstance(change, TellOfEnded)})
    told = [_of_ended(change, ran) if isinstance(change, TellOfEnded) else change for change in changes]
    rows = [{"job_id": found.job_id, "at": now, "kind": found.kind, "data": found.data} for found in told if found]
    if rows:
        session.connection().execute(insert(_table(Event)), rows)


def _find_ran(session: Session, slots: set[str]) -> dict[str, tuple[str, int, str]]:
    """(job, task, attempt) of the last attempt in each slot; slots that nobody knows are left out."""
    if not slots:
        return {}
    query = select(Attempt.slot_id, Attempt.job_id, Attempt.task_index, Attempt.id).where(Attempt.slot_id.in_(slots))
    return {slot: (job, index, attempt) for slot, job, index, attempt in session.execute(query.order_by(Attempt.id))}


def _of_ended(change: TellOfEnded, ran: dict[str, tuple[str, int, str]]) -> AddEvent | None:
    if change.slot_id not in ran:
        return None
    job_id, index, attempt_id = ran[change.slot_id]
    return AddEvent(job_id=job_id, kind=change.kind, data={**change.data, "task": index, "attempt": attempt_id})


def _table(model: type[Base]) -> Table:
    table = model.__table__
    assert isinstance(table, Table)  # noqa: S101 (for the type checker: every model here has a table of its own)
    return table


def _upsert(session: Session, model: type[Base], rows: list[Values], kept: tuple[str, ...] = ()) -> None:
    """Insert rows, or replace all of a row's columns but its key and those in `kept`."""
    if rows:
        session.connection().execute(_make_upsert(model, session.get_bind().dialect.name, tuple(rows[0]), kept), rows)


@cache
def _make_upsert(model: type[Base], dialect: str, columns: tuple[str, ...], kept: tuple[str, ...]) -> Insert:
    table = _table(model)
    keys = [column.name for column in table.primary_key]
    made = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    replaced = {name: made.excluded[name] for name in columns if name not in keys and name not in kept}
    return made.on_conflict_do_update(index_elements=keys, set_=replaced)


def _update_each(session: Session, statement: Update, rows: list[Values], model: type[Base]) -> None:
    """Run the update for every row; raises InternalError when one of them met nothing, for then something would be lost."""
    if not rows:
        return
    met = session.connection().execute(statement, rows).rowcount
    if met != len(rows):
        raise InternalError(f"{len(rows) - met} of {len(rows)} changes met no row of {model.__tablename__}")


@cache
def _deactivate_agents() -> Update:
    table = _table(Agent)
    return (
        update(table).where(table.c.id == bindparam("key")).values(active=False, last_seen=bindparam("new_last_seen"))
    )


@cache
def _change_images() -> Update:
    table = _table(Agent)
    new = bindparam("new_images", type_=table.c.images.type)
    return update(table).where(table.c.id == bindparam("key")).values(images=new)


@cache
def _change_attempt() -> Update:
    """The new state, and of the rest what is known ("never erase stored detail", MESOS.md, M22); only while it is open."""
    table = _table(Attempt)
    said = {
        name: func.coalesce(bindparam(f"new_{name}", type_=table.c[name].type), table.c[name]) for name in _REPORTED
    }
    still_open = (table.c.id == bindparam("key"), text(ATTEMPT_IS_OPEN))
    return update(table).where(*still_open).values(state=bindparam("new_state"), **said)


@cache
def _change_job() -> Update:
    table = _table(Job)
    names = (*_JOB, "pending", "dropped", *(f"{name}_count" for name in _COUNTS))
    return (
        update(table).where(table.c.id == bindparam("key")).values({name: bindparam(f"new_{name}") for name in names})
    )


def _find_ended(session: Session, attempts: list[str]) -> list[str]:
    """Up to ten of `attempts` that are there and have ended: what to say in an error."""
    query = select(Attempt.id).where(Attempt.id.in_(attempts[:1000]), text(f"NOT ({ATTEMPT_IS_OPEN})")).limit(10)
    return list(session.scalars(query))

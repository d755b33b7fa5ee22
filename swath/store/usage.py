"""Usage: the scheduler adds what ended attempts held and used, the api reads sums of it and adds what runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time
from functools import cache
from typing import Any

from sqlalchemy import Insert, Select, String, Table, case, func, literal, or_, select, text, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from swath.domain.changes import AddUsage
from swath.domain.resources import Resources
from swath.domain.retries import Cause
from swath.domain.usage import AMOUNTS, RUNNING, Amounts, make_amounts, split_days
from swath.store.models import ATTEMPT_IS_OPEN, Attempt, ImageVersion, Job, Usage
from swath.store.rows import Page, UsageFilters, UsageRow

Group = tuple[str, ...]  # the values of what is grouped by, in that order; a day as 2026-06-01

_KEYS = ("day", "project", "user", "image", "outcome")
_OUTCOMES = len(Cause) + 10  # of one group at most; causes of other versions among them
_BATCH = 1000


def add_usage(session: Session, changes: Sequence[AddUsage]) -> None:
    """Add to the sums; a sum that is not there yet begins with what is added."""
    rows = [
        {name: getattr(change, name) for name in _KEYS} | {name: getattr(change.amounts, name) for name in AMOUNTS}
        for change in changes
    ]
    if rows:
        # In one order, so that it is the same in which rows are locked.
        rows.sort(key=lambda row: tuple(row[name] for name in _KEYS))
        session.connection().execute(_make_upsert(session.get_bind().dialect.name), rows)


def read_usage(
    session: Session, filters: UsageFilters, now: datetime, after: Group | None, limit: int
) -> Page[UsageRow, Group]:
    """Sums by `filters.by`, in the order of the groups' names, those of running attempts up to `now` among them."""
    running = _sum_running(session, filters, now)
    found = [*_read_ended(session, filters, after, limit + 1)]
    names = {group for group, _, _ in found} | {group for group, _ in running if after is None or group > after}
    page = sorted(names)[: limit + 1]
    rows = {group: _Sum() for group in page[:limit]}
    for group, outcome, amounts in (*found, *((group, RUNNING, amounts) for (group, _), amounts in running.items())):
        if group in rows:
            rows[group].add(outcome, amounts)
    items = [_to_row(filters.by, group, entry) for group, entry in rows.items()]
    return Page(items=items, next=page[limit - 1] if len(page) > limit else None)


class _Sum:
    """What a group adds up to."""

    def __init__(self) -> None:
        self.amounts = Amounts()
        self.outcomes: dict[str, int] = {}

    def add(self, outcome: str, amounts: Amounts) -> None:
        self.amounts += amounts
        if amounts.attempts:
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + amounts.attempts


def _to_row(by: Sequence[str], group: Group, entry: _Sum) -> UsageRow:
    outcomes = dict(sorted(entry.outcomes.items()))
    return UsageRow(group=dict(zip(by, group, strict=True)), amounts=entry.amounts, outcomes=outcomes)


def _read_ended(
    session: Session, filters: UsageFilters, after: Group | None, limit: int
) -> Iterator[tuple[Group, str, Amounts]]:
    """(group, outcome, sums) of at least the first `limit` groups after `after`, as far as there are so many."""
    keys = [_ordered(session, name) for name in filters.by]
    sums = [func.sum(getattr(Usage, name)).label(name) for name in AMOUNTS]
    query = select(*keys, Usage.outcome.label("one"), *sums).where(Usage.day.between(filters.first, filters.last))
    for name in ("project", "user", "image"):
        if (wanted := getattr(filters, name)) is not None:
            query = query.where(getattr(Usage, name) == wanted)
    if after is not None and keys:
        values = [_literal(name, value) for name, value in zip(filters.by, after, strict=True)]
        query = query.where(tuple_(*keys) > tuple_(*values))
    query = query.group_by(*keys, Usage.outcome).order_by(*keys).limit(limit * _OUTCOMES)
    for row in session.execute(query):
        group = tuple(str(value) for value in row[: len(keys)])
        yield group, row.one, Amounts(**{name: _plain(name, getattr(row, name)) for name in AMOUNTS})


def _plain(name: str, value: Any) -> Any:
    """PostgreSQL sums integers to decimals."""
    return int(value) if name == "attempts" else float(value)


def _ordered(session: Session, name: str) -> Any:
    """The column, in Python's order of texts: PostgreSQL's own is that of a language."""
    column = getattr(Usage, name)
    is_postgres = session.get_bind().dialect.name == "postgresql"
    return column.collate("C") if is_postgres and name != "day" else column


def _literal(name: str, value: str) -> Any:
    return literal(date.fromisoformat(value)) if name == "day" else literal(value, String())


def _sum_running(session: Session, filters: UsageFilters, now: datetime) -> dict[tuple[Group, str], Amounts]:
    """What the attempts that have not ended hold, up to `now`."""
    sums: dict[tuple[Group, str], Amounts] = {}
    for (day, *owner, cpus_m, mem, gpus), (seconds, attempts) in _add_up_running(session, filters, now).items():
        said = dict(zip(_KEYS, (day.isoformat(), *owner, RUNNING), strict=True))
        key = (tuple(said[name] for name in filters.by), RUNNING)
        amounts = make_amounts(Resources(cpus_m=cpus_m, mem=mem, gpus=gpus), seconds, attempts)
        sums[key] = sums.get(key, Amounts()) + amounts
    return sums


def _add_up_running(session: Session, filters: UsageFilters, now: datetime) -> dict[tuple[Any, ...], tuple[float, int]]:
    """(day, project, user, image, cpus_m, mem, gpus) -> seconds, and attempts if it is the present day: tens of thousands
    of attempts are alike but for their launches.
    """
    alike: dict[tuple[Any, ...], tuple[float, int]] = {}
    today, midnight = now.date(), datetime.combine(now.date(), time(), UTC)
    for launched_at, *what in session.execute(_select_running(filters).execution_options(yield_per=_BATCH)):
        # Most were launched today: it is worth a short cut.
        days = (
            ((today, (now - launched_at).total_seconds()),) if launched_at > midnight else split_days(launched_at, now)
        )
        for day, seconds in days:
            if filters.first <= day <= filters.last:
                known_s, attempts = alike.get((day, *what), (0.0, 0))
                alike[day, *what] = (known_s + max(0.0, seconds), attempts + (day == today))
    return alike


def _select_running(filters: UsageFilters) -> Select[Any]:
    image = ImageVersion.name + ":" + ImageVersion.version
    # Of the attempts that share a slot, only one holds its resources at a time: the one whose turn it is.
    alone = Attempt.slot_id == Attempt.id
    begun_at = case((alone, Attempt.launched_at), else_=Attempt.started_at).label("begun_at")
    of: tuple[Any, ...] = (begun_at, Job.project, Job.user, image)
    query: Select[Any] = select(*of, Attempt.cpus_m, Attempt.mem, Attempt.gpus).where(text(ATTEMPT_IS_OPEN))
    query = query.where(or_(alone, Attempt.started_at.is_not(None)))
    query = query.join(Job, Job.id == Attempt.job_id).join(ImageVersion, ImageVersion.id == Job.image_version_id)
    for name in ("project", "user"):
        if (wanted := getattr(filters, name)) is not None:
            query = query.where(getattr(Job, name) == wanted)
    if filters.image is not None:
        name, _, version = filters.image.partition(":")
        query = query.where(ImageVersion.name == name, ImageVersion.version == version)
    return query


@cache
def _make_upsert(dialect: str) -> Insert:
    table = Usage.__table__
    assert isinstance(table, Table)  # noqa: S101 (for the type checker)
    made = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    added = {name: table.c[name] + made.excluded[name] for name in AMOUNTS}
    return made.on_conflict_do_update(index_elements=list(_KEYS), set_=added)

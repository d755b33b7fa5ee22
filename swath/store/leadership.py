"""One scheduler leads at a time: a row with a holder, an epoch and an expiry, the same on both databases.

The epoch fences: every transaction of the scheduler reads it under a lock (`check_epoch`), so a new leader begins only after
the last transaction of the old one, and no later one can commit. A leader that is stopped within a transaction (SIGSTOP, a cut
network) holds that lock until the server ends its session (`swath.store.database.Limits`); until then `acquire` finds the lead
held, and afterwards the stopped one's transaction is undone. With an advisory lock a leader that is stopped between two
transactions would block its successors as well, for as long as its connection lives.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import ColumnElement, Select, bindparam, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from swath.domain.errors import LeadershipLostError, StoreLockedError
from swath.store.database import Database
from swath.store.models import Leadership as Row

NAME = "scheduler"


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """What the row says."""

    holder: str | None  # None once released
    epoch: int
    expires_at: datetime  # by the holder's clock

    def is_free(self, now: datetime) -> bool:
        """True when nobody holds the lead, or nobody has renewed it in time."""
        return self.holder is None or self.expires_at <= now


class Leadership:
    """The lease of one scheduler. Times are the caller's clock; leases must be longer than clocks differ."""

    def __init__(self, database: Database, *, name: str = NAME) -> None:
        self._database = database
        self._name = name
        self._lease = timedelta()

    def find(self) -> Term | None:
        """Who leads or led last; None before anybody has. Locks nothing. Raises StoreUnavailableError."""
        with self._database.read() as session:
            row = session.get(Row, self._name)
            return None if row is None else Term(holder=row.holder, epoch=row.epoch, expires_at=row.expires_at)

    def acquire(self, holder: str, now: datetime, lease_s: float, *, instead_of: int | None = None) -> int | None:
        """The new epoch when the lease was free, expired, `holder`'s own or that of the epoch `instead_of`; None while another
        holds it.

        `holder` names one process. `instead_of` is the epoch of a leader that the caller knows to be dead; the new epoch stops
        it if it was not. Waits for a transaction that the leader has open, and gives None when that takes longer than a lock
        is waited for. Raises StoreUnavailableError.
        """
        self._lease = timedelta(seconds=lease_s)
        free = or_(Row.holder.is_(None), Row.expires_at <= now, Row.holder == holder, Row.epoch == instead_of)
        try:
            return self._take(holder, now, free)
        except StoreLockedError:
            return None

    def _take(self, holder: str, now: datetime, free: ColumnElement[bool]) -> int | None:
        with self._database.write() as session:
            _ensure_row(session, self._name, now)
            return session.scalar(
                update(Row)
                .where(Row.name == self._name, free)
                .values(holder=holder, epoch=Row.epoch + 1, expires_at=now + self._lease)
                .returning(Row.epoch)
                .execution_options(synchronize_session=False)
            )

    def renew(self, epoch: int, now: datetime) -> bool:
        """Lengthen the lease of `epoch`; False when another epoch has begun. Raises StoreUnavailableError."""
        return self._change(epoch, holds_until=now + self._lease)

    def release(self, epoch: int, now: datetime) -> bool:
        """Let the next scheduler begin at once; False when another epoch has begun already. Raises StoreUnavailableError."""
        with self._database.write() as session:
            released = update(Row).where(Row.name == self._name, Row.epoch == epoch).values(holder=None, expires_at=now)
            return (
                session.scalar(released.returning(Row.epoch).execution_options(synchronize_session=False)) is not None
            )

    def _change(self, epoch: int, *, holds_until: datetime) -> bool:
        held = (Row.name == self._name, Row.epoch == epoch, Row.holder.is_not(None))
        with self._database.write() as session:
            renewed = update(Row).where(*held).values(expires_at=holds_until)
            return session.scalar(renewed.returning(Row.epoch).execution_options(synchronize_session=False)) is not None


def check_epoch(session: Session, epoch: int, *, name: str = NAME) -> None:
    """Hold the leadership's row until the transaction ends; raises LeadershipLostError when `epoch` leads no more.

    The expiry does not matter here: while nobody else has acquired the lease, nobody else acts.
    """
    found = session.connection().execute(_find_term(), {"name": name}).one_or_none()
    if found is None or found.epoch != epoch or found.holder is None:
        leader = "nobody" if found is None or found.holder is None else f"{found.holder} with epoch {found.epoch}"
        raise LeadershipLostError(f"epoch {epoch} leads no more: {leader} does; nothing was written")


@cache
def _find_term() -> Select[int, str | None]:
    """Made once: every transaction of the scheduler begins with it. FOR SHARE conflicts with the UPDATE of `acquire`; SQLite
    has a single writer anyway.
    """
    return select(Row.epoch, Row.holder).where(Row.name == bindparam("name")).with_for_update(read=True)


def _ensure_row(session: Session, name: str, now: datetime) -> None:
    """The row of a new database; whoever is second finds it there."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    first = dialect.insert(Row).values(name=name, holder=None, epoch=0, expires_at=now)
    session.execute(first.on_conflict_do_nothing())

"""What stands in for the database, the driver and the leadership where the shell and the loop are tested."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from scheduler.lease import Lease
from scheduler.metrics import Metrics
from scheduler.shell import Shell
from scheduler.to_mesos import Items, Writer
from swath.domain.changes import Change, PutSchedulerStatus
from swath.store.leadership import Term
from swath.wire.calls import Message
from swath.wire.channel import CallResult, Outcome

SENT = CallResult(outcome=Outcome.SENT, status=202)
WRITE = PutSchedulerStatus(connected=True)


class Diary:
    """A store, a driver and a fence that write down in which order they were used."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.suppressed: tuple[str, ...] = ()
        self.epoch: int | None = 7
        self.store_error: Exception | None = None
        self.fence_error: Exception | None = None
        self.answer = SENT

    def apply(self, changes: Sequence[Change], *, epoch: int, now: datetime) -> None:
        if self.store_error is not None:
            raise self.store_error
        self.lines.append(f"commit {len(changes)} in epoch {epoch}")

    def calls(self, messages: Sequence[Message]) -> list[CallResult]:
        self.lines += [message["type"] for message in messages]
        return [self.answer] * len(messages)

    def resubscribe(self, reason: str = "") -> None:
        self.lines.append("resubscribe")

    def check(self) -> None:
        if self.fence_error is not None:
            raise self.fence_error


def a_shell(diary: Diary, read_items: Items = lambda job, indices: {}, **more: Any) -> Shell:
    writer = Writer(role="eo", framework={}, executor={}, outputs_root="/out", read_items=read_items)
    return Shell(
        store=diary,
        driver=diary,
        fence=diary,
        writer=writer,
        list_agents=lambda: diary.lines.append("list"),
        operate=lambda wish: diary.lines.append(f"operate {wish.mode}"),
        **{"metrics": Metrics(), **more},
    )


class FakeLeadership:
    """One row in memory."""

    def __init__(self) -> None:
        self.holder: str | None = None
        self.epoch = 0
        self.lease = timedelta()
        self.until = datetime.min.replace(tzinfo=UTC)

    def find(self) -> Term | None:
        return Term(holder=self.holder, epoch=self.epoch, expires_at=self.until)

    def acquire(self, holder: str, now: datetime, lease_s: float, *, instead_of: int | None = None) -> int | None:
        if self.holder not in (None, holder) and self.until > now and self.epoch != instead_of:
            return None
        self.lease = timedelta(seconds=lease_s)
        self.holder, self.epoch, self.until = holder, self.epoch + 1, now + self.lease
        return self.epoch

    def renew(self, epoch: int, now: datetime) -> bool:
        if epoch != self.epoch or self.holder is None:
            return False
        self.until = now + self.lease
        return True

    def release(self, epoch: int, now: datetime) -> bool:
        if epoch != self.epoch:
            return False
        self.holder = None
        return True


def a_lease(row: FakeLeadership, clock: list[datetime], holder: str = "here") -> Lease:
    return Lease(row, lease_s=15, clock=lambda: clock[0], holder=holder)

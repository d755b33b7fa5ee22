"""Carries out the core's effects in order: one transaction, its commit, then the calls (DESIGN.md 1: commit, then speak)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from scheduler.core import effects as fx
from scheduler.core import events as ev
from scheduler.metrics import Metrics
from scheduler.to_mesos import Writer
from swath.domain.changes import Change, CordonAgent
from swath.domain.errors import SwathError
from swath.domain.wishes import AgentWish
from swath.wire.calls import Message
from swath.wire.channel import CallResult, Outcome

log = structlog.get_logger()

_AHEAD = (fx.UpdateFramework, fx.Revive)  # calls that go out before the commit

UNREAD_REFUSE_S = 5.0  # for offers that came faster than they could be looked at: come again later
RESUBSCRIBE_S = 10.0  # at most one new subscription in so many seconds because calls fail


class Store(Protocol):
    """Where changes go."""

    def apply(self, changes: Sequence[Change], *, epoch: int, now: datetime) -> None: ...


class Driver(Protocol):
    """Where calls go."""

    suppressed: tuple[str, ...]

    def calls(self, messages: Sequence[Message]) -> list[CallResult]: ...

    def resubscribe(self, reason: str = ...) -> None: ...


class Fence(Protocol):
    """Who may act."""

    epoch: int | None

    def check(self) -> None: ...


class StoppedError(SwathError):
    """The core has given up; `stop` says why."""

    def __init__(self, stop: fx.Stop) -> None:
        self.stop = stop
        super().__init__(stop.message)


class Shell:
    """One core's hands. Whatever it raises ends that core: the next one begins from the database."""

    def __init__(
        self,
        *,
        store: Store,
        driver: Driver,
        fence: Fence,
        writer: Writer,
        list_agents: Callable[[], None],
        operate: Callable[[AgentWish], None],
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._driver = driver
        self._fence = fence
        self._writer = writer
        self._list_agents = list_agents
        self._operate = operate
        self._heard: list[ev.Event] = []  # what the core has to hear of the calls of this turn
        self._metrics = metrics
        self._clock = clock
        self._resubscribed_at = clock() - RESUBSCRIBE_S
        self._owed = ""  # why the subscription has to begin anew, as soon as RESUBSCRIBE_S allows

    def perform(self, effects: fx.Effects, now: datetime) -> list[ev.Event]:
        """Commit the changes, make the calls, and return what the core has to hear at once.

        Raises StoreUnavailableError or LeadershipLostError before any call that tells of what is not committed, StoppedError
        after all calls.
        """
        # In Mesos' words first: what cannot be said, and what the database does not give, is known before the commit.
        messages = self._writer.write_all(effects.calls)
        self._fence.check()
        # A REVIVE says nothing of what is being written: the offers come while the transaction runs.
        self._send([(call, message) for call, message in messages if isinstance(call, _AHEAD)])
        self._commit(effects.changes, now)
        self._fence.check()
        self._send([(call, message) for call, message in messages if not isinstance(call, _AHEAD)])
        self._resubscribe_if_owed()
        for note in effects.notes:
            getattr(log, note.level)(note.event, **note.data)
        self._do_the_rest(effects.calls)
        heard, self._heard = self._heard, []
        return [*self._writer.take_refused(), *heard]

    def decline(self, offer_ids: tuple[str, ...]) -> None:
        """Give back offers that the core has never seen; nothing has to be committed for that."""
        self._fence.check()
        call = fx.Decline(offer_ids=offer_ids, refuse_s=UNREAD_REFUSE_S)
        self._send(self._writer.write_all([call]))
        self._metrics.unread_offers.inc(len(offer_ids))
        log.warning("offers_declined_unread", offers=len(offer_ids))

    def _commit(self, changes: Sequence[Change], now: datetime) -> None:
        if not changes:
            return
        begun = time.perf_counter()
        self._store.apply(changes, epoch=self._fence.epoch or 0, now=now)
        self._metrics.commit_s.observe(time.perf_counter() - begun)
        self._metrics.cordons.inc(sum(isinstance(change, CordonAgent) for change in changes))

    def _send(self, messages: list[tuple[fx.Call, Message]]) -> None:
        for call, _ in messages:
            if isinstance(call, fx.Suppress | fx.Revive):
                self._driver.suppressed = (self._writer.role,) if isinstance(call, fx.Suppress) else ()
        if not messages:
            return
        results = self._driver.calls([message for _, message in messages])
        answered = [(call, result) for (call, _), result in zip(messages, results, strict=True)]
        refused = {launch.attempt_id for launch in self._writer.refused}
        self._metrics.count_calls((call for call, result in answered if result.is_sent), refused)
        for call, result in answered:
            if not result.is_sent:
                self._on_failed(call, result)
            elif isinstance(call, fx.Teardown):
                self._heard.append(ev.TornDown())

    def _on_failed(self, call: fx.Call, result: CallResult) -> None:
        """Updates are sent again, kills and reconciliations repeated, launches asked for. What the master thinks of our
        offers would stay wrong: a new subscription begins with none.
        """
        self._metrics.failed_calls.inc()
        log.warning(
            "call_failed",
            call=type(call).__name__,
            outcome=result.outcome,
            status=result.status,
            reason=result.message,
            **_describe(call),
        )
        if isinstance(call, fx.UpdateFramework) and result.status == 400:
            self._heard.append(ev.FiltersRefused())
        concerns_offers = isinstance(call, fx.Accept | fx.Decline | fx.Revive | fx.Suppress | fx.UpdateFramework)
        if concerns_offers and result.outcome is Outcome.FAILED:
            self._owed = f"{type(call).__name__} failed"

    def owe_subscription(self, reason: str) -> None:
        """Have the subscription begin anew: with this turn, or as soon as the limit allows."""
        self._owed = reason

    def _resubscribe_if_owed(self) -> None:
        """Now, or in a later turn: heartbeats and POLL_S see to it that there is one."""
        if self._owed and self._clock() - self._resubscribed_at >= RESUBSCRIBE_S:
            reason, self._owed, self._resubscribed_at = self._owed, "", self._clock()
            self._driver.resubscribe(reason)

    def _do_the_rest(self, calls: Sequence[fx.Call]) -> None:
        for call in calls:
            if isinstance(call, fx.ListAgents):
                self._list_agents()
            if isinstance(call, fx.Operate):
                self._operate(call.wish)
            if isinstance(call, fx.Stop):
                raise StoppedError(call)


def _describe(call: fx.Call) -> dict[str, object]:
    """Whom a call concerns, for the log."""
    match call:
        case fx.Accept():
            return {"agent": call.agent_id, "attempts": [launch.attempt.id for launch in call.launches]}
        case fx.Message() | fx.SendSecrets():
            return {"agent": call.agent_id}
        case fx.HandOver():
            return {"agent": call.agent_id, "slot": call.slot_id, "attempts": len(call.launches)}
        case fx.Kill() | fx.Acknowledge():
            return {"agent": call.agent_id, "attempt": call.task_id}
        case fx.Reconcile():
            return {"attempts": len(call.tasks)}
        case _:
            return {}

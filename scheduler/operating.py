"""Has Mesos' operator API do what operators want of agents, on a thread of its own: a slow master holds nobody up."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import structlog

from scheduler.core.events import Operated
from scheduler.listing import Operator
from swath.domain.wishes import AgentMode, AgentWish
from swath.wire import operator_calls as wire
from swath.wire.calls import Message
from swath.wire.channel import CallResult

log = structlog.get_logger()

_NOT_NOW = frozenset({408, 429})  # refusals that may pass
NOT_LEADING = "this scheduler does not lead (any more)"
_ALREADY = "Agent is not deactivated"  # of a REACTIVATE_AGENT: it is as it should be (transcript 09d)


class AgentOperator:
    """Carries out wishes one after the other; each gets one answer by `on_operated`, on this thread."""

    def __init__(
        self, operator: Operator, on_operated: Callable[[Operated], None], may_act: Callable[[], bool] = lambda: True
    ) -> None:
        """`may_act` is asked just before each call: the operator API knows no stream id that would refuse a former leader."""
        self._operator = operator
        self._may_act = may_act
        self._on_operated = on_operated
        self._wishes: queue.SimpleQueue[AgentWish | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="swath operator calls", daemon=True)

    def start(self) -> None:
        """Begin to serve wishes."""
        self._thread.start()

    def operate(self, wish: AgentWish) -> None:
        """Have it done; never blocks."""
        self._wishes.put(wish)

    def stop(self) -> None:
        """End the thread once its call, if any, has been answered."""
        self._wishes.put(None)

    def _run(self) -> None:
        while (wish := self._wishes.get()) is not None:
            try:
                if not self._may_act():
                    self._on_operated(Operated(agent_id=wish.agent_id, rev=wish.rev, problem=NOT_LEADING))
                    continue
                result, _ = self._operator.query(to_call(wish))
                self._on_operated(to_answer(wish, result))
            except Exception as error:  # the next wish may be granted: without this thread none would
                log.error("operator_call_failed", agent=wish.agent_id, exc_info=error)
                self._on_operated(Operated(agent_id=wish.agent_id, rev=wish.rev, problem=str(error)))


def to_call(wish: AgentWish) -> Message:
    """The operator call for a wish."""
    if wish.mode is AgentMode.DRAINED:
        return wire.make_drain_agent(wish.agent_id, max_grace_s=wish.max_grace_s, mark_gone=wish.mark_gone)
    if wish.mode is AgentMode.CORDONED:
        return wire.make_deactivate_agent(wish.agent_id)
    return wire.make_reactivate_agent(wish.agent_id)


def to_answer(wish: AgentWish, result: CallResult) -> Operated:
    """What the core is told of Mesos' answer."""
    done = result.is_sent or (wish.mode is AgentMode.ACTIVE and _ALREADY in result.message)
    refused = result.status is not None and 400 <= result.status < 500 and result.status not in _NOT_NOW
    said = result.message if result.status is None else f"Mesos answered {result.status}: {result.message}"
    return Operated(agent_id=wish.agent_id, rev=wish.rev, problem=None if done else said, refused=refused)

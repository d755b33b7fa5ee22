"""Asks the leading master for its agents, on a thread of its own: a slow master holds nobody up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import structlog

from scheduler.core.events import AgentsListed
from scheduler.core.from_mesos import to_agents
from swath.domain.errors import WireError
from swath.wire.calls import Message
from swath.wire.channel import CallResult

log = structlog.get_logger()


class Operator(Protocol):
    """The operator API of the master that we are subscribed to."""

    def query(self, message: Message) -> tuple[CallResult, Message]: ...


class AgentLister:
    """Answers each request with at most one list; requests that come while one is under way are one request."""

    def __init__(
        self,
        operator: Operator,
        on_listed: Callable[[AgentsListed], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._operator = operator
        self._on_listed = on_listed
        self._clock = clock
        self._wanted = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="swath agent list", daemon=True)

    def start(self) -> None:
        """Begin to serve requests."""
        self._thread.start()

    def request(self) -> None:
        """Ask for a list; it arrives by `on_listed`, on the lister's thread."""
        self._wanted.set()

    def stop(self) -> None:
        """End the thread once its query, if any, has been answered."""
        self._stopped = True
        self._wanted.set()

    def _run(self) -> None:
        while self._wanted.wait() and not self._stopped:
            self._wanted.clear()
            self._list()

    def _list(self) -> None:
        try:
            asked_at = self._clock()
            result, answer = self._operator.query({"type": "GET_AGENTS"})
            if result.is_sent:
                self._on_listed(to_agents(answer, asked_at))
            else:
                log.warning("agents_not_listed", status=result.status, reason=result.message)
        except WireError as error:
            log.warning("agents_not_listed", reason=str(error))
        except Exception as error:  # the next list may be had: without this thread there would be none
            log.error("agents_not_listed", exc_info=error)

"""A framework that remembers nothing: it launches, acknowledges and counts, and so shows what the master and the wire allow."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterable
from contextlib import suppress

from swath.domain.resources import Resources
from swath.wire import calls as wire
from swath.wire.calls import Message
from swath.wire.resources import to_resources
from swath.wire.scheduler import SchedulerDriver

ROLE = "bare"
SPEC = b"x" * 1500  # about as long as what an executor is told of an attempt
EXECUTOR_RESOURCES = Resources(cpus_m=100, mem=128)
EXECUTOR = wire.make_executor_info(
    "bare", command="false", environment={}, resources=EXECUTOR_RESOURCES, role=ROLE, name="bare"
)
REVIVE_S = 0.2


class BareFramework:
    """Runs `tasks` tasks of `resources` as fast as offers come."""

    def __init__(self, master: int, tasks: int, resources: Resources) -> None:
        self._events: queue.SimpleQueue[Message] = queue.SimpleQueue()
        info = wire.make_framework_info(user="nobody", name="bare", role=ROLE, failover_timeout_s=0)
        self._driver = SchedulerDriver(on_event=self._events.put, framework_info=info, masters=f"127.0.0.1:{master}")
        self._tasks = tasks
        self._resources = resources
        self._launched = 0
        self._revive_at = 0.0

    def run(self, budget_s: float) -> float:
        """Launches a second, from the first to the last, or to the end of the time; the framework is gone afterwards."""
        self._driver.start()
        begun, deadline = 0.0, time.perf_counter() + budget_s
        while self._launched < self._tasks and time.perf_counter() < deadline:
            events = self._take()
            begun = begun or (time.perf_counter() if any(event["type"] == "OFFERS" for event in events) else 0.0)
            self._driver.calls([call for event in events for call in self._answer(event)] + self._ask())
        seconds = time.perf_counter() - begun
        self._driver.stop()  # without a failover time-out the framework goes with its connection
        self._driver.join(5)
        if not begun:
            raise TimeoutError(f"an offer for the bare framework: not within {budget_s:g} s")
        return self._launched / seconds

    def _take(self) -> list[Message]:
        events: list[Message] = []
        with suppress(queue.Empty):
            events.append(self._events.get(timeout=REVIVE_S))
            while True:
                events.append(self._events.get_nowait())
        return events

    def _answer(self, event: Message) -> Iterable[Message]:
        if event["type"] == "OFFERS":
            return [self._accept(offer) for offer in event["offers"]["offers"]]
        status = event["update"]["status"] if event["type"] == "UPDATE" else {}
        if status.get("uuid"):
            return [wire.make_acknowledge(status["agent_id"]["value"], status["task_id"]["value"], status["uuid"])]
        return []

    def _accept(self, offer: Message) -> Message:
        free = to_resources(offer["resources"])
        room = self._resources.count_in(free if offer.get("executor_ids") else free - EXECUTOR_RESOURCES)
        first, self._launched = self._launched, min(self._tasks, self._launched + room)
        tasks = [
            wire.make_task_info(
                f"bare-{number}",
                name="bare",
                agent_id=offer["agent_id"]["value"],
                resources=self._resources,
                role=ROLE,
                executor=EXECUTOR,
                data=SPEC,
            )
            for number in range(first, self._launched)
        ]
        ids = [offer["id"]["value"]]
        return wire.make_accept(ids, tasks, 600) if tasks else wire.make_decline(ids, 600)

    def _ask(self) -> list[Message]:
        """Freed resources at once, as often as Swath may ask."""
        if time.monotonic() < self._revive_at:
            return []
        self._revive_at = time.monotonic() + REVIVE_S
        return [wire.make_revive()]

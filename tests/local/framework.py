"""A little framework on the real driver: acknowledges, and asks for its tasks after each subscription."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from swath.wire import calls
from swath.wire.channel import CallResult
from swath.wire.scheduler import SchedulerDriver

from .scheduler_client import FRAMEWORK, make_executor, make_task

Json = dict[str, Any]
WITHIN_S = 20.0


class Framework:
    """The reader's thread keeps events; the test's thread handles them, whenever it waits for something."""

    def __init__(self, port: int) -> None:
        self.events: list[Json] = []
        self._handled = 0
        self._changed = threading.Condition()
        self.tasks: dict[str, str] = {}  # id -> agent's id
        self._unheard: set[str] = set()  # tasks that nothing is known of since the last SUBSCRIBED
        self._void: set[str] = set()  # offers that are used or rescinded
        self.driver = SchedulerDriver(
            on_event=self._keep,
            framework_info=FRAMEWORK,
            masters=f"127.0.0.1:{port}",
            first_backoff_s=0.02,
            timeout_s=2.0,
        )
        self.driver.start()

    def _keep(self, event: Json) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait_for(self, matches: Callable[[Json], bool], *, after: int = 0) -> Json:
        """The first event from index `after` on that matches; all until then are handled as they come."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            for index in range(after, self._handle_new()):
                if matches(self.events[index]):
                    return self.events[index]
            left_s = deadline - time.monotonic()
            assert left_s > 0, f"waited in vain; events: {list(map(summarise, self.events))}"
            with self._changed:
                self._changed.wait_for(lambda: len(self.events) > self._handled, left_s)

    def _handle_new(self) -> int:
        """Handle what has come; returns how many events there are."""
        while self._handled < len(self.events):
            event = self.events[self._handled]
            self._handled += 1
            if event["type"] == "UPDATE":
                self._unheard.discard(event["update"]["status"]["task_id"]["value"])
                self._acknowledge(event["update"]["status"])
            elif event["type"] == "RESCIND":
                self._void.add(event["rescind"]["offer_id"]["value"])
            elif event["type"] == "SUBSCRIBED":
                self._unheard = set(self.tasks)
            elif (
                event["type"] == "HEARTBEAT" and self._unheard
            ):  # while agents recover there is silence: ask again (M26)
                self.driver.call(calls.make_reconcile([(task, self.tasks[task]) for task in self._unheard]))
        return self._handled

    def _acknowledge(self, status: Json) -> None:
        if "uuid" in status:
            ids = status["agent_id"]["value"], status["task_id"]["value"]
            self.driver.call(calls.make_acknowledge(*ids, status["uuid"]))

    def wait_for_kind(self, kind: str, *, after: int = 0) -> Json:
        return self.wait_for(lambda event: event["type"] == kind, after=after)

    def wait_for_status(self, task_id: str, *states: str, after: int = 0) -> Json:
        def matches(event: Json) -> bool:
            status = event.get("update", {}).get("status", {})
            return status.get("task_id", {}).get("value") == task_id and status.get("state") in states

        return self.wait_for(matches, after=after)["update"]["status"]

    def wait_for_another_subscription(self) -> str:
        """Returns why the one before was lost."""
        first = self.wait_for_kind("SUBSCRIBED")
        lost = self.wait_for_kind("DISCONNECTED", after=self.events.index(first))
        again = self.wait_for_kind("SUBSCRIBED", after=self.events.index(lost))
        assert again["subscribed"]["framework_id"] == first["subscribed"]["framework_id"]
        return str(lost["reason"])

    def launch(self, task_id: str, **plan: Any) -> None:
        """On an offer that is neither used nor rescinded."""
        since = self.last("SUBSCRIBED")
        event = self.wait_for(lambda event: event["type"] == "OFFERS" and bool(self._good_offers(event)), after=since)
        offer = self._good_offers(event)[0]
        self._void.add(offer["id"]["value"])
        agent_id = offer["agent_id"]["value"]
        self.tasks[task_id] = agent_id
        task = make_task(task_id, agent_id, make_executor(), **plan)
        assert self.driver.call(calls.make_accept([offer["id"]["value"]], [task], 0.0)).is_sent

    def _good_offers(self, event: Json) -> list[Json]:
        return [offer for offer in event["offers"]["offers"] if offer["id"]["value"] not in self._void]

    def kill(self, task_id: str) -> CallResult:
        return self.driver.call(calls.make_kill(task_id, self.tasks[task_id]))

    def last(self, kind: str) -> int:
        """The index of the last event of a type."""
        self.wait_for_kind(kind)
        return max(index for index, event in enumerate(self.events) if event["type"] == kind)

    def events_pass(self, count: int = 3) -> None:
        """Wait until so many more have come, heartbeats for the most part, and handle them."""
        wanted = len(self.events) + count
        self.wait_for(lambda event: len(self.events) >= wanted)

    def states_of(self, task_id: str) -> list[str]:
        statuses = [event["update"]["status"] for event in self.events if event["type"] == "UPDATE"]
        return [status["state"] for status in statuses if status["task_id"]["value"] == task_id]

    def close(self) -> None:
        self.driver.stop()
        self.driver.join(5)


def summarise(event: Json) -> str:
    status = event.get("update", {}).get("status")
    return event["type"] if status is None else f"{status['task_id']['value']}:{status['state']}"

"""Scheduler's drivers against stand-ins, and what they tell of themselves."""

from __future__ import annotations

from typing import Any

from swath.wire.calls import make_framework_info, make_kill
from swath.wire.scheduler import SchedulerDriver
from tests.wire.standin import Recorder, StandIn

INFO = make_framework_info(user="eo", name="swath", role="swath")
KILL = make_kill("t1", "a1")


class Watcher:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, float]] = []
        self.subscriptions = 0
        self.losses = Recorder()

    def on_call(self, kind: str, outcome: str, seconds: float) -> None:
        self.calls.append((kind, outcome, seconds))

    def on_subscribed(self) -> None:
        self.subscriptions += 1

    def on_lost(self, reason: str) -> None:
        self.losses(reason)


class Drivers:
    """Starts drivers, and ends them with the test."""

    def __init__(self) -> None:
        self.opened: list[tuple[StandIn | None, SchedulerDriver]] = []

    def start(
        self, standin: StandIn | None = None, *, masters: str = "", **options: Any
    ) -> tuple[SchedulerDriver, Recorder, Watcher]:
        """A driver of that stand-in, or of `masters`; the stand-in is ended as well."""
        recorder, watcher = Recorder(), Watcher()
        given = {"on_event": recorder, "observer": watcher, "framework_info": INFO, "first_backoff_s": 0.002, **options}
        driver = SchedulerDriver(masters=masters or (standin.address if standin else ""), **given)
        self.opened.append((standin, driver))
        driver.start()
        return driver, recorder, watcher

    def close(self) -> None:
        for standin, driver in self.opened:
            driver.stop()
            if standin is not None:
                standin.close()
            driver.join(5)
            assert not driver._subscriber.is_alive, "the reader did not end"

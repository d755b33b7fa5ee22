"""Counters of what the scheduler does, for Prometheus."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Collection, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from scheduler.core import effects as fx
from scheduler.core import events as ev

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class Metrics:
    """One set a process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def count(name: str, text: str) -> Counter:
            return Counter(f"swath_scheduler_{name}", text, registry=self.registry)

        def measure(name: str, text: str) -> Histogram:
            return Histogram(f"swath_scheduler_{name}", text, registry=self.registry, buckets=_SECONDS)

        self.offers = count("offers", "Offers received")
        self.declines = count("declines", "Offers declined")
        self.launches = count("launches", "Attempts sent to Mesos")
        self.updates = count("updates", "Status updates received")
        self.acks = count("acknowledgements", "Status updates acknowledged")
        self.reconnects = count("subscriptions", "Subscriptions that the master took")
        self.revives = count("revives", "REVIVE calls")
        self.failed_calls = count("failed_calls", "Calls that Mesos did not take")
        self.restarts = count("core_restarts", "Times that the core was loaded from the database")
        self.commit_s = measure("commit_seconds", "Time of one transaction")
        self.turn_s = measure("turn_seconds", "Time of one turn, its transaction and calls included")
        self.outstanding = Gauge(
            "swath_scheduler_reconciliation_outstanding",
            "Answers that the explicit reconciliation under way still waits for",
            registry=self.registry,
        )
        self.leading = Gauge("swath_scheduler_leading", "1 while this instance leads", registry=self.registry)

    def count_events(self, events: Iterable[ev.Event]) -> None:
        """Count what came."""
        for event in events:
            match event:
                case ev.Update():
                    self.updates.inc()
                case ev.Offered():
                    self.offers.inc(len(event.offers))
                case ev.Subscribed():
                    self.reconnects.inc()

    def count_calls(self, calls: Iterable[fx.Call], refused: Collection[str] = ()) -> None:
        """Count what was sent; `refused` are attempts that an Accept left out."""
        tally: Tally[type] = Tally()
        for call in calls:
            tally[type(call)] += 1
            match call:
                case fx.Accept():
                    self.launches.inc(sum(launch.attempt.id not in refused for launch in call.launches))
                case fx.Decline():
                    self.declines.inc(len(call.offer_ids))
        self.acks.inc(tally[fx.Acknowledge])
        self.revives.inc(tally[fx.Revive])

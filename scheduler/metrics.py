"""Counters of what the scheduler does, for Prometheus."""

from __future__ import annotations

import math
from collections import Counter as Tally
from collections.abc import Callable, Collection, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from scheduler.core import effects as fx
from scheduler.core import events as ev
from scheduler.pending import Pending
from scheduler.readiness import Line, Readiness
from swath.wire.channel import Outcome

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class Metrics:
    """One set a process, in a registry of its own. It observes the driver: what is on the wire is counted there."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def count(name: str, text: str, labels: Collection[str] = ()) -> Counter:
            return Counter(f"swath_scheduler_{name}", text, labels, registry=self.registry)

        def show(name: str, text: str, read: Callable[[], float] | None = None) -> Gauge:
            gauge = Gauge(f"swath_scheduler_{name}", text, registry=self.registry)
            if read is not None:
                gauge.set_function(read)
            return gauge

        def measure(name: str, text: str, labels: Collection[str] = ()) -> Histogram:
            return Histogram(f"swath_scheduler_{name}", text, labels, registry=self.registry, buckets=_SECONDS)

        self.offers = count("offers", "Offers received")
        self.declines = count("declines", "Offers declined")
        self.launches = count("launches", "Attempts sent to Mesos")
        self.updates = count("updates", "Status updates received")
        self.acks = count("acknowledgements", "Status updates acknowledged")
        self.unread_offers = count(
            "offers_unread", "Offers declined unread, for they came faster than they could be handled"
        )
        self.kills = count("kills", "KILL calls, repeated ones included")
        self.cordons = count("agents_cordoned", "Agents that were cordoned because everything kept failing there")
        self.revives = count("revives", "REVIVE calls")
        self.suppresses = count("suppresses", "SUPPRESS calls")
        self.reconciliations = count("reconciliations", "RECONCILE calls, of tasks by name or of all", ["kind"])
        for kind in ("explicit", "implicit"):
            self.reconciliations.labels(kind)
        self.subscriptions = count("subscriptions", "Subscriptions that the master took")
        self.reconnects = count("reconnects", "Subscriptions of this process beyond its first")
        self.losses = count("losses", "Subscriptions that ended, and attempts at one that failed")
        self.calls = count("calls", "Calls by what became of them", ["call", "outcome"])
        self.failed_calls = count("failed_calls", "Calls that Mesos did not take")
        self.restarts = count("core_restarts", "Times that the core was loaded from the database")
        self.commit_s = measure("commit_seconds", "Time of one transaction")
        self.turn_s = measure("turn_seconds", "Time of one turn, its transaction and calls included")
        self.outstanding = show(
            "reconciliation_outstanding", "Answers that the explicit reconciliation under way still waits for"
        )
        self.call_s = measure("call_seconds", "Time from a call's request to its answer or failure", ["call"])
        self.leading = show("leading", "1 while this instance leads")
        self.ready = show("ready", "1 when /readyz answers 200", lambda: float(self.readiness.check()[0]))
        self.pending = Pending()
        show("oldest_unacknowledged_update_seconds", "Age of the oldest update not acknowledged", self.pending.oldest_s)
        show("heartbeat_age_seconds", "Since the master's last byte; NaN while not subscribed", self._read_silence)
        self.readiness = Readiness()
        self._line: Line | None = None
        self._was_subscribed = False

    def on_leading(self, line: Line, outside: str | None) -> None:
        """A core has been loaded and leads, by that connection; `outside` says why it will have none."""
        self.restarts.inc()
        self.leading.set(1)
        self._line = line
        if outside is None:
            self.readiness.on_leading(line)
        else:
            self.readiness.on_failed(f"leading, outside of Mesos: {outside}")

    def on_led(self) -> None:
        """That core leads no longer."""
        self.leading.set(0)
        self._line = None
        self.pending.clear()
        self.readiness.on_failed("not leading any more")

    def _read_silence(self) -> float:
        silence_s = None if self._line is None else self._line.last_heard_s
        return math.nan if silence_s is None else silence_s

    # As the driver's observer, on any thread

    def on_call(self, kind: str, outcome: Outcome, seconds: float) -> None:
        """A call has come to its outcome; how long it took says nothing where it was not sent."""
        self.calls.labels(kind, outcome).inc()
        if outcome is not Outcome.NOT_CONNECTED:
            self.call_s.labels(kind).observe(seconds)

    def on_subscribed(self) -> None:
        """The master has taken a subscription."""
        self.subscriptions.inc()
        self.reconnects.inc(int(self._was_subscribed))
        self._was_subscribed = True

    def on_lost(self, reason: str) -> None:
        """There is no subscription (any more)."""
        self.losses.inc()
        self.readiness.on_lost(reason)

    # What the loop does

    def count_events(self, events: Iterable[ev.Event]) -> None:
        """Count what came."""
        for event in events:
            match event:
                case ev.Update():
                    self.updates.inc()
                case ev.Offered():
                    self.offers.inc(len(event.offers))

    def count_calls(self, calls: Iterable[fx.Call], refused: Collection[str] = ()) -> None:
        """Count what was sent; `refused` are attempts that an Accept left out."""
        tally: Tally[type] = Tally()
        for call in calls:
            tally[type(call)] += 1
            match call:
                case fx.Accept():
                    self.launches.inc(sum(launch.attempt.id not in refused for launch in call.launches))
                case fx.HandOver() if not call.again:
                    self.launches.inc(sum(launch.attempt.id not in refused for launch in call.launches))
                case fx.Decline():
                    self.declines.inc(len(call.offer_ids))
                case fx.Acknowledge():
                    self.pending.on_acknowledged(call.uuid)
                case fx.Reconcile():
                    self.reconciliations.labels("explicit" if call.tasks else "implicit").inc()
        self.acks.inc(tally[fx.Acknowledge])
        self.kills.inc(tally[fx.Kill])
        self.revives.inc(tally[fx.Revive])
        self.suppresses.inc(tally[fx.Suppress])

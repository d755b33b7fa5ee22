"""What a driver tells about itself: for counters, histograms and readiness."""

from __future__ import annotations

from typing import Protocol

from swath.wire.channel import Outcome


class Observer(Protocol):
    """Told on whichever thread it happens: quick, and safe in any thread. What it raises is logged."""

    def on_call(self, kind: str, outcome: Outcome, seconds: float) -> None:
        """A call of that type ("ACCEPT") has come to its outcome, after so many seconds (0 where nothing was sent)."""

    def on_subscribed(self) -> None:
        """The master has taken a subscription."""

    def on_lost(self, reason: str) -> None:
        """A subscription has ended, or an attempt at one has failed."""


class Unobserved:
    """Nobody looks."""

    def on_call(self, kind: str, outcome: Outcome, seconds: float) -> None:
        """Nothing."""

    def on_subscribed(self) -> None:
        """Nothing."""

    def on_lost(self, reason: str) -> None:
        """Nothing."""

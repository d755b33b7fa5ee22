"""The wires between the parts: latency, order, cuts; and the mishaps that befall single messages."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.simulation.timeline import MICRO, Planned, Timeline

LATENCY_S = (0.0002, 0.004)


class Mishaps:
    """What may happen to a message now: a name, how likely, and until when. Faults open such windows."""

    def __init__(self, timeline: Timeline, random: Random) -> None:
        self._timeline = timeline
        self._random = random
        self._windows: dict[str, tuple[int, float]] = {}

    def open(self, name: str, seconds: float, probability: float) -> None:
        """From now on for `seconds`."""
        self._windows[name] = (self._timeline.now_us + int(seconds * MICRO), probability)

    def strikes(self, name: str) -> bool:
        """True when it happens to the message at hand."""
        window = self._windows.get(name)
        if window is None:
            return False
        if window[0] <= self._timeline.now_us:
            del self._windows[name]
            return False
        return self._random.random() < window[1]

    def is_any_open(self, beginnings: tuple[str, ...]) -> bool:
        """True while a mishap may happen whose name begins so."""
        now_us = self._timeline.now_us
        return any(name.startswith(beginnings) and until_us > now_us for name, (until_us, _) in self._windows.items())

    def end_all(self) -> None:
        """No more of it."""
        self._windows.clear()


class Wire:
    """One direction of a connection: what arrives arrives in order, unless it is told to be late."""

    def __init__(self, timeline: Timeline, random: Random, latency_s: tuple[float, float] = LATENCY_S) -> None:
        self._timeline = timeline
        self._random = random
        self._latency_s = latency_s
        self._last_us = 0
        self._generation = 0
        self.silent = False  # half-open: nobody notices, and nothing arrives

    def carry(self, label: str, deliver: Callable[[], None], *, late_s: float = 0.0) -> Planned | None:
        """Have it delivered. With `late_s` others may overtake it."""
        if self.silent:
            return None
        delay_us = int((self._random.uniform(*self._latency_s) + late_s) * MICRO)
        when_us = max(self._timeline.now_us + delay_us, self._last_us)
        if not late_s:
            self._last_us = when_us
        generation = self._generation

        def arrive() -> None:
            if generation == self._generation and not self.silent:
                deliver()

        return self._timeline.at_us(when_us, label, arrive)

    def cut(self) -> None:
        """What is under way is lost; what is sent from now on goes over another connection."""
        self._generation += 1
        self._last_us = 0

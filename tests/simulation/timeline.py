"""Virtual time: what is to happen when. Nothing here looks at a real clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
START_UNIX = START.timestamp()
MICRO = 1_000_000


class Planned:
    """Something that will happen, unless it is cancelled before."""

    __slots__ = ("act", "label")

    def __init__(self, label: str, act: Callable[[], None]) -> None:
        self.label = label
        self.act: Callable[[], None] | None = act

    def cancel(self) -> None:
        """It will not happen."""
        self.act = None


class Timeline:
    """Time in whole microseconds, so that no sum depends on rounding; equal times go by the order of planning."""

    def __init__(self) -> None:
        self.now_us = 0
        self._heap: list[tuple[int, int, Planned]] = []
        self._count = 0
        self._until_us = 0
        self._moments: dict[int, tuple[int, datetime]] = {}  # by offset: many ask at one and the same time

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self.now_us / MICRO

    @property
    def unix(self) -> float:
        """Seconds since 1970, as Mesos counts."""
        return START_UNIX + self.now_us / MICRO

    def moment(self, offset_us: int = 0) -> datetime:
        """The time as a clock shows it that is `offset_us` fast."""
        now_us, moment = self._moments.get(offset_us, (-1, START))
        if now_us != self.now_us:
            moment = START + timedelta(microseconds=self.now_us + offset_us)
            self._moments[offset_us] = (self.now_us, moment)
        return moment

    def after(self, seconds: float, label: str, act: Callable[[], None]) -> Planned:
        """Plan `act`; a part of a microsecond counts as a whole one."""
        return self.at_us(self.now_us + max(0, -int(-seconds * MICRO // 1)), label, act)

    def at_us(self, when_us: int, label: str, act: Callable[[], None]) -> Planned:
        """Plan `act` for `when_us`, or for now where that has passed."""
        planned = Planned(label, act)
        self._count += 1
        heapq.heappush(self._heap, (max(when_us, self.now_us), self._count, planned))
        return planned

    def skip(self, seconds: float) -> bool:
        """Let time pass at once where nothing is to happen meanwhile, and False where something is: who waits must wait."""
        when_us = self.now_us + max(0, -int(-seconds * MICRO // 1))
        while self._heap and self._heap[0][2].act is None:
            heapq.heappop(self._heap)
        if when_us > self._until_us or (self._heap and self._heap[0][0] <= when_us):
            return False
        self.now_us = when_us
        return True

    def step(self, until_us: int) -> Planned | None:
        """Let the next thing happen that is due by `until_us`; None when there is none, and it is `until_us` then."""
        self._until_us = until_us
        while self._heap and self._heap[0][0] <= until_us:
            when_us, _, planned = heapq.heappop(self._heap)
            if (act := planned.act) is None:
                continue
            self.now_us = when_us
            planned.act = None
            act()
            return planned
        self.now_us = max(self.now_us, until_us)
        return None

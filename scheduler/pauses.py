"""When a process tries to lead again after a core has ended, and what it remembers of that end. Pure; durations in seconds."""

from __future__ import annotations

from scheduler.core.effects import Stop, StopKind
from swath.domain.backoff import back_off_s

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
GOOD_LIFE_S = 10.0  # of a core: whatever ends it after that is a new failure, not the same one again
LONGEST_CUT_OFF_S = 900.0
STANDBY_S = 0.5  # between two looks at the lead: what a take-over takes after a release, or a death on the same host


class Pauses:
    """Told of each end of a core, with how long it had lived; each answers how long to wait."""

    def __init__(self, cut_off_s: float) -> None:
        """`cut_off_s`: without a subscription, before another scheduler gets its chance."""
        self.removed: str | None = None  # the framework id that the master has said to be gone
        self.cut_off_s = cut_off_s
        self._first_cut_off_s = cut_off_s
        self._failures = 0
        self._epoch: int | None = None  # in which this process led last

    def on_leading(self, epoch: int | None) -> None:
        """Whoever has led in between has asked the master anew: what this process heard of its framework may be over."""
        if self._epoch is None or epoch != self._epoch + 1:
            self.removed = None
        self._epoch = epoch

    def on_stopped(self, stop: Stop, lived_s: float) -> float:
        """REMOVED: this process goes on outside of Mesos, until an operator decides. ANEW: one has decided. FAILED OVER:
        somebody else subscribed; who of us leads is for the database to say, by the next `acquire`, and not at once, for
        it must not become a fight (M5).
        """
        self.removed = stop.framework_id
        return self.on_failed(lived_s) if stop.kind is StopKind.STEP_DOWN else 0.0

    def on_cut_off(self, lived_s: float) -> float:
        """Let go of the lead for as long as a standby needs to take it; less often each time that nobody finds a master."""
        known = lived_s > 2 * self.cut_off_s  # it had been subscribed
        self.cut_off_s = self._first_cut_off_s if known else min(2 * self.cut_off_s, LONGEST_CUT_OFF_S)
        return 4 * STANDBY_S

    def on_failed(self, lived_s: float) -> float:
        """Longer each time unless the core had lived well."""
        self._failures = 1 if lived_s > GOOD_LIFE_S else self._failures + 1
        return back_off_s(FIRST_BACKOFF_S, self._failures - 1, longest_s=LONGEST_BACKOFF_S)

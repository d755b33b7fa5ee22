"""When the agent's engine is sick: what is refused meanwhile, and what the scheduler is told. Pure.

While it is sick no launch is taken that needs it, and the scheduler sends none: it is told so again and again, for a MESSAGE
may be lost without a word, and forgets it by itself when nobody says it any more. What runs is not touched.
"""

from __future__ import annotations

from executor.events import Effect, EngineSeen, Moment, Probe, Tell
from swath.domain.images import MOST_WORDS, EngineReport

PROBE_S = 10.0  # between two looks at the engine
SILENT_S = 20.0  # a look that takes longer has found it sick
TELL_S = 30.0  # between two words to the scheduler while it is sick

_NEVER = float("inf")


class Sickness:
    """What is known of the engine."""

    def __init__(self) -> None:
        self._probe_at_s = _NEVER  # before the first subscription nobody listens
        self._probed_at_s: float | None = None  # since when an answer is waited for
        self._tell_at_s = _NEVER
        self._silent = False
        self.problem: str | None = None

    @property
    def next_at_s(self) -> float:
        """When `on_tick` has something to do."""
        silent_s = _NEVER if self._probed_at_s is None or self._silent else self._probed_at_s + SILENT_S
        return min(self._probe_at_s, self._tell_at_s, silent_s)

    @property
    def is_silent(self) -> bool:
        """True while an answer is waited for in vain."""
        return self._silent

    def on_subscribed(self, now: Moment) -> list[Effect]:
        """From now on the scheduler can be told; perhaps it is another one."""
        if self._probe_at_s == _NEVER and self._probed_at_s is None:
            self._probe_at_s = now.clock_s + PROBE_S
        return self._tell(now) if self.problem else []

    def on_seen(self, event: EngineSeen, now: Moment) -> list[Effect]:
        """The engine is well, or is not: told at once where that has changed."""
        self._probed_at_s, self._probe_at_s, self._silent = None, now.clock_s + PROBE_S, False
        if (event.problem is None) == (self.problem is None):
            self.problem = event.problem
            return []
        self.problem = event.problem
        return self._tell(now)

    def on_tick(self, now: Moment) -> list[Effect]:
        """What is due."""
        effects: list[Effect] = []
        if self._probed_at_s is not None and not self._silent and now.clock_s >= self._probed_at_s + SILENT_S:
            self._silent = True
            self.problem = f"the Docker engine of this agent has not answered for {SILENT_S:g} s"
            effects += self._tell(now)
        if now.clock_s >= self._tell_at_s:
            effects += self._tell(now)
        if now.clock_s >= self._probe_at_s:
            self._probe_at_s, self._probed_at_s = _NEVER, now.clock_s
            effects.append(Probe())
        return effects

    def _tell(self, now: Moment) -> list[Effect]:
        self._tell_at_s = now.clock_s + TELL_S if self.problem else _NEVER
        return [Tell(report=EngineReport(problem=self.problem and self.problem[:MOST_WORDS]))]

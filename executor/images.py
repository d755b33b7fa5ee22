"""What the scheduler is told of this agent's images, and which are pulled before anybody needs them. Pure.

All of it is best effort. A report goes out whenever the agent takes our subscription, an image has come, or some minutes have
passed: others remove images, and a MESSAGE may be lost without a word. One image is pulled ahead at a time, and none makes a
launch wait.
"""

from __future__ import annotations

from collections import deque

from executor.events import Effect, ImagesSeen, Look, Moment, Prefetch, Pull, Pulled, Subscribed, Tell
from swath.domain.attempts import ImageSource

LOOK_S = 300.0  # between two looks at the engine
SOON_S = 10.0  # between two of them at least, unless an image has come
AGAIN_S = 30.0  # until an image is tried again whose pull made room for a launch, and an engine that was sick
MOST_QUEUED = 8  # to be pulled ahead; what comes beyond is forgotten, and asked for again where it matters

_NEVER = float("inf")


class Images:
    """When to look, what to tell, what to pull next."""

    def __init__(self) -> None:
        self._look_at_s = _NEVER  # before the first subscription nobody listens
        self._looked_at_s = -_NEVER
        self._looking = self._look_again = False
        self._names: frozenset[str] = frozenset()  # of what was there when somebody looked last
        self._queue: deque[str] = deque()
        self._pulling: str | None = None
        self._pull_at_s = 0.0

    @property
    def next_at_s(self) -> float:
        """When `on_tick` has something to do."""
        waits = self._queue and self._pulling is None
        return min(self._look_at_s, self._pull_at_s if waits else _NEVER)

    def handle(self, event: Subscribed | Prefetch | ImagesSeen | Pulled, now: Moment) -> list[Effect]:
        """What to do about `event`."""
        match event:
            case Subscribed():
                return self._look(now)
            case Prefetch():
                return self.on_prefetch(event, now)
            case ImagesSeen():
                return self.on_seen(event, now)
            case Pulled():
                return self.on_pulled(event, now)

    def on_prefetch(self, event: Prefetch, now: Moment) -> list[Effect]:
        """Queue the image; where it is here already, say so again: whoever asks has not heard."""
        reference = event.reference
        if reference in self._names:
            return self._look_soon(now)
        if reference != self._pulling and reference not in self._queue and len(self._queue) < MOST_QUEUED:
            self._queue.append(reference)
        return self._pull(now)

    def on_used(self, image: ImageSource, now: Moment) -> list[Effect]:
        """An attempt runs in an image: it is here, perhaps since a moment ago."""
        return [] if {image.image_id, image.reference} & self._names else self._look_soon(now)

    def on_seen(self, event: ImagesSeen, now: Moment) -> list[Effect]:
        """Tell what was seen; look again where something has come meanwhile."""
        self._looking = False
        again, self._look_again = self._look_again, False
        effects = self._look(now) if again else []
        if event.report is None:
            self._look_at_s = min(self._look_at_s, now.clock_s + AGAIN_S)
            return effects
        self._names = event.report.names
        return [Tell(report=event.report), *effects]

    def on_pulled(self, event: Pulled, now: Moment) -> list[Effect]:
        """An image is here, or will not be: go on with the next. One that made room for a launch has another turn."""
        self._pulling = None
        if event.postponed:
            self._queue.appendleft(event.reference)
            self._pull_at_s = now.clock_s + AGAIN_S
            return []
        return [*(self._look(now) if event.problem is None else []), *self._pull(now)]

    def on_tick(self, now: Moment) -> list[Effect]:
        """What is due."""
        return [*(self._look(now) if now.clock_s >= self._look_at_s else []), *self._pull(now)]

    def _look_soon(self, now: Moment) -> list[Effect]:
        at_s = self._looked_at_s + SOON_S
        if now.clock_s >= at_s:
            return self._look(now)
        self._look_at_s = min(self._look_at_s, at_s)
        return []

    def _look(self, now: Moment) -> list[Effect]:
        self._looked_at_s, self._look_at_s = now.clock_s, now.clock_s + LOOK_S
        if self._looking:
            self._look_again = True
            return []
        self._looking = True
        return [Look()]

    def _pull(self, now: Moment) -> list[Effect]:
        if self._pulling is not None or not self._queue or now.clock_s < self._pull_at_s:
            return []
        self._pulling = self._queue.popleft()
        return [Pull(reference=self._pulling)]

"""How often something may be done."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

_WINDOW = timedelta(seconds=1.25)  # a second, and what one turn may need longer than another until its calls leave


@dataclass(slots=True)
class Limit:
    """So many wishes are granted in any second: a few at once, the rest when the window is over that began with them."""

    per_s: int
    granted: deque[datetime] = field(default_factory=deque)  # the last ones

    def take(self, now: datetime) -> datetime | None:
        """None when the wish is granted, else the time at which the next one will be."""
        while self.granted and not now - _WINDOW < self.granted[0] <= now:  # a clock that was set back grants, too
            self.granted.popleft()
        if len(self.granted) >= self.per_s:
            return self.granted[0] + _WINDOW
        self.granted.append(now)
        return None

"""Shares of the cluster: the dominant one of what is held now, and what is remembered of those of the past.

What a project held counts less the longer ago that was: half as much after each half-life h. With s(t) the dominant share
(Ghodsi et al., Dominant Resource Fairness, NSDI 2011) that it held at time t, its past share at time T is

    P(T) = (ln 2 / h) * integral over t <= T of s(t) * 2^(-(T - t) / h) dt

The factor ln 2 / h makes it a mean: whoever has held s for ever has P = s, and P lies between 0 and 1 like s. Decayed usage
is Kay and Lauder's (A Fair Share Scheduler, CACM 31(1), 1988), the half-life Slurm's PriorityDecayHalfLife; both add it up in
steps of some minutes. As s is constant between two changes, the integral is had exactly: over a time d without a change

    P(T + d) = P(T) * 2^(-d / h) + s * (1 - 2^(-d / h))

so one step a change is enough, however long ago the last one was.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import exp2

from swath.domain.resources import Resources

HALF_LIFE_S = 24 * 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Past:
    """What is remembered of a project: enough to know it at any later time until its share changes."""

    value: float  # P at `at`
    share: float  # s since `at`
    at: datetime
    half_life_s: float = HALF_LIFE_S

    def value_at(self, now: datetime) -> float:
        """P at `now`; a clock that was set back lets no time pass."""
        kept = exp2(-max(0.0, (now - self.at).total_seconds()) / self.half_life_s)
        return self.value * kept + self.share * (1.0 - kept)


def dominant_share(held: Resources, total: Resources) -> float:
    """The largest part that `held` is of any resource of `total`, 0 to 1; what nobody has any more does not count."""
    there = total.amounts()
    parts = (min(1.0, amount / there[name]) for name, amount in held.amounts().items() if there.get(name))
    return max(parts, default=0.0)

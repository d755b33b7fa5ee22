"""Which faults come when: a function of the seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

MEAN_GAP_S = 4.0  # between two faults
QUIET_S = 3.0  # at the beginning: something has to run before it is disturbed


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A way to hurt the cluster."""

    weight: int
    least_s: float = 0.0  # until it is undone: continued, or started again
    most_s: float = 0.0


KINDS = {
    "kill local": Kind(weight=3, least_s=0.2, most_s=3),
    "stop local": Kind(weight=2, least_s=0.5, most_s=15),
    "kill leader": Kind(weight=4, least_s=0.2, most_s=5),
    "stop leader": Kind(weight=4, least_s=0.5, most_s=15),
    "kill standby": Kind(weight=1, least_s=0.2, most_s=5),
    "stop standby": Kind(weight=1, least_s=0.5, most_s=10),
    "kill executor": Kind(weight=4),
    "stop executor": Kind(weight=3, least_s=0.5, most_s=12),
    "stop task": Kind(weight=1, least_s=0.5, most_s=5),
    "kill backend": Kind(weight=2),  # the server ends all others and recovers
    "end backend": Kind(weight=2),
    "stop backend": Kind(weight=3, least_s=0.5, most_s=12),
    "kill postmaster": Kind(weight=1, least_s=0.2, most_s=4),
    "stop postmaster": Kind(weight=1, least_s=0.5, most_s=6),
    "restart postgres": Kind(weight=1),
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault."""

    at_s: float  # after the beginning
    kind: str
    pick: float  # in [0, 1): which one of those that are there
    hold_s: float  # until it is undone


def make_plan(seed: int, duration_s: float, mean_gap_s: float = MEAN_GAP_S) -> list[Fault]:
    """The faults of a run, in order; those of a shorter run are the first ones of a longer."""
    random = Random(seed)
    plan: list[Fault] = []
    at_s = QUIET_S + random.expovariate(1 / mean_gap_s)
    while at_s < duration_s:
        (name,) = random.choices(list(KINDS), weights=[kind.weight for kind in KINDS.values()])
        kind = KINDS[name]
        hold_s = random.uniform(kind.least_s, kind.most_s)
        plan.append(Fault(at_s=at_s, kind=name, pick=random.random(), hold_s=hold_s))
        at_s += random.expovariate(1 / mean_gap_s)
    return plan

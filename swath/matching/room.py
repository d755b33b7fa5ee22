"""What is free on the offered agents while a plan grows, and who may have it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from swath.matching.cluster import Cluster, Floats, Ints, Need, count_fitting, mask_key
from swath.matching.model import Demand

Lent = Sequence[tuple[int, float]]  # (column, amount) of what was taken
Loan = tuple[float, Lent]  # (seconds until it is given back, ...)


class Rank(IntEnum):
    """Whom agents are kept for. Within a rank the larger task goes before: see `Keeper.level_of`."""

    ANY = 0
    ENTITLED = 1  # large, or of a project that others have outrun
    URGENT = 2  # interactive, or somebody else's attempts were ended for it


class Room:
    """The agents of a cluster that take tasks in this cycle."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        # What an agent has promised beyond its means makes it take nothing at all.
        self.rows: Ints = np.flatnonzero(cluster.offered & (cluster.available >= 0).all(axis=0))
        self.available = cluster.available.take(self.rows, axis=1)  # by row in memory, as `[:, rows]` would not be
        self.cold = cluster.cold[self.rows]
        self._starts = cluster.starts[self.rows]
        self._closes_in_s = cluster.closes_in_s[self.rows]
        self._closes = bool(np.isfinite(self._closes_in_s).any())
        # By mask_key: a number for it, and 1.0 for each agent it admits.
        self._masks: dict[object, tuple[int, Floats]] = {}
        self._mask_of: dict[int, tuple[int, Floats]] = {}  # the same by demand
        self._local = dict(zip(self.rows.tolist(), range(len(self.rows)), strict=True))
        # Of the agents that are kept for somebody: until when, for whom, and what can be spared all the while.
        self._kept_for_s = np.full(len(self.rows), math.inf)
        self._kept_level = np.zeros(len(self.rows))
        self._kept: dict[int, dict[str, Floats]] = {}  # place -> job -> what it is to get there
        self._owners: dict[str, set[int]] = {}  # job -> places
        self._spare: Floats | None = None
        self._lent: dict[int, list[Loan]] = {}  # row of a kept agent -> what others take of it meanwhile

    def keep(
        self, row: int, job: str, need: Need, *, level: float, for_s: float, there: Sequence[float], anew: bool
    ) -> None:
        """`need` of the cluster's agent `row` is kept for a job: those on a lower level get what ends within `for_s`, or what
        will be to spare of all that is `there` by then.

        What is kept urgently is so for several tasks, and jobs, side by side; `anew` forgets what was kept there for this one.
        """
        place = self._local.get(row)
        if place is None:
            return
        if self._spare is None:
            self._spare = np.full_like(self.available, math.inf)
        if min(level, self._kept_level[place]) < Rank.URGENT:
            self._release(place)
        kept = self._kept.setdefault(place, {})
        if anew or job not in kept:
            kept[job] = np.zeros(len(there))
        for column, amount in need:
            kept[job][column] += amount
        spare = np.array(there) - sum(kept.values())
        self._spare[:, place] = spare if spare.min() >= 0 else 0.0
        self._kept_for_s[place] = for_s
        self._kept_level[place] = max(level, self._kept_level[place])
        self._lent.setdefault(row, [])
        self._owners.setdefault(job, set()).add(place)

    def _release(self, place: int) -> None:
        """It is kept for nobody any more."""
        for job in self._kept.pop(place, ()):
            self._owners[job].discard(place)
        self._kept_level[place] = 0.0

    def free_at(self, row: int) -> list[float]:
        """What is free on the cluster's agent `row` by now, offered or not."""
        place = self._local.get(row)
        free = self.cluster.available[:, row] if place is None else self.available[:, place]
        return [float(amount) for amount in free]

    def loans_on(self, row: int) -> Sequence[Loan]:
        """What others have taken of a kept agent in this cycle."""
        return self._lent.get(row, ())

    def capacity(self, demand: Demand, need: Need, level: float) -> Floats:
        """How many of the demand's tasks each agent could take; what is kept for a higher level only where it is spared."""
        _, allowed = self._mask(demand)
        if self._closes:
            allowed = allowed * (self._closes_in_s > demand.expected_s)
        available = self.available
        if self._spare is not None:
            free = (self._kept_level <= level) | (self._kept_for_s > demand.expected_s)
            beside = np.maximum(np.minimum(available, self._beside_others(demand.job, self._spare)), 0.0)
            available = np.where(free, available, beside)
        count = count_fitting(available, need, demand.count)
        np.minimum(count, self._starts, out=count)
        count *= allowed
        return count

    def _beside_others(self, job: str, spare: Floats) -> Floats:
        """What the job may take of each kept agent: what can be spared, and what is kept for it."""
        owned = self._owners.get(job)
        if not owned:
            return spare
        allowed = spare.copy()
        for place in owned:
            allowed[:, place] += self._kept[place][job]
        return allowed

    def limited(self, demand: Demand, capacity: Floats, count: int) -> Floats:
        """`capacity` cut down to what the constraints allow that count the job's tasks, these `count` among them."""
        return self.cluster.attributes.limit(demand, capacity, self.rows, count)

    def take(self, demand: Demand, need: Need, places: Ints, counts: Ints, level: float) -> None:
        """`counts[i]` tasks have found their places on the agent `places[i]`; of what can be spared only lower levels take."""
        for column, amount in need:
            self.available[column][places] -= counts * amount
        if self._spare is not None:
            lower = self._kept_level > level
            for column, amount in need:
                self._spare[column, places] -= np.where(lower[places], counts * amount, 0)
            self._use_up(demand.job, need, places, counts, lower, self._spare)
        self._lend(demand, need, places, counts)
        self._starts[places] -= counts
        if demand.constraints:
            self.cluster.attributes.note(demand, counts, self.rows[places])

    def _use_up(self, job: str, need: Need, places: Ints, counts: Ints, lower: np.ndarray, spare: Floats) -> None:
        """What was kept for the job's tasks they take first, and of what can be spared only what is left."""
        owned = self._owners.get(job)
        for place, count in zip(places.tolist(), counts.tolist(), strict=True) if owned else ():
            if place in self._owners[job]:
                kept = self._kept[place][job]
                for column, amount in need:
                    used = min(kept[column], amount * count)
                    kept[column] -= used
                    spare[column, place] += used if lower[place] else 0.0

    def _lend(self, demand: Demand, need: Need, places: Ints, counts: Ints) -> None:
        """Remember what is taken of kept agents."""
        for place, count in zip(places.tolist(), counts.tolist(), strict=True) if self._lent else ():
            if (loans := self._lent.get(int(self.rows[place]))) is not None:
                loans.append((demand.expected_s, [(column, amount * count) for column, amount in need]))

    def settle(self) -> None:
        """Tell the cluster what is left."""
        self.cluster.available[:, self.rows] = self.available
        self.cluster.starts[self.rows] = self._starts

    def key(self, demand: Demand, level: float) -> object:
        """Of two demands with the same key the one that needs more has no chance where the other has none."""
        timely = demand.expected_s if self._closes or self._spare is not None else 0.0
        level = level if self._spare is not None else 0.0  # where nothing is kept it makes no difference
        number, _ = self._mask(demand)
        return number, level, timely, demand.job if self._owners.get(demand.job) else None

    def _mask(self, demand: Demand) -> tuple[int, Floats]:
        """The agents that the demand may use, as factors."""
        known = self._mask_of.get(id(demand))
        if known is None:
            key = mask_key(demand)
            if key not in self._masks:
                factors = self.cluster.admitted(demand)[self.rows].astype(np.float64)
                self._masks[key] = len(self._masks), factors
            known = self._mask_of[id(demand)] = self._masks[key]
        return known

"""What is free on the offered agents while a plan grows, and who may have it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from swath.matching.cluster import Cluster, Floats, Ints, Need, count_fitting, mask_key
from swath.matching.model import Demand

Loan = tuple[float, Sequence[tuple[int, float]]]  # (seconds until it is given back, (column, amount) of what was taken)


class Room:
    """The agents of a cluster that take tasks in this cycle."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        # What an agent has promised beyond its means makes it take nothing at all.
        self.rows: Ints = np.flatnonzero(cluster.offered & (cluster.available >= 0).all(axis=0))
        self.available = cluster.available[:, self.rows]
        self.cold = cluster.cold[self.rows]
        self._starts = cluster.starts[self.rows]
        self._closes_in_s = cluster.closes_in_s[self.rows]
        self._closes = bool(np.isfinite(self._closes_in_s).any())
        self._masks: dict[object, np.ndarray] = {}
        self._local = {int(row): place for place, row in enumerate(self.rows)}
        # Of the agents that are kept for somebody: until when, and what can be spared all the while.
        self._kept_for_s = np.full(len(self.rows), math.inf)
        self._spare: Floats | None = None
        self._lent: dict[int, list[Loan]] = {}  # row of a kept agent -> what others take of it meanwhile

    def keep(self, row: int, for_s: float, spare: Sequence[float]) -> None:
        """The cluster's agent `row` is kept: others get what ends within `for_s`, or what of `spare` they need."""
        if row in self._local:
            if self._spare is None:
                self._spare = np.full_like(self.available, math.inf)
            self._kept_for_s[self._local[row]] = for_s
            self._lent.setdefault(row, [])
            self._spare[:, self._local[row]] = spare

    def free_at(self, row: int) -> list[float]:
        """What is free on the cluster's agent `row` by now, offered or not."""
        place = self._local.get(row)
        free = self.cluster.available[:, row] if place is None else self.available[:, place]
        return [float(amount) for amount in free]

    def loans_on(self, row: int) -> Sequence[Loan]:
        """What others have taken of a kept agent in this cycle."""
        return self._lent.get(row, ())

    def capacity(self, demand: Demand, need: Need, *, entitled: bool) -> Floats:
        """How many of the demand's tasks each agent could take; `entitled` ones look at kept agents as well."""
        allowed = self._mask(demand)
        if self._closes:
            allowed = allowed & (self._closes_in_s > demand.expected_s)
        available = self.available
        if self._spare is not None and not entitled:
            ends_before = self._kept_for_s > demand.expected_s
            available = np.where(ends_before, available, np.minimum(available, self._spare))
        count = np.minimum(count_fitting(available, need, demand.count), self._starts)
        return np.where(allowed, np.maximum(count, 0.0), 0.0)

    def limited(self, demand: Demand, capacity: Floats, count: int) -> Floats:
        """`capacity` cut down to what the constraints allow that count the job's tasks, these `count` among them."""
        return self.cluster.attributes.limit(demand, capacity, self.rows, count)

    def take(self, demand: Demand, need: Need, taken: Floats, *, entitled: bool) -> None:
        """`taken` tasks that need `need` each have found their places; only others take of what can be spared."""
        for column, amount in need:
            self.available[column] -= taken * amount
            if self._spare is not None and not entitled:
                self._spare[column] -= taken * amount
        for row, loans in self._lent.items():
            if count := taken[self._local[row]]:
                loans.append((demand.expected_s, [(column, amount * count) for column, amount in need]))
        self._starts -= taken
        self.cluster.attributes.note(demand, taken, self.rows)

    def settle(self) -> None:
        """Tell the cluster what is left."""
        self.cluster.available[:, self.rows] = self.available
        self.cluster.starts[self.rows] = self._starts

    def key(self, demand: Demand, *, entitled: bool) -> object:
        """Of two demands with the same key the one that needs more has no chance where the other has none."""
        timely = demand.expected_s if self._closes or self._spare is not None else 0.0
        return mask_key(demand), entitled, timely

    def _mask(self, demand: Demand) -> np.ndarray:
        key = mask_key(demand)
        if key not in self._masks:
            self._masks[key] = self.cluster.admitted(demand)[self.rows]
        return self._masks[key]

"""Which of the agents that could take a demand's tasks get them, and how many each.

First come the agents that suit the demand best: its image is there, its executor runs, its data are near. Among equals the
tasks are spread evenly, over as few agents as the waiting tasks need all together: so different tasks fill an agent from all
sides, and whole agents stay free for large ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from swath.domain.constraints import SPREADING, Constraint
from swath.matching.cluster import Bools, Cluster, Floats, Ints
from swath.matching.model import Demand, Policy
from swath.matching.room import Room

_SPARE = 1.1  # of what is waited for: rounding to whole tasks leaves some of an agent unused


class Chooser:
    """The preferences of a cycle."""

    def __init__(self, room: Room, policy: Policy, wanted: Sequence[float]) -> None:
        """`wanted` is the sum of what waits, by column."""
        self._room = room
        self._attributes = room.cluster.attributes
        self._policy = policy
        self._first = _find_first(room, wanted) if policy.packing else None
        self._scores: dict[object, tuple[Floats, list[float]]] = {}
        self._differ = policy.packing and _do_differ(room.cluster)

    def choose(self, demand: Demand, capacity: Floats, count: int) -> Floats:
        """`count` tasks (no more than `capacity` holds) divided over the agents."""
        if self._first is None and len(self._score(demand)[1]) == 1:
            return spread(capacity, count)  # all are in one group
        taken = np.zeros_like(capacity)
        left = count
        for rows, evenly in self._groups(demand, capacity):
            part = spread(np.where(rows, capacity, 0.0), left) if evenly else _fill(rows, capacity, self._order(), left)
            taken += part
            left -= int(part.sum())
            if left <= 0:
                break
        return taken

    def _groups(self, demand: Demand, capacity: Floats) -> Iterator[tuple[Bools, bool]]:
        """The agents in groups, the best first, and whether to spread over the group."""
        score, levels = self._score(demand)
        able = capacity > 0
        for level in levels:
            rows = able & (score == level) if len(levels) > 1 else able
            if self._first is None:
                yield rows, True
                continue
            yield rows & self._first, True
            yield rows & ~self._first, False

    def _order(self) -> Ints:
        """The agents, the fullest first."""
        return np.argsort(-_fullness(self._room), kind="stable")

    def _score(self, demand: Demand) -> tuple[Floats, list[float]]:
        """How well each agent suits the demand, and the values that occur, the best first."""
        soft = tuple(rule for rule in demand.constraints if not rule.hard and rule.operator not in SPREADING)
        ratio = _to_ratio(self._room.cluster.columns.to_tuple(demand.resources)) if self._differ else None
        key = (demand.image, demand.prefer, soft, demand.shun, ratio)
        if key not in self._scores:
            score = self._make_score(demand, soft)
            self._scores[key] = score, np.unique(score)[::-1].tolist()
        return self._scores[key]

    def _make_score(self, demand: Demand, soft: Sequence[Constraint]) -> Floats:
        policy = self._policy
        cluster = self._room.cluster
        score: Floats = np.where(cluster.cold, 0.0, policy.warm_weight)
        score += policy.image_weight * self._find_image(demand.image_at)
        for wish in demand.prefer:
            column = self._attributes.column(wish.attribute)
            score += wish.weight * column.judge(lambda value, wanted=wish.value: value == wanted)  # type: ignore[misc]
        for rule in soft:
            score += policy.soft_weight * self._attributes.meets(rule)
        score[cluster.rows_of(demand.shun)] -= policy.shun_weight
        if self._differ:
            score += policy.shape_weight * _find_likeness(cluster, cluster.columns.to_tuple(demand.resources))
        return score[self._room.rows]

    def _find_image(self, image_at: Mapping[str, float]) -> Floats:
        """How much of an image each agent holds, in quarters: finer steps would tell agents apart that are as good."""
        row_of = self._room.cluster.row_of
        held = np.zeros(len(row_of))
        for agent_id, share in image_at.items():
            if (row := row_of.get(agent_id)) is not None:
                held[row] = round(4 * share) / 4
        return held


def _do_differ(cluster: Cluster) -> bool:
    """True when agents have their resources in different proportions."""
    rows = cluster.usable[:, cluster.usable[0] > 0]
    return bool(rows.size) and bool((np.ptp(rows / rows[0], axis=1) > 0).any())


def _to_ratio(amounts: Sequence[int]) -> tuple[float, ...]:
    """Tasks whose resources stand in the same proportions have the same."""
    largest = max(amounts) or 1
    return tuple(round(amount / largest, 3) for amount in amounts)


def _find_likeness(cluster: Cluster, amounts: Sequence[int]) -> Floats:
    """How far the proportions of each agent's resources are those of the task's, 0 to 1 in tenths: large tasks of memory
    belong where there is much of it (the alignment of Grandl et al., "Multi-resource packing", SIGCOMM 2014).
    """
    total = cluster.usable.sum(axis=1)
    scale = np.where(total > 0, total, 1.0)
    task = np.array(amounts) / scale
    agents = np.maximum(cluster.usable, 0) / scale[:, None]
    length = np.sqrt((agents**2).sum(axis=0)) * math.sqrt(float((task**2).sum()))
    return np.round(10 * (task @ agents) / np.where(length > 0, length, 1.0)) / 10


def _fullness(room: Room) -> Floats:
    """The part of each agent that is taken, of its scarcest resource."""
    total = room.cluster.usable[:, room.rows]
    free = np.where(total > 0, room.available / np.where(total > 0, total, 1.0), 1.0)
    return np.asarray(1.0 - free.min(axis=0), dtype=np.float64)


def _find_first(room: Room, wanted: Sequence[float]) -> Bools | None:
    """As few agents as hold all that is waited for, the fullest first; None when that takes all of them."""
    order = np.argsort(-_fullness(room), kind="stable")
    sums = np.cumsum(np.maximum(room.available[:, order], 0), axis=1)
    needed = 1 + max(int(np.searchsorted(row, _SPARE * want)) for row, want in zip(sums, wanted, strict=True))
    if needed >= len(order):
        return None
    first = np.zeros(len(order), dtype=np.bool_)
    first[order[:needed]] = True
    return first


def spread(capacity: Floats, wanted: int) -> Floats:
    """Divide `wanted` tasks evenly over agents with `capacity`; the odd ones go where there is most room."""
    if wanted <= 0:
        return np.zeros_like(capacity)
    if capacity.sum() <= wanted:
        return capacity.copy()
    level = 0 if wanted < np.count_nonzero(capacity) else _find_level(capacity, wanted)
    taken = np.minimum(capacity, float(level))
    odd = wanted - int(taken.sum())
    if odd:
        roomy = np.flatnonzero(capacity > level)
        taken[roomy[np.argpartition(-capacity[roomy], odd - 1)[:odd]]] += 1
    return taken


def _find_level(capacity: Floats, wanted: int) -> int:
    """The largest level with sum(min(capacity, level)) <= wanted."""
    whole = np.minimum(capacity, wanted).astype(np.int64)
    at_least = np.cumsum(np.bincount(whole)[::-1])[::-1][1:]  # how many agents have room for 1, 2, 3, ... tasks
    return int(np.searchsorted(np.cumsum(at_least), wanted, side="right"))


def _fill(rows: Bools, capacity: Floats, order: Ints, wanted: int) -> Floats:
    """One agent after the other, in `order`, until `wanted` tasks have found their places."""
    there = np.where(rows, capacity, 0.0)[order]
    before = np.cumsum(there) - there
    taken = np.zeros_like(capacity)
    taken[order] = np.clip(wanted - before, 0, there)
    return taken

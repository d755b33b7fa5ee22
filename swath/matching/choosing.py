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

_ROOMY = 1 << 16  # tasks: agents with more room than that are all alike
_SPARE = 1.1  # of what is waited for: rounding to whole tasks leaves some of an agent unused


class Chooser:
    """The preferences of a cycle."""

    def __init__(self, room: Room, policy: Policy, wanted: Sequence[float]) -> None:
        """`wanted` is the sum of what waits, by column."""
        self._room = room
        self._attributes = room.cluster.attributes
        self._policy = policy
        self._first = _find_first(room, wanted) if policy.packing else None
        self._levels: dict[object, _Levels] = {}  # by what the score is made from
        self._levels_of: dict[int, _Levels] = {}  # the same by demand
        self._proportions = _find_proportions(room.cluster) if policy.packing else None

    def choose(self, demand: Demand, capacity: Floats, count: int) -> tuple[Ints, Ints]:
        """Which agents get how many of `count` tasks, no more than `capacity` holds."""
        able = (capacity > 0).nonzero()[0]
        room = capacity[able]
        places, counts = [], []
        for rows, evenly in self._groups(demand):
            inside = rows[able]
            # Mostly one group has all of them, and need not be cut out.
            group, room_there = (able, room) if inside.all() else (able[inside], room[inside])
            used, taken = spread(room_there, group, count) if evenly else self._fill(room_there, group, count)
            places.append(used)
            counts.append(taken)
            count -= int(taken.sum())
            if count <= 0:
                break
        return (places[0], counts[0]) if len(places) == 1 else (np.concatenate(places), np.concatenate(counts))

    def _groups(self, demand: Demand) -> Iterator[tuple[Bools, bool]]:
        """The agents in groups, the best first, and whether to spread over the group; else it is filled."""
        for rows in self._find_levels(demand):
            if self._first is None:
                yield rows, True
            else:
                yield rows & self._first, True
                yield rows & ~self._first, False

    def _fill(self, capacity: Floats, places: Ints, wanted: int) -> tuple[Ints, Ints]:
        """One agent after the other, the fullest first, until `wanted` tasks have found their places: (agents, tasks of each),
        as `spread`."""
        order = np.argsort(-_fullness(self._room, places), kind="stable")
        room = capacity[order].astype(np.int64)
        taken = np.zeros(len(room), dtype=np.int64)
        taken[order] = np.clip(wanted - (np.cumsum(room) - room), 0, room)
        used = taken.nonzero()[0]
        return places[used], taken[used]

    def _find_levels(self, demand: Demand) -> _Levels:
        """The agents by how well they suit the demand."""
        if id(demand) not in self._levels_of:
            soft = tuple(rule for rule in demand.constraints if not rule.hard and rule.operator not in SPREADING)
            amounts = self._room.cluster.columns.to_tuple(demand.resources)
            ratio = None if self._proportions is None else _to_ratio(amounts)
            key = (demand.image, demand.prefer, soft, demand.shun, ratio)
            if key not in self._levels:
                self._levels[key] = _Levels(self._make_score(demand, soft))
            self._levels_of[id(demand)] = self._levels[key]
        return self._levels_of[id(demand)]

    def _make_score(self, demand: Demand, soft: Sequence[Constraint]) -> Floats:
        policy = self._policy
        cluster = self._room.cluster
        score: Floats = np.where(cluster.cold, 0.0, policy.warm_weight)
        if demand.image_at:
            score += policy.image_weight * self._find_image(demand.image_at)
        for wish in demand.prefer:
            column = self._attributes.column(wish.attribute)
            score += wish.weight * column.judge(lambda value, wanted=wish.value: value == wanted)  # type: ignore[misc]
        for rule in soft:
            score += policy.soft_weight * self._attributes.meets(rule)
        score[cluster.rows_of(demand.shun)] -= policy.shun_weight
        if self._proportions is not None:
            task = _to_direction(cluster, np.array(cluster.columns.to_tuple(demand.resources))[:, None])
            # In tenths: finer steps would tell agents apart that are as good.
            score += policy.shape_weight * np.round(10 * (task[:, 0] @ self._proportions)) / 10
        return score[self._room.rows]

    def _find_image(self, image_at: Mapping[str, float]) -> Floats:
        """How much of an image each agent holds, in quarters: finer steps would tell agents apart that are as good."""
        row_of = self._room.cluster.row_of
        held = np.zeros(len(row_of))
        for agent_id, share in image_at.items():
            if (row := row_of.get(agent_id)) is not None:
                held[row] = round(4 * share) / 4
        return held


class _Levels:
    """Agents of the same score together, the best first; found as far as somebody looks."""

    def __init__(self, score: Floats) -> None:
        self._found: list[Bools] = []
        self._left = score

    def __iter__(self) -> Iterator[Bools]:
        yield from self._found
        while (best := self._left.max(initial=-math.inf)) > -math.inf:
            self._found.append(self._left == best)
            self._left = np.where(self._found[-1], -math.inf, self._left)
            yield self._found[-1]


def _find_proportions(cluster: Cluster) -> Floats | None:
    """The direction of each agent's resources, one column an agent; None where all have them in the same proportions.

    How well a direction agrees with the one of a task, 0 to 1, is the alignment of Grandl et al., "Multi-resource packing",
    SIGCOMM 2014: large tasks of memory belong where there is much of it.
    """
    rows = cluster.usable[:, cluster.usable[0] > 0]
    differ = bool(rows.size) and bool((np.ptp(rows / rows[0], axis=1) > 0).any())
    return _to_direction(cluster, np.maximum(cluster.usable, 0)) if differ else None


def _to_direction(cluster: Cluster, amounts: Floats) -> Floats:
    """Each column's amounts as parts of what the cluster has, scaled to length 1."""
    total = cluster.usable.sum(axis=1)
    parts = amounts / np.where(total > 0, total, 1.0)[:, None]
    length = np.sqrt((parts**2).sum(axis=0))
    return np.asarray(parts / np.where(length > 0, length, 1.0), dtype=np.float64)


def _to_ratio(amounts: Sequence[int]) -> tuple[float, ...]:
    """Tasks whose resources stand in the same proportions have the same."""
    largest = max(amounts) or 1
    return tuple(round(amount / largest, 3) for amount in amounts)


def _fullness(room: Room, places: Ints | slice) -> Floats:
    """The part of each agent that is taken, of its scarcest resource."""
    total = room.cluster.usable[:, room.rows[places]]
    free = np.where(total > 0, room.available[:, places] / np.where(total > 0, total, 1.0), 1.0)
    return np.asarray(1.0 - free.min(axis=0), dtype=np.float64)


def _find_first(room: Room, wanted: Sequence[float]) -> Bools | None:
    """As few agents as hold all that is waited for, the fullest first; None when that takes all of them."""
    free = np.maximum(room.available, 0).sum(axis=1)
    if any(have < _SPARE * want for have, want in zip(free.tolist(), wanted, strict=True)):
        return None
    order = np.argsort(-_fullness(room, slice(None)), kind="stable")
    sums = np.cumsum(np.maximum(room.available[:, order], 0), axis=1)
    needed = 1 + max(int(np.searchsorted(row, _SPARE * want)) for row, want in zip(sums, wanted, strict=True))
    if needed >= len(order):
        return None
    first = np.zeros(len(order), dtype=np.bool_)
    first[order[:needed]] = True
    return first


def spread(capacity: Floats, places: Ints, wanted: int) -> tuple[Ints, Ints]:
    """Divide `wanted` tasks evenly over the agents in `places`, each with its `capacity`, one task or more; the odd ones go
    where there is most room. Answers which of the agents get tasks, and how many each of these gets.
    """
    room = np.minimum(capacity, max(wanted, _ROOMY)).astype(np.int64)
    with_room = np.bincount(room, minlength=1)[::-1].cumsum()[::-1]  # how many agents have it for 0, 1, 2, ... tasks
    sums = with_room.cumsum() - len(room)  # of tasks on all agents, were there no more than 0, 1, 2, ... on each
    if sums[-1] <= wanted:
        return places, room
    level = int(sums.searchsorted(wanted, side="right")) - 1
    odd = _find_roomiest(room, with_room, wanted - int(sums[level]))
    if level == 0:
        return places[odd], np.ones(len(odd), dtype=np.int64)
    taken = np.minimum(room, level)
    taken[odd] += 1
    return places, taken


def _find_roomiest(room: Ints, with_room: Ints, count: int) -> Ints:
    """The `count` agents with most room; of those with as much of it the first."""
    most = int((-with_room).searchsorted(-count, side="right")) - 1  # room that as many agents have
    found: Ints = (room >= most).nonzero()[0]
    if (surplus := len(found) - count) > 0:
        kept = np.ones(len(found), dtype=np.bool_)
        kept[(room[found] == most).nonzero()[0][-surplus:]] = False
        found = found[kept]
    return found

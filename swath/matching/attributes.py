"""Agents' attributes as arrays: a condition is judged once a value, and not once an agent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swath.domain.constraints import SPREADING, Constraint
from swath.matching.model import AgentView, Demand

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Column:
    """One attribute of all agents."""

    values: tuple[str | None, ...]  # that occur; None for agents without the attribute
    codes: Codes  # of each agent: the index of its value

    def judge(self, verdict: Callable[[str | None], float]) -> Floats:
        """What `verdict` says of each agent's value."""
        return np.array([verdict(value) for value in self.values], dtype=np.float64)[self.codes]


class Attributes:
    """The attributes of all agents, and where the tasks are of jobs whose constraints count them."""

    def __init__(self, agents: Sequence[AgentView]) -> None:
        self._agents = agents
        self._columns: dict[str, Column] = {}
        self._admitted: dict[tuple[Constraint, ...], Bools] = {}
        self._counts: dict[tuple[str, str], Floats] = {}  # (job, attribute) -> its tasks on agents of each value

    def column(self, attribute: str) -> Column:
        """One attribute."""
        if attribute not in self._columns:
            numbers: dict[str | None, int] = {}
            codes = [numbers.setdefault(agent.attributes.get(attribute), len(numbers)) for agent in self._agents]
            self._columns[attribute] = Column(tuple(numbers), np.array(codes, dtype=np.int64))
        return self._columns[attribute]

    def admitted(self, constraints: tuple[Constraint, ...]) -> Bools:
        """The agents that meet every hard constraint, as far as that does not depend on the job's other tasks."""
        if constraints not in self._admitted:
            rows = np.ones(len(self._agents), dtype=np.bool_)
            for rule in constraints:
                if rule.hard:
                    rows &= self.meets(rule)
            self._admitted[constraints] = rows
        return self._admitted[constraints]

    def meets(self, rule: Constraint) -> Bools:
        """The agents that meet the constraint."""
        return self.column(rule.attribute).judge(lambda value: _admits(rule, value)) > 0

    def limit(self, demand: Demand, capacity: Floats, rows: Codes, count: int) -> Floats:
        """`capacity` of the agents in `rows`, cut down so that any `count` tasks out of it keep the constraints that count.

        A soft one gives way where it would leave nothing. What is to be even is settled last: it leaves no choice.
        """
        for rule in sorted(demand.constraints, key=lambda rule: rule.operator == "group_by"):
            if rule.operator in SPREADING:
                column = self.column(rule.attribute)
                codes = column.codes[rows]
                room = np.bincount(codes, capacity, len(column.values)).astype(np.float64)
                quotas = _quotas(rule, column, self._count(demand, rule.attribute), room, count)
                cut = _clip(capacity, codes, quotas)
                capacity = cut if rule.hard or cut.any() else capacity
        return capacity

    def full(self, demand: Demand, rule: Constraint, usable: Bools) -> Bools:
        """The agents on which `rule`, which counts, allows no more of the job's tasks, `usable` being those with room."""
        column = self.column(rule.attribute)
        room = np.bincount(column.codes, usable, len(column.values)).astype(np.float64)
        quotas = _quotas(rule, column, self._count(demand, rule.attribute), room, len(column.values))
        return np.asarray(quotas[column.codes] <= 0, dtype=np.bool_)

    def note(self, demand: Demand, counts: Codes, rows: Codes) -> None:
        """`counts[i]` tasks of the demand have found their places on the agent `rows[i]`."""
        for attribute in {rule.attribute for rule in demand.constraints if rule.operator in SPREADING}:
            column = self.column(attribute)
            self._count(demand, attribute)[:] += np.bincount(column.codes[rows], counts, len(column.values))

    def _count(self, demand: Demand, attribute: str) -> Floats:
        """How many of the job's tasks are on agents of each value."""
        key = (demand.job, attribute)
        if key not in self._counts:
            column = self.column(attribute)
            running = demand.running_on
            count = np.array([running.get(agent.id, 0) for agent in self._agents] if running else (), dtype=np.float64)
            codes = column.codes if running else column.codes[:0]
            self._counts[key] = np.bincount(codes, count, len(column.values)).astype(np.float64)
        return self._counts[key]


def _admits(rule: Constraint, value: str | None) -> bool:
    return rule.is_met({} if value is None else {rule.attribute: value})


def _quotas(rule: Constraint, column: Column, running: Floats, room: Floats, count: int) -> Floats:
    """How many more tasks each value of the attribute may get."""
    there = np.array([value is not None for value in column.values], dtype=np.bool_)
    if rule.operator == "group_by":
        return _even_quotas(running, np.where(there, room, 0.0), there, count)
    return np.where(there, np.maximum((rule.count or 0) - running, 0), 0.0)


def _even_quotas(running: Floats, room: Floats, there: Bools, count: int) -> Floats:
    """`count` tasks, each to the value that has the fewest; none gets two more than one that can take no more."""
    highest = float((running + room)[there].min(initial=np.inf)) + 1
    low, high = 0.0, min(highest, float((running + room).max(initial=0.0)))
    while low < high:  # the highest level up to which `count` tasks fill all values
        level = math.ceil((low + high) / 2)
        low, high = (level, high) if _fill_up(running, room, level).sum() <= count else (low, level - 1)
    quotas = _fill_up(running, room, low)
    odd = np.flatnonzero((quotas < room) & (running + quotas <= low) & (low < highest))
    quotas[odd[: max(0, count - int(quotas.sum()))]] += 1
    return quotas


def _fill_up(running: Floats, room: Floats, level: float) -> Floats:
    """How many tasks bring each value up to `level`, or as far as it has room."""
    return np.clip(level - running, 0, room)


def _clip(capacity: Floats, codes: Codes, quotas: Floats) -> Floats:
    """The capacities, cut so that those of one value add up to its quota at most; the roomiest agents come first."""
    order = np.lexsort((-capacity, codes))
    sums = np.cumsum(capacity[order])
    first = np.searchsorted(codes[order], np.arange(len(quotas)))
    before = np.concatenate(([0.0], sums))[first]  # what the values in front of each have in sum
    left = quotas[codes[order]] - (sums - capacity[order] - before[codes[order]])
    clipped = np.empty_like(capacity)
    clipped[order] = np.clip(left, 0, capacity[order])
    return clipped

"""All agents as arrays, with one entry an agent.

Amounts are whole numbers in float64, which is exact below 2**53: dividing them is several times faster than dividing
integers, and the floor of a quotient of two such numbers is exact too.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from functools import cached_property, reduce
from itertools import chain

import numpy as np
import numpy.typing as npt

from swath.domain.constraints import SPREADING
from swath.domain.resources import Resources
from swath.matching.attributes import Attributes
from swath.matching.model import AgentView, Demand
from swath.matching.reasons import Shut

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

PLAIN = ("cpus", "mem", "disk", "gpus")  # the first columns, as in Resources.as_tuple

_plain_tuple = operator.attrgetter("cpus_m", "mem", "disk", "gpus")  # as_tuple, several times as fast

Need = tuple[tuple[int, int], ...]  # (column, amount) of what one task asks for


class Columns:
    """Which resources count: the plain ones, and whatever else somebody asks for."""

    def __init__(self, asked: Iterable[Resources]) -> None:
        others = {name for amount in asked if amount.ports or amount.custom for name in amount.amounts()}
        self._others = tuple(sorted(others - set(PLAIN)))
        self.names = (*PLAIN, *self._others)
        self._needs: dict[Resources, Need] = {}

    def to_rows(self, amounts: Sequence[Resources]) -> Floats:
        """One row a resource, one column an amount."""
        width, count = len(self.names), len(amounts)
        if count and all(amount is amounts[0] for amount in amounts):  # what executors take is the same everywhere
            return np.repeat(np.array(self.to_tuple(amounts[0]), dtype=np.float64)[:, None], count, axis=1)
        flat = chain.from_iterable(map(self.to_tuple if self._others else _plain_tuple, amounts))
        return np.ascontiguousarray(np.fromiter(flat, np.float64, count * width).reshape(count, width).T)

    def to_tuple(self, amount: Resources) -> tuple[int, ...]:
        """The amount's columns."""
        if not self._others:
            return amount.as_tuple()
        known = amount.amounts()
        return tuple(known.get(name, 0) for name in self.names)

    def to_need(self, amount: Resources) -> Need:
        """(column, amount) of what is asked for."""
        need = self._needs.get(amount)
        if need is None:
            need = tuple((column, value) for column, value in enumerate(self.to_tuple(amount)) if value > 0)
            self._needs[amount] = need
        return need


class Cluster:
    """The agents, made once for many questions."""

    def __init__(
        self,
        agents: Sequence[AgentView],
        columns: Columns,
        most_starting: int | None = None,
        *,
        keep_gpus: bool = False,
    ) -> None:
        """With `keep_gpus` the agents that have some take only tasks that want them."""
        self.agents = agents
        self.columns = columns
        self.attributes = Attributes(agents)
        self.row_of = dict(zip([agent.id for agent in agents], range(len(agents)), strict=True))
        overhead = columns.to_rows([agent.overhead for agent in agents])
        self.available = columns.to_rows([agent.free for agent in agents]) - overhead
        self.total = columns.to_rows([agent.total for agent in agents])
        self.usable = self.total - columns.to_rows([agent.reserved for agent in agents])
        self.cold = np.asarray(overhead.any(axis=0), dtype=np.bool_)
        self.offered = np.array([agent.offered for agent in agents], dtype=np.bool_)
        self.withheld = np.array([agent.withheld for agent in agents], dtype=np.bool_)
        self.closes_in_s = _or_infinite([agent.closes_in_s for agent in agents])
        most = math.inf if most_starting is None else most_starting
        self.starts = np.maximum(0.0, most - np.array([agent.starting for agent in agents], dtype=np.float64))
        self.shut = _find_shut([agent.shut for agent in agents])
        if keep_gpus:
            _keep(self.shut, self.total[PLAIN.index("gpus")] > 0)
        self._masks: dict[object, Bools] = {}
        self._open: dict[bool, Bools] = {}  # by whether GPUs are wanted

    @cached_property
    def largest_row(self) -> int:
        """Where the agent stands that has most of everything: what fits there needs no search."""
        total = self.usable.sum(axis=1)
        return int((self.usable / np.where(total > 0, total, 1.0)[:, None]).sum(axis=0).argmax())

    def admitted(self, demand: Demand) -> Bools:
        """The agents that the demand may use, whatever is free on them."""
        key = mask_key(demand)
        known = self._masks.get(key)
        if known is None:
            known = self.open_to(demand) & self.attributes.admitted(demand.constraints)
            known[self.rows_of(demand.avoid)] = False
            self._masks[key] = known
        return known

    def suited(self, demand: Demand, need: Need) -> Bools:
        """The agents that a task of the demand could start on once there is room: large enough, open to it, in time, and
        none on which the job's other tasks stand in its way.
        """
        rows = self.admitted(demand) & (self.closes_in_s > demand.expected_s)
        for column, amount in need:
            rows &= self.usable[column] >= amount
        for rule in demand.constraints:
            if rule.hard and rule.operator in SPREADING:
                rows &= ~self.attributes.full(demand, rule, rows)
        return rows

    def lacking(self, need: Need) -> Floats:
        """The part of what one task needs that is not free on each agent, of what is shortest there."""
        lack = np.zeros(len(self.agents))
        for column, amount in need:
            lack = np.maximum(lack, (amount - self.available[column]) / amount)
        return lack

    def withheld_from(self, need: Need) -> Bools:
        """The agents that seem to have room for one task, and are not offered for all that."""
        rows = self.withheld.copy()
        for column, amount in need:
            rows &= self.available[column] >= amount
        return rows

    def open_to(self, demand: Demand) -> Bools:
        """The agents that take tasks of this kind for now."""
        gpus = demand.resources.gpus > 0
        if gpus not in self._open:
            closed = (shut for why, shut in self.shut.items() if not admits(why, gpus=gpus))
            self._open[gpus] = ~reduce(np.logical_or, closed, np.zeros(len(self.agents), dtype=np.bool_))
        return self._open[gpus]

    def rows_of(self, agents: Iterable[str]) -> list[int]:
        """Where the agents stand; those that nobody knows are left out."""
        return [self.row_of[agent_id] for agent_id in agents if agent_id in self.row_of]


def mask_key(demand: Demand) -> tuple[object, ...]:
    """Demands with the same key may use the same agents."""
    return demand.constraints, demand.resources.gpus > 0, demand.avoid


def admits(shut: Shut | None, *, gpus: bool) -> bool:
    """True when an agent that is `shut` takes tasks all the same that want `gpus`, or none."""
    return shut is None or (gpus and shut is Shut.KEPT_FOR_GPUS)


def count_fitting(available: Floats, need: Need, most: int) -> Floats:
    """How many tasks fit into each column of `available`; `most` of those that need nothing."""
    if not need:
        return np.full(available.shape[1], float(most))
    (first, least), *others = need
    fitting: Floats = available[first] / least
    for column, amount in others:
        np.minimum(fitting, available[column] / amount, out=fitting)
    return np.floor(fitting, out=fitting)


def _find_shut(reasons: Sequence[Shut | None]) -> dict[Shut, Bools]:
    """The agents that are shut for each reason that there is."""
    return {why: np.array([one is why for one in reasons]) for why in {*reasons} if why is not None}


def _keep(shut: dict[Shut, Bools], with_gpus: Bools) -> None:
    """Shut those of the agents `with_gpus` that are open."""
    kept = with_gpus & ~reduce(np.logical_or, shut.values(), np.zeros(len(with_gpus), dtype=np.bool_))
    if kept.any():
        shut[Shut.KEPT_FOR_GPUS] = kept | shut.get(Shut.KEPT_FOR_GPUS, False)


def _or_infinite(values: Sequence[float | None]) -> Floats:
    return np.array([math.inf if value is None else value for value in values], dtype=np.float64)

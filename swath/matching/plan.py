"""The matcher: one cycle from offers and demands to a plan (docs/scheduling.md).

The cost grows with (demands) x (agents), not with tasks (DESIGN.md 4.6).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np

from swath.domain.constraints import SPREADING
from swath.matching.choosing import Chooser
from swath.matching.cluster import Cluster, Columns, Floats, Ints, Need, count_fitting
from swath.matching.explain import explain_all
from swath.matching.fairness import Node, Tree
from swath.matching.keeping import Keeper
from swath.matching.limits import Limits
from swath.matching.model import (
    OFFER_S,
    AgentView,
    Assignment,
    Claim,
    Demand,
    Leftover,
    Plan,
    Policy,
    Running,
    Tenants,
    Work,
    nothing_runs,
)
from swath.matching.preemption import Preemptor
from swath.matching.reasons import LimitReached, QuotaReached, Shut
from swath.matching.room import Rank, Room

_STEP = 0.5  # of its part of what fits somebody gets in one turn: the next turns go to whoever is behind by then
_GRAIN = 0.01  # of what it holds by then, at least: what shares may differ by in the end; less would take more turns
_HELPED = 16  # demands in a cycle that resources are taken back for: each looks at what runs on many agents


def plan(
    agents: Sequence[AgentView],
    demands: Sequence[Demand],
    *,
    tenants: Tenants | None = None,
    work: Work = nothing_runs,
    policy: Policy | None = None,
    claims: Iterable[Claim] = (),
    most: int | None = None,
) -> Plan:
    """Place what fits on the offered agents, say whose attempts have to go, and of everything else why it waits.

    Never places more on an agent than its `free` holds, the executor's share included, nor against a hard constraint, a
    quota or a limit. A demand that does not fit does not hold back those behind it. `claims` are the last plan's; with
    `most` the cycle ends after so many tasks, and the plan says that it was cut.
    """
    cycle = _Cycle(agents, demands, tenants or Tenants(), work, policy or Policy(), tuple(claims), most)
    cycle.serve([demand for demand in demands if demand.interactive])
    cycle.serve([demand for demand in demands if not demand.interactive])
    cycle.take_back_shares()
    return cycle.make_plan()


def wants_gpus(demands: Iterable[Demand], limits: Limits) -> bool:
    """True while GPU demand exists; that which a quota or a limit holds back is none."""
    return any(demand.resources.gpus and limits.allowed(demand, demand.count) for demand in demands)


def keep_for_gpus(agents: Sequence[AgentView], demands: Sequence[Demand], limits: Limits) -> Sequence[AgentView]:
    """The agents as they are; "no CPU-only task on GPU agents while GPU demand exists" (MESOS.md, M33).

    For those who pass the agents on; who makes a `Cluster` of them tells it.
    """
    if not wants_gpus(demands, limits):
        return agents
    return [
        agent if agent.shut or not agent.total.gpus else replace(agent, shut=Shut.KEPT_FOR_GPUS) for agent in agents
    ]


@dataclass(frozen=True, slots=True)
class _Ask:
    """What a demand's turns have to know of one of its tasks, again and again."""

    need: Need
    amounts: tuple[int, ...]  # by column
    share: float  # of the cluster, of the dominant resource
    counting: bool  # whether it matters what else of the job runs, and where


class _Cycle:
    """One cycle under way."""

    def __init__(
        self,
        agents: Sequence[AgentView],
        demands: Sequence[Demand],
        tenants: Tenants,
        work: Work,
        policy: Policy,
        claims: tuple[Claim, ...],
        most: int | None,
    ) -> None:
        columns = Columns(demand.resources for demand in demands)
        self._limits = Limits(tenants)
        self._cluster = Cluster(
            sorted(agents, key=operator.attrgetter("id")),
            columns,
            policy.most_starting,
            keep_gpus=wants_gpus(demands, self._limits),
        )
        self._room = Room(self._cluster)
        total = self._cluster.total.sum(axis=1).tolist()
        self._tree = Tree(tenants, total, columns.to_tuple, demands, policy)
        self._chooser = Chooser(self._room, policy, _sum(columns, demands, most))
        work = _asked_once(work)
        self._keeper = Keeper(self._room, self._tree, work, policy)
        self._keeper.recall(claims, demands)
        self._preemptor = Preemptor(self._room, self._tree, self._keeper, work, policy, claims)
        self._policy = policy
        self._left = {id(demand): demand.count for demand in demands}
        self._asks: dict[int, _Ask] = {}
        self._most = most
        self._assignments: list[Assignment] = []
        self._blocked: list[tuple[Demand, LimitReached | QuotaReached | None]] = []
        self._hopeless: dict[object, list[tuple[int, ...]]] = {}  # needs that found no room, by who may use what
        self._cut = False

    def serve(self, demands: Sequence[Demand]) -> None:
        """Give everybody their turns, until nobody waits any more who could be served."""
        self._tree.enqueue(demands)
        while (node := self._tree.next_leaf()) is not None:
            if self._most is not None and self._most <= 0:
                self._cut = True
                return
            if not self._serve(node):
                self._tree.drop(node)

    def take_back_shares(self) -> None:
        """Help those up who are below their fair share: with what those hold who are above theirs.

        In cycles in which nothing may be taken back, what earlier victims leave is kept all the same.
        """
        if self._cut:
            return
        starved = [demand for demand, limit in self._blocked if limit is None and not demand.interactive]
        promised = [demand for demand in starved if self._preemptor.is_promised(demand.job)]
        others = (demand for demand in starved if not self._preemptor.is_promised(demand.job))
        for demand in chain(promised, islice(filter(self._can_be_helped, others), _HELPED)):
            allowed = self._limits.allowed(demand, self._left[id(demand)])
            self._take_back(demand, self._cluster.columns.to_need(demand.resources), allowed)

    def _can_be_helped(self, demand: Demand) -> bool:
        """True where resources may be taken back for a demand that some agent could hold."""
        need = self._cluster.columns.to_need(demand.resources)
        return self._preemptor.may_take(demand) and bool(self._cluster.suited(demand, need).any())

    def make_plan(self) -> Plan:
        """What has come of it."""
        self._room.settle()
        if self._cut:
            self._keeper.hold_on()
        return Plan(
            assignments=tuple(self._assignments),
            leftovers=tuple(self._explain()),
            preemptions=tuple(self._preemptor.chosen),
            claims=tuple(self._keeper.claims),
            cut=self._cut,
        )

    def _serve(self, node: Node) -> bool:
        """Place some of the tasks of the node's first demand; False when it is done with, one way or the other."""
        demand = node.waiting[-1]
        allowed = self._limits.allowed(demand, self._left[id(demand)])
        if allowed <= 0:
            self._blocked.append((demand, self._limits.reason(demand)))
            return False
        ask = self._ask_of(demand)
        rank = self._keeper.rank_of(demand, ask.need)
        level = self._keeper.level_of(rank, ask.need)
        capacity, fitting = self._find_capacity(demand, ask, level)
        within = capacity
        if ask.counting:
            within = self._room.limited(demand, capacity, allowed)
            fitting = int(within.sum())
        count = min(allowed, self._portion(node, ask, fitting))
        if ask.counting and 0 < count < allowed:
            within = self._room.limited(demand, capacity, count)
            count = min(count, int(within.sum()))
        if count <= 0:
            self._block(demand, ask.need, allowed, rank)
            return False
        self._place(demand, ask, *self._chooser.choose(demand, within, count), level)
        return self._left[id(demand)] > 0

    def _ask_of(self, demand: Demand) -> _Ask:
        ask = self._asks.get(id(demand))
        if ask is None:
            columns = self._cluster.columns
            amounts = columns.to_tuple(demand.resources)
            counting = any(rule.operator in SPREADING for rule in demand.constraints)
            ask = _Ask(columns.to_need(demand.resources), amounts, self._tree.share_of(amounts), counting)
            self._asks[id(demand)] = ask
        return ask

    def _portion(self, node: Node, ask: _Ask, fitting: int) -> int:
        """How much of what would fit is taken in one turn: all of it by who is so far behind, else a step of its part.

        Shrinking steps lead everybody to equal shares in few turns.
        """
        most = fitting if self._most is None else min(fitting, self._most)
        one = ask.share
        if most <= 0 or one == 0:
            return most
        part = self._tree.part_of(node, most * one)
        if round(part / one) >= most:
            return most
        grain = _GRAIN * (self._tree.share(node) + part)
        return min(most, max(1, math.ceil(_STEP * part / one), int(grain / one)))

    def _find_capacity(self, demand: Demand, ask: _Ask, level: float) -> tuple[Floats, int]:
        """How many tasks each agent could take, and all of them; without a look where one that needs no more has found nothing
        already.
        """
        key = self._room.key(demand, level)
        known = self._hopeless.setdefault(key, [])
        if any(all(map(operator.ge, ask.amounts, least)) for least in known):
            return np.zeros(len(self._room.rows)), 0
        capacity = self._room.capacity(demand, ask.need, level)
        fitting = int(capacity.sum())
        if not fitting:
            known.append(ask.amounts)
        return capacity, fitting

    def _place(self, demand: Demand, ask: _Ask, places: Ints, counts: Ints, level: float) -> None:
        count = int(counts.sum())
        self._room.take(demand, ask.need, places, counts, level)
        self._limits.take(demand, count)
        self._tree.hold(demand.project, [amount * count for amount in ask.amounts])
        self._left[id(demand)] -= count
        self._most = None if self._most is None else self._most - count
        rows = self._room.rows[places]
        self._assignments.append(Assignment(demand=demand, views=self._cluster.agents, rows=rows, counts=counts))

    def _block(self, demand: Demand, need: Need, allowed: int, rank: Rank) -> None:
        """Nothing fits: whoever is entitled to it gets agents kept, or others ended."""
        self._blocked.append((demand, None))
        if demand.interactive:
            self._take_back(demand, need, allowed)
        if rank > Rank.ANY and self._tree.is_behind(demand.project, -self._policy.behind):
            self._keeper.claim(demand, need)

    def _take_back(self, demand: Demand, need: Need, count: int) -> None:
        """What room is made for counts under its quotas from now on: others would fill them, and it were made in vain."""
        promised = self._preemptor.count_promised(demand, need, count)
        self._limits.take(demand, promised)
        count -= promised
        if not self._preemptor.may_take(demand):
            return
        left = self._policy.most_preemptions - len(self._preemptor.chosen)
        if demand.waited_s < OFFER_S:  # what nobody uses will be offered, and need not be taken from anybody
            count -= int(self._count_idle(demand, need))
        self._limits.take(demand, self._preemptor.take_back(demand, need, count, left))

    def _count_idle(self, demand: Demand, need: Need) -> float:
        cluster = self._cluster
        rows = cluster.admitted(demand) & ~cluster.offered
        return float(np.maximum(count_fitting(cluster.available[:, rows], need, demand.count), 0).sum())

    def _explain(self) -> Iterable[Leftover]:
        blocked = [(demand, limit) for demand, limit in self._blocked if self._left[id(demand)] > 0]
        reasons = explain_all(self._cluster, [demand for demand, limit in blocked if limit is None])
        for demand, limit in blocked:
            yield Leftover(demand=demand, count=self._left[id(demand)], reason=limit or next(reasons))


def _asked_once(work: Work) -> Work:
    """The same, told from memory where somebody asks again."""
    known: dict[str, Sequence[Running]] = {}

    def find(agents: Collection[str]) -> Mapping[str, Sequence[Running]]:
        new = [agent for agent in agents if agent not in known]
        if new:
            known.update(dict.fromkeys(new, ()) | dict(work(new)))
        return {agent: known[agent] for agent in agents}

    return find


def _sum(columns: Columns, demands: Sequence[Demand], most: int | None) -> list[float]:
    """What is to be placed in this cycle, by column: of each demand as much as its limit lets start, in sum `most` tasks."""
    if not demands:
        return [0.0] * len(columns.names)
    counts = [demand.count if demand.limit is None else min(demand.count, demand.limit) for demand in demands]
    part = 1.0 if most is None else min(1.0, most / max(1, sum(counts)))
    each = columns.to_rows([demand.resources for demand in demands])
    return [part * float(amount) for amount in each @ np.array(counts, dtype=np.float64)]

"""Agents kept for tasks that find no room, so that a stream of smaller ones cannot starve them.

A kept agent takes other tasks as well where they end before there will be room for the one that it is kept for, by their
expected run time, or where they fit beside it (backfill: Lifka, "The ANL/IBM SP Scheduling System", JSSPP 1995). Several
agents are kept at once: which of them is empty first cannot be known, only that one of many soon is.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

import numpy as np

from swath.domain.resources import Resources
from swath.matching.cluster import Cluster, Need
from swath.matching.fairness import Tree
from swath.matching.model import Claim, Demand, Policy, Running, Work
from swath.matching.room import Lent, Rank, Room

_LOOKED_AT = 4  # times as many agents as may be kept: what runs there has to be asked for


class Keeper:
    """The claims of a cycle."""

    def __init__(self, room: Room, tree: Tree, work: Work, policy: Policy) -> None:
        self.claims: list[Claim] = []
        self._room = room
        self._cluster: Cluster = room.cluster
        self._tree = tree
        self._work = work
        self._policy = policy
        self._largest: list[float] = self._cluster.usable.max(axis=1, initial=0.0).tolist()
        self._parts: dict[Need, float] = {}  # see `_part_of`
        self._claimed: set[int] = set()  # rows
        self._earlier: dict[int, None] = {}  # rows that were claimed in the last cycle
        self._standing: list[Claim] = []  # of the last cycle, as far as they hold
        self._urgent: dict[
            int, set[str]
        ] = {}  # of these, those on which others may have been ended, and for which jobs
        self._told: set[tuple[int, str]] = set()  # rows and jobs for which they are kept urgently by this cycle's word
        self._most = min(policy.most_kept, max(1, int(policy.kept_share * len(self._cluster.agents))))

    def recall(self, claims: Iterable[Claim], demands: Sequence[Demand]) -> None:
        """The last cycle's claims hold from the beginning of this one, where their jobs still wait and are entitled to them."""
        waiting = {demand.job for demand in demands}
        to_need = self._cluster.columns.to_need
        there = [claim for claim in claims if self._may_come(claim, to_need(claim.resources))]
        entitled = {d.job for d in demands if self.rank_of(d, to_need(d.resources)) > Rank.ANY} if there else set()
        urgent = [claim for claim in there if claim.urgent and claim.job in waiting]
        promised = {claim.agent for claim in urgent}
        others = {claim.agent: claim for claim in there if not claim.urgent and claim.job in entitled}
        self._standing = [*urgent, *(claim for agent, claim in others.items() if agent not in promised)]
        running = self._work({claim.agent for claim in self._standing}) if self._standing else {}
        for claim in self._standing:
            row = self._cluster.row_of[claim.agent]
            self._earlier[row] = None
            if claim.urgent:
                self._urgent.setdefault(row, set()).add(claim.job)
            rank = Rank.URGENT if claim.urgent else Rank.ENTITLED
            self._keep(row, claim.job, rank, to_need(claim.resources), running.get(claim.agent, ()), anew=False)

    def _may_come(self, claim: Claim, need: Need) -> bool:
        """False for an agent that is gone, and for one that has room and is never offered: others may be, meanwhile."""
        row = self._cluster.row_of.get(claim.agent)
        return row is not None and (claim.urgent or not self._cluster.withheld_from(need)[row])

    def hold_on(self) -> None:
        """The cycle ends before everybody has had a turn: what was kept stays so."""
        told = {(claim.agent, claim.job) for claim in self.claims}
        kept_anew = {claim.agent for claim in self.claims if not claim.urgent}
        self.claims += [
            claim for claim in self._standing if (claim.agent, claim.job) not in told and claim.agent not in kept_anew
        ]

    def rank_of(self, demand: Demand, need: Need) -> Rank:
        """Whether agents are kept for the demand's tasks: those that might never find room, or whose projects are outrun."""
        if demand.interactive:
            return Rank.URGENT
        if self._tree.is_wronged(demand.project, self._policy.behind):
            return Rank.ENTITLED
        return Rank.ENTITLED if self._part_of(need) >= self._policy.large else Rank.ANY

    def level_of(self, rank: Rank, need: Need) -> float:
        """Whom the task goes before: those of lower rank, and within its own rank those that need less. What is kept for a
        whole agent's task is not for one of a quarter, though agents are kept for both.
        """
        return rank + min(1.0, self._part_of(need)) / 2

    def _part_of(self, need: Need) -> float:
        """What part of the largest agent a task takes of its scarcest resource."""
        part = self._parts.get(need)
        if part is None:
            largest = self._largest
            parts = (amount / largest[column] for column, amount in need if largest[column] > 0)
            part = self._parts[need] = max(parts, default=0.0)
        return part

    def claim(self, demand: Demand, need: Need) -> None:
        """Keep agents for a demand that found no room: those kept before, else those that will have room first.

        Of what may be kept the larger tasks have first call, whoever was looked at before: small ones find room more easily.
        """
        rank = self.rank_of(demand, need)
        yielding = self._find_yielding(demand.job, self.level_of(rank, need))
        left = self._most - len(self._claimed) + len(yielding)
        if left <= 0:
            return
        rows = self._find_able(demand, need, left, yielding)
        running = self._work([self._cluster.agents[row].id for row in rows]) if rows else {}
        starts = {row: self._look_ahead(row, need, running.get(self._cluster.agents[row].id, ()))[0] for row in rows}
        able = [row for row in rows if math.isfinite(starts[row])]
        for row in sorted(able, key=lambda row: (row not in self._earlier, starts[row], row))[:left]:
            self._give_up(row, yielding)
            self.keep_for(demand, need, row, running.get(self._cluster.agents[row].id, ()), rank)

    def _find_yielding(self, job: str, level: float) -> dict[int, Claim]:
        """The claims of this cycle, by row, that go back before one on `level`."""
        to_need = self._cluster.columns.to_need
        return {
            self._cluster.row_of[claim.agent]: claim
            for claim in self.claims
            if not claim.urgent and claim.job != job and self.level_of(Rank.ENTITLED, to_need(claim.resources)) < level
        }

    def _give_up(self, row: int, yielding: dict[int, Claim]) -> None:
        """Let go of the claim on the agent, else where as many are kept as may be, of one that yields."""
        if row not in yielding and len(self._claimed) < self._most:
            return
        given_up = row if row in yielding else next(iter(yielding))
        self.claims.remove(yielding.pop(given_up))
        self._claimed.discard(given_up)

    def keep_for(self, demand: Demand, need: Need, row: int, running: Sequence[Running], rank: Rank) -> None:
        """Keep one agent for the demand; once it is kept urgently for a job, it is so until the job has got it."""
        self._claimed.add(row)
        rank = Rank.URGENT if demand.job in self._urgent.get(row, ()) else rank
        agent, urgent = self._cluster.agents[row].id, rank is Rank.URGENT
        self.claims.append(Claim(agent=agent, job=demand.job, resources=demand.resources, urgent=urgent))
        self._keep(row, demand.job, rank, need, running, anew=(row, demand.job) not in self._told)
        self._told.add((row, demand.job))

    def is_for_another(self, row: int, job: str) -> bool:
        """True for an agent that is kept urgently for another job."""
        return bool(self._urgent.get(row, set()) - {job})

    def _keep(self, row: int, job: str, rank: Rank, need: Need, running: Sequence[Running], *, anew: bool) -> None:
        if rank is Rank.URGENT:
            start_s, there = 0.0, self._find_coming(row, running)
        else:  # were the wait for what is overdue taken for granted, others would fill it, over and over
            soonest = [replace(entry, ends_in_s=0.0) if entry.overdue else entry for entry in running]
            start_s, there = self._look_ahead(row, need, soonest)
        level = self.level_of(rank, need)
        self._room.keep(row, job, need, level=level, for_s=start_s, there=there, anew=anew)

    def _find_coming(self, row: int, running: Sequence[Running]) -> list[float]:
        """What is free and what is ending for certain. What is only expected to end is not counted on: whoever began there in
        its place would be the next victim.
        """
        free = self._room.free_at(row)
        for entry in running:
            if entry.ending:
                for column, amount in self._cluster.columns.to_need(entry.resources):
                    free[column] += amount
        return free

    def _find_able(self, demand: Demand, need: Need, count: int, yielding: Collection[int]) -> list[int]:
        """The agents that are large enough and open to the demand, those first that lack the least."""
        cluster = self._cluster
        able = cluster.suited(demand, need) & ~cluster.withheld_from(need)
        able[[row for row in self._claimed if row not in yielding]] = False
        able[self._find_kept_above(demand, need)] = False
        able[[row for row in self._urgent if self.is_for_another(row, demand.job)]] = False
        rows = np.flatnonzero(able)
        near = rows[np.argsort(cluster.lacking(need)[rows], kind="stable")[: _LOOKED_AT * count]].tolist()
        return [*(row for row in self._earlier if able[row]), *(row for row in near if row not in self._earlier)]

    def _find_kept_above(self, demand: Demand, need: Need) -> list[int]:
        """The agents that were kept for larger tasks of others, which may still come to claim them."""
        level, to_need = self.level_of(self.rank_of(demand, need), need), self._cluster.columns.to_need
        return [
            self._cluster.row_of[claim.agent]
            for claim in self._standing
            if claim.job != demand.job and self.level_of(Rank.ENTITLED, to_need(claim.resources)) > level
        ]

    def _look_ahead(self, row: int, need: Need, running: Sequence[Running]) -> tuple[float, list[float]]:
        """In how many seconds `need` will be free, infinite where it never will be, and all that is free by then."""
        free, at_s = self._room.free_at(row), 0.0
        to_need = self._cluster.columns.to_need
        ends: list[tuple[float, Resources | Lent]] = [(entry.ends_in_s, entry.resources) for entry in running]
        ends += self._room.loans_on(row)
        ends.sort(key=operator.itemgetter(0))
        for ends_in_s, amounts in ends:
            if _covers(free, need):
                break
            at_s = ends_in_s
            for column, amount in to_need(amounts) if isinstance(amounts, Resources) else amounts:
                free[column] += amount
        return at_s if _covers(free, need) else math.inf, free


def _covers(free: Sequence[float], need: Need) -> bool:
    return all(free[column] >= amount for column, amount in need)

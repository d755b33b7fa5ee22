"""Whose resources are taken back: for interactive work at once, for a project below its fair share after a while.

The victims are the least important and youngest attempts of preemptible jobs, as few as will do, on the agent where that
costs least.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from swath.domain.constraints import SPREADING
from swath.matching.cluster import Need, mask_key
from swath.matching.fairness import Tree
from swath.matching.keeping import Keeper
from swath.matching.model import Claim, Demand, Policy, Preemption, Running, Work
from swath.matching.room import Rank, Room

_LOOKED_AT = 256  # agents at a time: what runs there has to be asked for
_MOST_LOOKED_AT = 10_000  # in one cycle; after that each demand has one look
_ROUNDS = 8  # in each of which an agent makes room for one task

Permit = Callable[[Running, Sequence[Running]], bool]  # whether an attempt may be ended beside others


class Preemptor:
    """Chooses the victims of a cycle."""

    def __init__(
        self, room: Room, tree: Tree, keeper: Keeper, work: Work, policy: Policy, earlier: Iterable[Claim]
    ) -> None:
        self.chosen: list[Preemption] = []
        self._room = room
        self._cluster = room.cluster
        self._tree = tree
        self._keeper = keeper
        self._work = work
        self._policy = policy
        self._promised: dict[str, Counter[str]] = {}  # job -> agents that are kept for so many of its tasks
        for claim in earlier:
            if claim.urgent and claim.agent in self._cluster.row_of:
                self._promised.setdefault(claim.job, Counter())[claim.agent] += 1
        self._soon: dict[int, list[float]] = {}  # row -> what is free there once everything that is ending has ended
        self._doomed: set[str] = set()
        self._looks = _MOST_LOOKED_AT
        self._in_vain: dict[object, list[Need]] = {}  # needs for which nobody could be found, by who may use what

    def take_back(self, demand: Demand, need: Need, count: int, most: int) -> int:
        """Make room for `count` tasks that found none, by at most `most` victims: for how many it is made."""
        permit, made = self._find_permit(demand), 0
        if permit is None or not need:
            return 0
        for _ in range(_ROUNDS):
            if made >= count or most <= 0 or not self.may_take(demand):
                break
            chosen = [] if self._is_in_vain(demand, need) else self._choose(demand, need, permit, count - made)
            for row, victims in chosen:
                permitted = all(permit(victim, victims[:place]) for place, victim in enumerate(victims))
                if len(victims) > most or not permitted or not self.may_take(demand):
                    continue
                if self._is_in_the_way(demand, need, row):
                    continue
                most -= len(victims)
                made += 1
                self._end(demand, need, row, victims)
            if not chosen:
                self._in_vain.setdefault((demand.interactive, mask_key(demand)), []).append(need)
                break
        return made

    def _is_in_vain(self, demand: Demand, need: Need) -> bool:
        """True where one that needs no more has found nobody already."""
        amounts = dict(need)
        known = self._in_vain.get((demand.interactive, mask_key(demand)), ())
        return any(all(amounts.get(column, 0) >= least for column, least in one) for one in known)

    def _is_in_the_way(self, demand: Demand, need: Need, row: int) -> bool:
        """True where a task of the same job that was chosen just now keeps this one from the agent."""
        counts = any(rule.operator in SPREADING for rule in demand.constraints)
        return counts and not self._cluster.suited(demand, need)[row]

    def may_take(self, demand: Demand) -> bool:
        """True for a demand that somebody's resources may be taken back for."""
        return self._find_permit(demand) is not None

    def _find_permit(self, demand: Demand) -> Permit | None:
        """Which attempts may be ended for the demand; None when it may take nothing back."""
        policy = self._policy
        if demand.interactive:
            return (lambda victim, others: _may_be_ended(victim)) if policy.preempt else None
        starved = demand.waited_s >= policy.share_patience_s and self._tree.is_behind(
            demand.project, policy.share_margin
        )
        if not (policy.preempt_for_share and policy.fair and starved):
            return None
        return lambda victim, others: _may_be_ended(victim) and self._is_above_share_without(victim, others)

    def _is_above_share_without(self, victim: Running, others: Sequence[Running]) -> bool:
        """True when the victim's project keeps its fair share though it loses `others` of its own as well, but for the margin
        that is nobody's wrong.
        """
        to_tuple = self._cluster.columns.to_tuple
        amounts = [to_tuple(one.resources) for one in (victim, *others) if one.project == victim.project]
        lost = [sum(column) for column in zip(*amounts, strict=True)]
        left = self._tree.standing(self._tree.leaf(victim.project), without=lost)
        return left >= self._tree.due(victim.project) * (1 - self._policy.share_margin)

    def is_promised(self, job: str) -> bool:
        """True for a job for which others were ended in earlier cycles."""
        return job in self._promised

    def count_promised(self, demand: Demand, need: Need, count: int) -> int:
        """How many of the tasks get what earlier victims are about to leave, or have left, on agents kept for their job.

        That holds until it is offered, and in cycles in which nothing more may be taken back: else those that were ended
        would begin anew there first, to be ended again.
        """
        mine = self._promised.get(demand.job, Counter())
        running = self._work(mine.keys()) if mine else {}
        admitted = self._cluster.admitted(demand) if mine else ()
        promised = 0
        for agent in list(mine):
            row = self._cluster.row_of[agent]
            attempts = running.get(agent, ())
            soon = self._free_soon(row, attempts)
            coming = self._cluster.agents[row].freed_lately or any(entry.ending for entry in attempts)
            while coming and admitted[row] and mine[agent] and promised < count and _covers(soon, need):
                self._keeper.keep_for(demand, need, row, attempts, Rank.URGENT)
                self._note(demand, row)
                self._tree.hold(demand.project, self._cluster.columns.to_tuple(demand.resources))
                _take(soon, need)
                mine[agent] -= 1
                promised += 1
        return promised

    def _free_soon(self, row: int, attempts: Sequence[Running]) -> list[float]:
        if row not in self._soon:
            to_tuple = self._cluster.columns.to_tuple
            for entry in attempts:
                if entry.ending:
                    self._tree.hold(entry.project, [-amount for amount in to_tuple(entry.resources)])
            ending = [to_tuple(entry.resources) for entry in attempts if entry.ending]
            self._soon[row] = [free + sum(more) for free, *more in zip(self._room.free_at(row), *ending, strict=True)]
        return self._soon[row]

    def _choose(self, demand: Demand, need: Need, permit: Permit, count: int) -> list[tuple[int, list[Running]]]:
        """(row, victims) of the cheapest agents, one task on each."""
        rows = self._find_able(demand, need)
        found: list[tuple[tuple[int, float], int, list[Running]]] = []
        for first in range(0, len(rows), _LOOKED_AT):
            found += self._look_at(rows[first : first + _LOOKED_AT], demand, need, permit)
            self._looks -= _LOOKED_AT
            if len(found) >= count or self._looks <= 0:
                break
        found.sort(key=lambda entry: (entry[0], entry[1]))
        return [(row, victims) for _, row, victims in found[:count]]

    def _look_at(
        self, rows: Sequence[int], demand: Demand, need: Need, permit: Permit
    ) -> Iterator[tuple[tuple[int, float], int, list[Running]]]:
        """(cost, row, victims) of those of the agents on which one task can have room made for it.

        Where enough is ending already nobody need be ended: a new leader does not know for whom the one before it has asked.
        """
        running = self._work([self._cluster.agents[row].id for row in rows])
        for row in rows:
            attempts = running.get(self._cluster.agents[row].id, ())
            victims = self._find_victims(row, need, attempts, permit)
            comes = any(entry.ending for entry in attempts) and not self._keeper.is_for_another(row, demand.job)
            if victims or (victims is not None and comes):
                yield _cost(victims), row, victims

    def _find_able(self, demand: Demand, need: Need) -> list[int]:
        """The agents that suit the demand and may start something now, those first with most room."""
        rows = np.flatnonzero(self._cluster.suited(demand, need) & (self._cluster.starts > 0))
        in_order = rows[np.argsort(self._cluster.lacking(need)[rows], kind="stable")]
        return [int(row) for row in in_order]

    def _find_victims(self, row: int, need: Need, attempts: Sequence[Running], permit: Permit) -> list[Running] | None:
        """As few attempts as make room for one task; None where there are not enough."""
        free = list(self._free_soon(row, attempts))
        victims: list[Running] = []
        for attempt in sorted(attempts, key=_worth):
            if _covers(free, need):
                break
            if attempt.attempt not in self._doomed and permit(attempt, victims):
                victims.append(attempt)
                _give(free, self._cluster.columns.to_tuple(attempt.resources))
        if not _covers(free, need):
            return None
        for attempt in list(victims):  # the least important ones may turn out not to be needed beside a larger one
            amounts = self._cluster.columns.to_tuple(attempt.resources)
            if all(free[column] - amounts[column] >= amount for column, amount in need):
                victims.remove(attempt)
                _give(free, [-amount for amount in amounts])
        return victims

    def _end(self, demand: Demand, need: Need, row: int, victims: Sequence[Running]) -> None:
        agent = self._cluster.agents[row].id
        soon = self._soon[row]
        for victim in victims:
            amounts = self._cluster.columns.to_tuple(victim.resources)
            self._doomed.add(victim.attempt)
            self._tree.hold(victim.project, [-amount for amount in amounts])
            _give(soon, amounts)
            self.chosen.append(
                Preemption(attempt=victim.attempt, agent=agent, demand=demand, for_share=not demand.interactive)
            )
        _take(soon, need)
        self._tree.hold(demand.project, self._cluster.columns.to_tuple(demand.resources))
        self._keeper.keep_for(demand, need, row, self._running_soon(agent), Rank.URGENT)
        self._note(demand, row)

    def _running_soon(self, agent: str) -> list[Running]:
        """What runs on the agent, where those that are to go count as gone."""
        attempts = self._work([agent]).get(agent, ())
        return [replace(one, ends_in_s=0.0, ending=True) if one.attempt in self._doomed else one for one in attempts]

    def _note(self, demand: Demand, row: int) -> None:
        """A task of the demand is to come to the agent: of constraints that count the job's tasks it is one."""
        self._cluster.attributes.note(demand, np.ones(1, dtype=np.int64), np.array([row]))


def _may_be_ended(victim: Running) -> bool:
    return victim.preemptible and not victim.ending


def _worth(attempt: Running) -> tuple[int, float, str]:
    """The least important first, and of those the youngest."""
    return attempt.priority, attempt.age_s, attempt.attempt


def _cost(victims: Sequence[Running]) -> tuple[int, float]:
    """What is lost: importance first, then the work done so far in cpu-seconds."""
    return max((victim.priority for victim in victims), default=-1), sum(
        victim.age_s * victim.resources.cpus for victim in victims
    )


def _covers(free: Sequence[float], need: Need) -> bool:
    return all(free[column] >= amount for column, amount in need)


def _give(free: list[float], amounts: Sequence[float]) -> None:
    for column, amount in enumerate(amounts):
        free[column] += amount


def _take(free: list[float], need: Need) -> None:
    for column, amount in need:
        free[column] -= amount

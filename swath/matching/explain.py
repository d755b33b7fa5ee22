"""Say why a demand waits, from what the agents have and what is free on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from swath.domain.constraints import SPREADING, Constraint
from swath.matching.cluster import Bools, Cluster, Columns, Floats, Ints, Need, mask_key
from swath.matching.model import AgentView, Demand
from swath.matching.reasons import (
    AgentsShut,
    Blocker,
    ImageCools,
    NoAgents,
    NoSuchAgent,
    Reason,
    TasksApart,
    TooLarge,
    WaitingForOffers,
    WaitingForResources,
    WindowNear,
    to_amount,
    to_span,
)


def explain_one(agents: Sequence[AgentView], demand: Demand) -> Reason:
    """Why `demand` waits on `agents`; for one question. Many are asked of one `Cluster`."""
    return explain(Cluster(agents, Columns([demand.resources])), demand)


def explain_all(cluster: Cluster, demands: Iterable[Demand]) -> Iterator[Reason]:
    """The reason of each; those that ask for the same of the same agents have the same one."""
    known: dict[object, Reason] = {}
    meeting: dict[tuple[Constraint, ...], _Meeting] = {}
    closes = bool(np.isfinite(cluster.closes_in_s).any())
    for demand in demands:
        timely = demand.expected_s if closes else 0.0
        key = (
            mask_key(demand),
            cluster.columns.to_tuple(demand.resources),
            timely,
            demand.job if _counting(demand) else "",
        )
        if key not in known:
            if demand.constraints not in meeting:
                meeting[demand.constraints] = _Meeting(cluster, demand.constraints)
            known[key] = _explain(cluster, demand, meeting[demand.constraints])
        yield known[key]


def explain(cluster: Cluster, demand: Demand) -> Reason:
    """The reason why (some of) the demand's tasks wait, in one sentence; limits and quotas are the caller's to tell."""
    return _explain(cluster, demand, _Meeting(cluster, demand.constraints))


class _Meeting:
    """The agents that meet some constraints."""

    def __init__(self, cluster: Cluster, constraints: tuple[Constraint, ...]) -> None:
        self.rows = cluster.attributes.admitted(constraints)
        self.count = int(self.rows.sum())
        self._available = cluster.available
        self._largest: dict[int, int] = {}  # by column

    def largest_free(self, column: int) -> int:
        """The largest amount that is free on one of them."""
        if column not in self._largest:
            self._largest[column] = _largest(self._available[column], self.rows)
        return self._largest[column]


def _explain(cluster: Cluster, demand: Demand, meeting: _Meeting) -> Reason:
    if not cluster.agents:
        return NoAgents()
    if not meeting.count:
        return NoSuchAgent(constraint=_find_unmet(cluster, demand), agents=len(cluster.agents))
    return _compare(cluster, demand, meeting)


def _find_unmet(cluster: Cluster, demand: Demand) -> Constraint:
    """The first of the constraints that no agent meets together with those before it."""
    rules = demand.constraints
    return next(
        rule for end, rule in enumerate(rules, 1) if rule.hard and not cluster.attributes.admitted(rules[:end]).any()
    )


def _compare(cluster: Cluster, demand: Demand, meeting: _Meeting) -> Reason:
    """The reason among agents that meet the constraints (at least one)."""
    rows = meeting.rows
    need = cluster.columns.to_need(demand.resources)
    largest = cluster.largest_row
    is_small = rows[largest] and all(cluster.usable[column, largest] >= amount for column, amount in need)
    if not is_small and not (rows & _holds(cluster.usable, need)).any():
        return _explain_size(cluster, need, rows)
    most = [meeting.largest_free(column) for column, _ in need]
    names = cluster.columns.names
    short = tuple((names[column], free) for (column, amount), free in zip(need, most, strict=True) if amount > free)
    fitting = None if short else rows & _holds(cluster.available, need)
    if fitting is not None and fitting.any():
        return _explain_idle(cluster, demand, np.flatnonzero(fitting))
    return WaitingForResources(agents=meeting.count, short=short)


def _explain_size(cluster: Cluster, need: Need, rows: Bools) -> TooLarge:
    """What no agent is large enough for."""
    names = cluster.columns.names
    wanted = tuple((names[column], amount) for column, amount in need)
    for column, amount in need:
        largest = _largest(cluster.usable[column], rows)
        if amount > largest:
            return TooLarge(resource=names[column], need=wanted, largest=largest, agents=int(rows.sum()))
    return TooLarge(resource=None, need=wanted, largest=0, agents=int(rows.sum()))


def _largest(amounts: Floats, rows: Bools) -> int:
    return int((amounts * rows).max(initial=0.0))  # `where=` takes ten times as long


def _explain_idle(cluster: Cluster, demand: Demand, fitting: Ints) -> Reason:
    """Why nothing starts on agents that have room (at least one)."""
    is_open = cluster.open_to(demand)[fitting]
    avoided = _avoided(cluster, demand)[fitting] & is_open
    is_open &= ~avoided
    closes_in_s = cluster.closes_in_s[fitting]
    in_time = closes_in_s > demand.expected_s
    if (usable := fitting[is_open & in_time]).size:
        return _explain_usable(cluster, demand, usable)
    if (closing := int((is_open & ~in_time).sum())) > 0:
        latest = float(closes_in_s[is_open & ~in_time].max())
        return WindowNear(agents=closing, expected_s=demand.expected_s, closes_in_s=latest)
    if avoided.all():
        return ImageCools(agents=len(fitting))
    fitting = fitting[~avoided]
    counts = {why: int(rows[fitting].sum()) for why, rows in sorted(cluster.shut.items())}
    return AgentsShut(agents=len(fitting), why=max(counts, key=lambda why: counts[why]))


def _explain_usable(cluster: Cluster, demand: Demand, usable: Ints) -> Reason:
    """Why nothing starts on agents that would take a task of the demand (at least one)."""
    left = np.zeros(len(cluster.agents), dtype=np.bool_)
    left[usable] = True
    for rule in _counting(demand):
        left &= ~cluster.attributes.full(demand, rule, left)
        if not left.any():
            return TasksApart(constraint=rule, agents=len(usable))
    return WaitingForOffers(agents=int(left.sum()))


def _counting(demand: Demand) -> list[Constraint]:
    return [rule for rule in demand.constraints if rule.hard and rule.operator in SPREADING]


def _avoided(cluster: Cluster, demand: Demand) -> Bools:
    """The agents that the demand must not use for now."""
    rows = np.zeros(len(cluster.agents), dtype=np.bool_)
    rows[cluster.rows_of(demand.avoid)] = True
    return rows


def break_down(cluster: Cluster, demand: Demand) -> list[Blocker]:
    """Why each agent does not take a task of the demand, agents with the same reason counted together, most first."""
    need = cluster.columns.to_need(demand.resources)
    left = np.ones(len(cluster.agents), dtype=np.bool_)
    found: list[Blocker] = []

    def note(blocked: Bools, words: str) -> None:
        count = int((left & blocked).sum())
        if count:
            found.append(Blocker(agents=count, words=words))
        left[blocked] = False

    for rule in demand.constraints:
        if rule.hard:
            note(~cluster.attributes.meets(rule), f"do not meet {rule}")
    for column, amount in need:
        name = cluster.columns.names[column]
        short = cluster.usable[column] < amount
        most = int(cluster.usable[column][left & short].max(initial=0))
        note(short, f"too small (largest has {to_amount(name, most)}, needs {to_amount(name, amount)})")
    for why, shut in sorted(cluster.shut.items()):
        note(shut & ~cluster.open_to(demand), f"not used for now because {why}")
    note(_avoided(cluster, demand), "cooling down: this image keeps failing there")
    for rule in _counting(demand):
        note(cluster.attributes.full(demand, rule, left), f"take no more of its tasks by {rule}")
    note(cluster.closes_in_s <= demand.expected_s, f"in maintenance before a task ends ({to_span(demand.expected_s)})")
    _note_shortages(cluster, need, left, note)
    note(cluster.starts <= 0, "busy starting as many tasks as may start at once")
    note(~cluster.offered, "have room, and are about to be offered")
    note(left.copy(), "have room")
    return sorted(found, key=lambda blocker: -blocker.agents)


def _note_shortages(cluster: Cluster, need: Need, left: Bools, note: object) -> None:
    """Agents that are busy, by what they lack most."""
    if not need:
        return
    lack = np.array([(amount - np.maximum(cluster.available[column], 0)) / amount for column, amount in need])
    worst = lack.argmax(axis=0)
    short = lack.max(axis=0) > 0
    for place, (column, amount) in enumerate(need):
        rows = short & (worst == place)
        name = cluster.columns.names[column]
        most = int(np.maximum(cluster.available[column], 0)[left & rows].max(initial=0))
        assert callable(note)  # noqa: S101 (for the type checker)
        note(rows, f"not enough {name} (largest free {to_amount(name, most)}, needs {to_amount(name, amount)})")


def _holds(amounts: Floats, need: Need) -> Bools:
    """Which agents' amounts hold one task."""
    rows = np.ones(amounts.shape[1], dtype=np.bool_)
    for column, amount in need:
        rows &= amounts[column] >= amount
    return rows

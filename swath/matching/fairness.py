"""Who is served next: hierarchical dominant-resource fairness over the projects, within a project priority and then age.

A project's dominant share is the largest part that it and those below it hold of any resource of the cluster (Ghodsi et al.,
"Dominant Resource Fairness", NSDI 2011). On every level of the tree the child goes first whose share, with a part of its
recent past added and divided by its weight, is the smallest.
"""

from __future__ import annotations

import operator
from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from swath.domain.projects import find_project
from swath.domain.resources import Resources
from swath.matching.model import Demand, Policy, Tenants

ROOT = ""

ToAmounts = Callable[[Resources], Sequence[float]]

_by_charge = operator.attrgetter("charge", "name")


@dataclass(slots=True, eq=False)
class Node:
    """A project of the tree, or the root."""

    name: str
    weight: float = 1.0
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)  # those in which somebody waits, by charge
    queued: bool = False  # it is among its parent's
    held: list[float] = field(default_factory=list)  # by column, with what is held below
    past: float = 0.0
    charge: float = 0.0  # the dominant share and its past, divided by the weight
    waiting: list[Demand] = field(default_factory=list)  # of its own, the last one first to be served


class Tree:
    """The projects in which somebody waits or holds something."""

    def __init__(
        self, tenants: Tenants, total: Sequence[float], to_amounts: ToAmounts, demands: Iterable[Demand], policy: Policy
    ) -> None:
        """`total` is the cluster's, by column; `demands` are all that will be enqueued."""
        self._there = [(column, amount) for column, amount in enumerate(total) if amount > 0]
        self._policy = policy
        self._projects = tenants.projects
        self._parents = {project.parent for project in tenants.projects.values()}
        self._width = len(total)
        self.root = Node(name=ROOT, held=[0.0] * self._width)
        self._nodes = {ROOT: self.root}
        for name, past in tenants.past.items():
            for node in _way_up(self.leaf(name)):
                node.past += past
        for (project, _), held in tenants.held.items():
            self.hold(project, to_amounts(held.resources))
        self._due = self._share_out({self.leaf(demand.project).name for demand in demands})
        above = (name for name, due in self._due.items() if name != ROOT and self.standing(self._nodes[name]) > due)
        self._is_any_above = any(above)

    def enqueue(self, demands: Iterable[Demand]) -> None:
        """These wait to be served."""
        queues: dict[str, list[Demand]] = {}
        for demand in demands:
            queues.setdefault(demand.project if self._policy.fair else ROOT, []).append(demand)
        for name, queue in sorted(queues.items()):
            node = self.leaf(name)
            node.waiting = sorted(queue, key=_order, reverse=True)
            self._activate(node)

    def hold(self, project: str, amounts: Sequence[float]) -> None:
        """The project holds so much more."""
        for node in _way_up(self.leaf(project)):
            node.held = [held + more for held, more in zip(node.held, amounts, strict=True)]
            self._weigh(node)

    def next_leaf(self) -> Node | None:
        """Whose turn it is: the one with the smallest charge on every level. None when nobody waits."""
        node = self.root
        while not node.waiting:
            if not node.children:
                return None
            node = node.children[0]
        return node

    def part_of(self, node: Node, share: float) -> float:
        """What the node gets of a `share` of the cluster that is poured out over all who wait, so that the smallest charges
        rise together.
        """
        if node.parent is None:
            return share
        share = self.part_of(node.parent, share)
        level = _find_level(node.parent.children, share)
        return min(share, node.weight * (level - node.charge))

    def drop(self, node: Node) -> None:
        """The first of the node's demands cannot be served any further."""
        node.waiting.pop()
        while not node.waiting and not node.children and node.parent is not None:
            _dequeue(node)
            node = node.parent

    def share(self, node: Node) -> float:
        """The node's dominant share, 0 to 1."""
        return self.share_of(node.held)

    def standing(self, node: Node, without: Sequence[float] | None = None) -> float:
        """The share with its part of the past, as the order counts it, on the scale of shares: all of them add up to what is
        held. `without` is what the node is to give back.
        """
        share = self.share(node) - (0.0 if without is None else self.share_of(without))
        weight, whole = self._policy.past_weight, self.share(self.root)
        counted = whole + weight * self.root.past
        return (share + weight * node.past) * whole / counted if counted > 0 else share

    def share_of(self, amounts: Sequence[float]) -> float:
        """The largest part that the amounts are of any resource of the cluster."""
        return max([amounts[column] / total for column, total in self._there], default=0.0)

    def is_behind(self, project: str, margin: float) -> bool:
        """True for a project that lacks more than `margin` of its fair share."""
        return self.standing(self.leaf(project)) < self.due(project) * (1 - margin)

    def is_wronged(self, project: str, margin: float) -> bool:
        """True for a project that is behind while another one holds more than its share."""
        return self._is_any_above and self.is_behind(project, margin)

    def due(self, project: str) -> float:
        """What part of the cluster is the project's by its weight, among those that hold something or wait for it."""
        return self._due.get(self.leaf(project).name, 0.0)

    def _share_out(self, wanting: Collection[str]) -> dict[str, float]:
        """The fair share of everybody who is in the running, from the root down."""
        running = {
            id(node)
            for name, leaf in self._nodes.items()
            if name in wanting or any(leaf.held)
            for node in _way_up(leaf)
        }
        children: dict[str, list[Node]] = {}
        for node in self._nodes.values():
            if node.parent is not None and id(node) in running:
                children.setdefault(node.parent.name, []).append(node)
        due, level = {ROOT: 1.0}, [ROOT]
        while level:
            rivals = [(due[name], children.get(name, [])) for name in level]
            for part, nodes in rivals:
                weights = sum(node.weight for node in nodes)
                due |= {node.name: part * node.weight / weights for node in nodes}
            level = [node.name for _, nodes in rivals for node in nodes]
        return due

    def leaf(self, name: str) -> Node:
        """Where the project's own tasks stand: of a project with others below it a child of its own, with weight 1."""
        node = self._find(name)
        if name not in self._parents:
            return node
        own = f"{name} itself"
        return self._nodes.setdefault(own, Node(name=own, parent=node, held=[0.0] * self._width))

    def _find(self, name: str) -> Node:
        """The node of a project, made with those above it where it is new."""
        if name not in self._nodes:
            project = find_project(self._projects, name)
            parent = self.root if project.parent is None else self._find(project.parent)
            self._nodes[name] = Node(name=name, weight=project.weight, parent=parent, held=[0.0] * self._width)
        return self._nodes[name]

    def _activate(self, node: Node) -> None:
        self._weigh(node)
        while node.parent is not None and not node.queued:
            _enqueue(node)
            node = node.parent
            self._weigh(node)

    def _weigh(self, node: Node) -> None:
        queued = node.queued
        _dequeue(node)
        node.charge = (self.share(node) + self._policy.past_weight * node.past) / node.weight
        if queued:
            _enqueue(node)


def _enqueue(node: Node) -> None:
    """Put the node among its parent's children."""
    if node.parent is not None:
        insort(node.parent.children, node, key=_by_charge)
        node.queued = True


def _dequeue(node: Node) -> None:
    """Take it out again, if it is there."""
    if node.parent is not None and node.queued:
        del node.parent.children[bisect_left(node.parent.children, _by_charge(node), key=_by_charge)]
        node.queued = False


def _way_up(node: Node) -> Iterator[Node]:
    at: Node | None = node
    while at is not None:
        yield at
        at = at.parent


def _find_level(nodes: Sequence[Node], share: float) -> float:
    """The charge to which a `share` that is poured out over the nodes lifts those that it reaches; they come by charge."""
    weight = poured = 0.0
    for node in nodes:
        if weight * node.charge - poured > share:
            break
        weight += node.weight
        poured += node.weight * node.charge
    return (share + poured) / weight


def _order(demand: Demand) -> tuple[int, float, str, int, int]:
    """Larger tasks of equal rank go first: small ones find room between them."""
    resources = demand.resources
    return -demand.priority, demand.since.timestamp(), demand.job, -resources.mem, -resources.cpus_m

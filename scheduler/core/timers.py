"""When to look again: one heap for everything that has a time."""

from __future__ import annotations

import heapq
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """What a timer is for; its key says of which job, task or attempt."""

    LAUNCH = "launch"  # no update of a launched attempt yet
    WORK = "work"  # what was handed over to a slot was not taken yet
    DOUBT = "doubt"  # an attempt has been unreachable, or unknown, for long
    OVERDUE = "overdue"  # an attempt takes longer than its executor may let it
    KILL = "kill"  # a kill may have been lost
    RETURNED = "returned"  # the same, of a task whose attempt was replaced
    REST = "rest"  # an agent has rested long enough
    COOL = "cool"  # the same for one image on an agent
    RETRY = "retry"  # a task waits to be tried again
    NOT_BEFORE = "not_before"
    DEADLINE = "deadline"
    EXPLICIT = "explicit"  # the next batch of the explicit reconciliation
    PERIODIC = "periodic"  # the implicit reconciliation
    PLACE = "place"  # offers were left for this turn
    LOOK = "look"  # somebody waits who may take resources back
    REVIVE = "revive"  # the next REVIVE is allowed
    WHY = "why"  # the reasons of waiting jobs
    AGENTS = "agents"  # list the agents
    MISSED = "missed"  # an agent has gone for good
    OPERATE = "operate"  # ask Mesos again for what an operator wants of an agent
    LEAVE = "leave"  # a TEARDOWN may have been lost
    PREFETCH = "prefetch"  # images may be worth pulling ahead
    FILTERS = "filters"  # the master may offer more than anybody needs


Key = tuple[str, int]  # (id of a job, an attempt, a slot or an agent, index of a task or id of an image)
NO_KEY: Key = ("", 0)

_SLACK = (
    64  # entries of the heap; what is cleared or replaced stays in it until it is due, or until it outweighs the rest
)


class Timers:
    """One time for each (kind, key); setting it again replaces it."""

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, Kind, Key]] = []
        self._at: dict[tuple[Kind, Key], datetime] = {}

    def set(self, kind: Kind, at: datetime, key: Key = NO_KEY) -> None:
        """Be told of (kind, key) at `at`, and at no other time."""
        self._at[(kind, key)] = at
        heapq.heappush(self._heap, (at, kind, key))
        if len(self._heap) > 2 * len(self._at) + _SLACK:
            self._heap = [(known, *name) for name, known in self._at.items()]
            heapq.heapify(self._heap)

    def clear(self, kind: Kind, key: Key = NO_KEY) -> None:
        """Do not be told."""
        self._at.pop((kind, key), None)

    def find(self, kind: Kind, key: Key = NO_KEY) -> datetime | None:
        """The time that is set."""
        return self._at.get((kind, key))

    def __len__(self) -> int:
        """Entries in memory, those among them that will not be told."""
        return len(self._heap)

    @property
    def next_at(self) -> datetime | None:
        """The earliest time that is set."""
        while self._heap and self._at.get(self._heap[0][1:]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take_due(self, now: datetime, most: int) -> list[tuple[Kind, Key]]:
        """What is due, in order, at most `most` of it; each is told once."""
        due: list[tuple[Kind, Key]] = []
        while len(due) < most and (at := self.next_at) is not None and at <= now:
            _, kind, key = heapq.heappop(self._heap)
            del self._at[(kind, key)]
            due.append((kind, key))
        return due

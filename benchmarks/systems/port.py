"""What the benchmark asks of a system."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


class AbsentError(Exception):
    """The system cannot be had on this machine; the text says why, and what to do about it."""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How far a system came with what it was given."""

    tasks: int  # given
    ended: int  # of them, within the time
    seconds: float  # from the submission to the last end that was seen

    @property
    def per_s(self) -> float:
        """Tasks a second, the submission included."""
        return self.ended / self.seconds if self.seconds else 0.0


class Running(Protocol):
    """A system that has its slots and waits for tasks."""

    def run(self, command: Sequence[str], tasks: int, budget_s: float) -> Ran:
        """Run `command` so often, one task a slot; what has not ended after `budget_s` is cancelled."""


Start = Callable[[int], AbstractContextManager[Running]]  # given the number of slots; raises AbsentError


def watch(tasks: int, count_left: Callable[[], int], budget_s: float, every_s: float, began: float) -> Ran:
    """Look every so often how many tasks have not ended, until none is left or the time is over.

    `began` is when they were submitted, by time.perf_counter().
    """
    while True:
        left, seconds = count_left(), time.perf_counter() - began
        if not left or seconds > budget_s:
            return Ran(tasks=tasks, ended=tasks - left, seconds=seconds)
        time.sleep(every_s)

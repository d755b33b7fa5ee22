"""Removes archived logs that are too old, or too many. Every executor of a site looks now and then; one at a time, and at most
one an hour, for all of them."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

log = logging.getLogger(__name__)

LOCK = ".swept"  # in the archive's root: changed by whoever sweeps
EVERY_S = 3600.0
_HOUR_S = 3600
_DAY_S = 24 * 3600
_YOUNG_H = 1  # hours: what is that young may still be written, and stays whatever its size


@dataclass(frozen=True, kw_only=True, slots=True)
class Keeping:
    """How long logs stay."""

    days: float = 90.0
    size: int = 100 * 2**30  # bytes of all of them


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """One attempt's logs."""

    names: Sequence[str]  # as its shelf knows them
    age_s: float  # since they were last written
    size: int  # bytes


class Shelf(Protocol):
    """Where logs are kept."""

    def claimed(self, now: float) -> AbstractContextManager[bool]:
        """Whether it is time to sweep, and nobody else does."""

    def walk(self, now: float) -> Iterator[Kept]:
        """All that is there; nothing of it is held in memory, for there may be millions."""

    def remove(self, names: Sequence[str]) -> bool:
        """Remove one attempt's; True when they are gone."""


def start_sweeper(shelf: Shelf, keeping: Keeping) -> None:
    """Sweep from time to time, on a thread that a hanging storage may hold up."""

    def run() -> None:
        while True:
            try:
                sweep(shelf, keeping, time.time())
            except Exception as error:  # whatever a storage may do
                log.warning("old logs cannot be removed: %s", error)
            time.sleep(EVERY_S)

    threading.Thread(target=run, name="sweep", daemon=True).start()


def sweep(shelf: Shelf, keeping: Keeping, now: float) -> int:
    """Remove what is too old, then the oldest of what is too much; of how many attempts. 0 where it is somebody else's turn."""
    with shelf.claimed(now) as mine:
        return _sweep(shelf, keeping, now) if mine else 0


def _sweep(shelf: Shelf, keeping: Keeping, now: float) -> int:
    """In two walks, between which only sizes by age in hours are remembered."""
    sizes: Counter[int] = Counter()
    for kept in shelf.walk(now):
        sizes[_to_hours(kept)] += kept.size
    oldest_h = int(keeping.days * _DAY_S / _HOUR_S)
    total = 0
    for age_h in sorted(sizes):
        total += sizes[age_h]
        if total > keeping.size:
            oldest_h = min(oldest_h, max(age_h, _YOUNG_H))
            break
    gone = sum(shelf.remove(kept.names) for kept in shelf.walk(now) if _to_hours(kept) >= oldest_h)
    if gone:
        log.info("removed the logs of %d attempts", gone)
    return gone


def _to_hours(kept: Kept) -> int:
    return int(max(0.0, kept.age_s) // _HOUR_S)

"""Sorts many short series side by side, each in its own column, with a network of minima and maxima (pure numpy)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Comparator:
    """Brings two rows into order: of each column the smaller number into the first, the larger into the second."""

    first: int
    second: int
    keeps_smaller: bool  # False where nobody looks at the first row any more
    keeps_larger: bool


@cache
def network(rows: int, wanted: tuple[int, ...]) -> tuple[Comparator, ...]:
    """What puts right the wanted places of `rows` sorted rows, without what they do not depend on."""
    needed = set(wanted)
    kept: list[Comparator] = []
    for first, second in reversed(list(_merge_exchange(rows))):
        smaller, larger = first in needed, second in needed
        if smaller or larger:
            kept.append(Comparator(first, second, smaller, larger))
            needed |= {first, second}
    return tuple(reversed(kept))


def _merge_exchange(rows: int) -> Iterator[tuple[int, int]]:
    """Batcher's merge exchange for any number of rows (Knuth, The Art of Computer Programming 3, algorithm 5.2.2 M)."""
    highest = 1 << max((rows - 1).bit_length() - 1, 0)
    p = highest if rows > 1 else 0
    while p:
        q, r, d = highest, 0, p
        while d:
            yield from ((i, i + d) for i in range(rows - d) if i & p == r)
            q, r, d = q >> 1, p, q - p
        p >>= 1


def sort_places(rows: Rows, wanted: Sequence[int]) -> dict[int, Rows]:
    """The wanted places of each column of `rows` (places, columns) in ascending order; overwrites `rows`.

    All columns go through the same comparisons, two rows at a time: the processor does dozens of columns in one
    instruction, and never waits for a branch that it has guessed wrong.
    """
    lanes, spare = list(rows), np.empty_like(rows[0])
    for step in network(len(rows), tuple(sorted(set(wanted)))):
        a, b = lanes[step.first], lanes[step.second]
        if not step.keeps_larger:
            np.minimum(a, b, out=a)
        elif not step.keeps_smaller:
            np.maximum(a, b, out=b)
        else:
            np.minimum(a, b, out=spare)
            np.maximum(a, b, out=b)
            lanes[step.first], spare = spare, a
    return {place: lanes[place] for place in wanted}

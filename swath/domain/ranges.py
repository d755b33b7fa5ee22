"""Sets of whole numbers as ranges, such as indices of tasks: a million pending ones are one pair of numbers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ranges:
    """A set of indices as sorted, disjoint, half-open ranges that do not touch."""

    spans: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, count: int) -> Ranges:
        """The indices 0 to `count` - 1."""
        return cls(((0, count),)) if count else cls()

    @classmethod
    def over(cls, spans: Iterable[tuple[int, int]]) -> Ranges:
        """What half-open `spans` hold, which may overlap, in any order; one that ends before it begins holds nothing."""
        return _joined([(first, end) for first, end in spans if first < end])

    @classmethod
    def from_document(cls, document: Sequence[Sequence[int]]) -> Ranges:
        """The set stored as [[first, end], ...]."""
        return cls(tuple((first, end) for first, end in document))

    def to_document(self) -> list[list[int]]:
        """[[first, end], ...], end not included."""
        return [list(span) for span in self.spans]

    @property
    def count(self) -> int:
        """How many indices the set holds."""
        return sum(end - first for first, end in self.spans)

    def __bool__(self) -> bool:
        return bool(self.spans)

    def __iter__(self) -> Iterator[int]:
        for first, end in self.spans:
            yield from range(first, end)

    def __contains__(self, index: object) -> bool:
        if not isinstance(index, int):
            return False
        at = bisect_right(self.spans, (index, float("inf"))) - 1
        return at >= 0 and index < self.spans[at][1]

    def take(self, count: int) -> tuple[list[int], Ranges]:
        """The lowest `count` indices (fewer where there are fewer), and the set without them."""
        taken: list[int] = []
        for position, (first, end) in enumerate(self.spans):
            if len(taken) == count:
                return taken, Ranges(self.spans[position:])
            stop = min(end, first + count - len(taken))
            taken += range(first, stop)
            if stop < end:
                return taken, Ranges(((stop, end), *self.spans[position + 1 :]))
        return taken, Ranges()

    def add(self, indices: Iterable[int]) -> Ranges:
        """The set with `indices` too."""
        return _joined([*self.spans, *((index, index + 1) for index in indices)])

    def remove(self, indices: Iterable[int]) -> Ranges:
        """The set without `indices`."""
        gone = sorted(set(indices))
        spans: list[tuple[int, int]] = []
        position = 0
        for first, end in self.spans:
            while position < len(gone) and gone[position] < first:
                position += 1
            while position < len(gone) and gone[position] < end:
                if first < gone[position]:
                    spans.append((first, gone[position]))
                first = gone[position] + 1
                position += 1
            if first < end:
                spans.append((first, end))
        return Ranges(tuple(spans))

    def minus(self, other: Ranges) -> Ranges:
        """The set without those in `other`, range by range."""
        spans: list[tuple[int, int]] = []
        position = 0
        for first, end in self.spans:
            while position < len(other.spans) and other.spans[position][1] <= first:
                position += 1
            at = position
            while at < len(other.spans) and other.spans[at][0] < end:
                cut_first, cut_end = other.spans[at]
                if first < cut_first:
                    spans.append((first, cut_first))
                first = max(first, cut_end)
                at += 1
            if first < end:
                spans.append((first, end))
        return Ranges(tuple(spans))

    def union(self, *others: Ranges) -> Ranges:
        """The set with those in `others` too, range by range."""
        given = [ranges for ranges in (self, *others) if ranges.spans]
        if len(given) < 2:
            return given[0] if given else self
        return _joined(span for ranges in given for span in ranges.spans)

    def intersection(self, other: Ranges) -> Ranges:
        """Those that are in `other` too, range by range."""
        return self.minus(self.minus(other))

    def after(self, index: int, limit: int) -> list[int]:
        """At most `limit` indices above `index`, in order: one page of the set."""
        page: list[int] = []
        for first, end in self.spans:
            if end > index + 1 and len(page) < limit:
                start = max(first, index + 1)
                page += range(start, min(end, start + limit - len(page)))
        return page


def _joined(spans: Iterable[tuple[int, int]]) -> Ranges:
    merged: list[tuple[int, int]] = []
    for first, end in sorted(spans):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((first, end))
    return Ranges(tuple(merged))

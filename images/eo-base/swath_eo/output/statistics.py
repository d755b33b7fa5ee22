"""Statistics of a raster that is seen window by window, the same to the last bit whatever the windows (pure)."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Sums are kept as whole numbers of 2**-38 (4e-12): adding integers is exact, so neither order nor window size can show.
_QUANTUM_BITS = 38
_CHUNK = 1 << 22  # values at a time: 2**22 values of at most 2**2 in units of 2**-38 stay below 2**63
_PERCENTILES = (1, 2, 5, 10, 25, 50, 75, 90, 95, 98, 99)


class RunningStatistics:
    """Count, extremes, exact mean and standard deviation, percentiles and histogram of values in -1..1 (an index).

    Percentiles are read from 20,000 bins, so they are off by 0.0001 at most.
    """

    BINS = 20_000
    HISTOGRAM_BINS = 100

    def __init__(self) -> None:
        self.count = 0  # pixels seen
        self.valid = 0  # of them, with a value
        self._minimum = math.inf
        self._maximum = -math.inf
        self._sum = 0
        self._sum_of_squares = 0
        self._bins: NDArray[np.int64] = np.zeros(self.BINS, dtype=np.int64)

    def add(self, values: NDArray[np.float32]) -> None:
        """Takes in a window's values, any shape; NaN is no data. Raises ValueError for a value outside -1..1."""
        self.count += values.size
        flat = values[np.isfinite(values)].astype(np.float64)
        for start in range(0, flat.size, _CHUNK):
            self._add_chunk(flat[start : start + _CHUNK])

    def _add_chunk(self, values: NDArray[np.float64]) -> None:
        minimum, maximum = float(values.min()), float(values.max())
        if minimum < -1 or maximum > 1:
            raise ValueError(f"{minimum}..{maximum} is not within -1..1")
        self._minimum, self._maximum = min(self._minimum, minimum), max(self._maximum, maximum)
        self.valid += values.size
        unit = float(1 << _QUANTUM_BITS)
        self._sum += int(np.rint(values * unit).astype(np.int64).sum())
        self._sum_of_squares += int(np.rint(values * values * unit).astype(np.int64).sum())
        bins = np.minimum(((values + 1) * (self.BINS / 2)).astype(np.int64), self.BINS - 1)
        self._bins += np.bincount(bins, minlength=self.BINS)

    @property
    def mean(self) -> float | None:
        """None where there is no valid pixel."""
        return self._sum / (self.valid << _QUANTUM_BITS) if self.valid else None

    @property
    def std(self) -> float | None:
        """Standard deviation of the population; None where there is no valid pixel."""
        if not self.valid:
            return None
        # In whole numbers to the end: the difference of two large sums would lose its digits in floating point.
        numerator = ((self.valid * self._sum_of_squares) << _QUANTUM_BITS) - self._sum**2
        return math.sqrt(max(numerator, 0) / (self.valid << _QUANTUM_BITS) ** 2)

    def percentile(self, q: float) -> float | None:
        """The value below which `q` percent of the valid pixels lie, within 0.0001; None where there is no valid
        pixel."""
        if not self.valid:
            return None
        target = q / 100 * self.valid
        cumulative = np.cumsum(self._bins)
        index = min(int(np.searchsorted(cumulative, target, side="left")), self.BINS - 1)
        before = int(cumulative[index - 1]) if index else 0
        inside = (target - before) / max(int(self._bins[index]), 1)
        value = (index + inside) / (self.BINS / 2) - 1
        return min(max(value, self._minimum), self._maximum)

    def to_document(self) -> dict[str, Any]:
        """As a JSON document; what is not defined without a valid pixel is null."""
        counts = self._bins.reshape(self.HISTOGRAM_BINS, -1).sum(axis=1)
        return {
            "count": self.count,
            "valid": self.valid,
            "nodata": self.count - self.valid,
            "valid_fraction": self.valid / self.count if self.count else 0.0,
            "min": self._minimum if self.valid else None,
            "max": self._maximum if self.valid else None,
            "mean": self.mean,
            "std": self.std,
            "percentiles": {f"p{q}": self.percentile(q) for q in _PERCENTILES},
            "histogram": {"low": -1.0, "high": 1.0, "bins": self.HISTOGRAM_BINS, "counts": counts.tolist()},
        }


# Of numbers up to this the sum is kept in whole 2**-30 (1e-9); larger ones are multiples of 2**-13 as they are.
_LARGE = 1024.0
_UNIT = float(1 << 30)
# Values at a time: 2**13 whole numbers of at most 2**40 are added up without rounding, in whatever order, and in the cache.
_PIECE = 1 << 13


class RunningSummary:
    """Count, extremes and exact mean of values of any size (float32)."""

    def __init__(self) -> None:
        self.count = 0  # pixels seen
        self.valid = 0  # of them, with a value
        self._minimum = math.inf
        self._maximum = -math.inf
        self._sum = 0  # of small values, in units of 2**-30
        self._sum_of_large = Fraction()

    def add(self, values: NDArray[np.float32]) -> None:
        """Takes in a window's values, any shape; NaN is no data."""
        self.count += values.size
        flat = values.reshape(-1)
        for start in range(0, flat.size, _PIECE):
            self._add_piece(flat[start : start + _PIECE])

    def _add_piece(self, values: NDArray[np.float32]) -> None:
        minimum, maximum = float(values.min()), float(values.max())
        if not math.isfinite(minimum - maximum):
            values = values[np.isfinite(values)]
            if not values.size:
                return
            minimum, maximum = float(values.min()), float(values.max())
        self.valid += values.size
        self._minimum, self._maximum = min(self._minimum, minimum), max(self._maximum, maximum)
        if max(-minimum, maximum) >= _LARGE:
            is_large = np.abs(values) >= _LARGE
            self._sum_of_large += _sum_exactly(values[is_large])
            values = values[~is_large]
        units = np.multiply(values, _UNIT, dtype=np.float64)
        self._sum += int(np.rint(units, out=units).sum())

    def to_document(self) -> dict[str, Any]:
        """As a JSON document; what is not defined without a valid pixel is null."""
        return {
            "count": self.count,
            "valid": self.valid,
            "valid_fraction": self.valid / self.count if self.count else 0.0,
            "min": self._minimum if self.valid else None,
            "max": self._maximum if self.valid else None,
            "mean": float(self._total / self.valid) if self.valid else None,
        }

    @property
    def _total(self) -> Fraction:
        return Fraction(self._sum, int(_UNIT)) + self._sum_of_large


def _sum_exactly(values: NDArray[np.float32]) -> Fraction:
    mantissas, exponents = np.frexp(values)
    # Whole numbers of 24 bits, whose sums a double holds exactly up to 2**29 of them.
    sums = np.bincount(exponents, weights=mantissas * (1 << 24))
    return sum(
        (Fraction(int(part)) * Fraction(2) ** (power - 24) for power, part in enumerate(sums) if part), Fraction()
    )


class RunningPercentiles:
    """Percentiles of values of any size (float32), to 0.05 % of the value.

    Counts values by their sign, exponent and the 11 first bits of the mantissa, which sort as the numbers do.
    """

    _DROPPED_BITS = 12

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] = np.zeros(1 << (32 - self._DROPPED_BITS), dtype=np.int64)

    def add(self, values: NDArray[np.float32]) -> None:
        """Takes in a window's values, any shape; NaN is no data."""
        bits = values[np.isfinite(values)].view(np.uint32)
        sortable = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)) >> self._DROPPED_BITS
        self._counts += np.bincount(sortable, minlength=self._counts.size)

    def percentile(self, q: float) -> float | None:
        """The value that `q` percent do not exceed; None where there is no valid pixel."""
        cumulative = np.cumsum(self._counts)
        if not cumulative[-1]:
            return None
        rank = max(math.ceil(q / 100 * int(cumulative[-1])), 1)
        middle = (int(np.searchsorted(cumulative, rank)) << self._DROPPED_BITS) + (1 << (self._DROPPED_BITS - 1))
        bits = middle & ~(1 << 31) if middle >> 31 else ~middle & 0xFFFFFFFF
        return float(np.uint32(bits).view(np.float32))

"""One picture out of many dates, pixel by pixel: means, medians, and the choice of the best date (pure numpy).

A date counts for a pixel as a whole or not at all: where it holds data in all bands and is clear. Dates ascend; of dates
that are equally good the latest is taken. A pixel's result depends on its own numbers alone, so windows of any size give
the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath_eo.composites.geomedian import geometric_median
from swath_eo.composites.medoid import distances_to_others
from swath_eo.composites.ordering import sort_places
from swath_eo.errors import ParameterError

Values = NDArray[Any]
Valid = NDArray[np.bool_]
Float32 = NDArray[np.float32]

NO_DATE = -1  # in a map of chosen dates
_PIXELS = 16384  # at a time: a band of 24 dates of them stays in a processor's second cache
_QUARTILES = (25.0, 75.0)
_TOLERANCE = {"f": 1e-5, "u": 0.1, "i": 0.1}  # of the geometric median: whole numbers count reflectance in 1/10000


@dataclass(frozen=True, kw_only=True)
class Observations:
    """What was seen of some pixels on ascending dates."""

    values: Values  # (times, bands, rows, columns), any real type
    valid: Valid  # (times, rows, columns)
    red: int = 0  # which band it is; for max-ndvi
    nir: int = 0
    zero: float = 0.0  # the number that stands for a reflectance of zero; for max-ndvi
    scores: Float32 | None = None  # (times, rows, columns), the most for the best (scoring.py); for best-pixel


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What to make of them. Raises ParameterError."""

    method: str  # one of METHODS
    percentile: float = 50.0  # for percentile
    with_spread: bool = False

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ParameterError(f"there is no method {self.method!r}, only {', '.join(METHODS)}")
        if not 0 <= self.percentile <= 100:
            raise ParameterError(f"the percentile {self.percentile:g} is not within 0..100")

    @property
    def chooses(self) -> bool:
        """Each pixel is of one date, whose numbers stay as they are."""
        return self.method in _CHOOSING


@dataclass(frozen=True, kw_only=True)
class Composite:
    """What has been made of them."""

    values: Values  # (bands, rows, columns): chosen numbers as they are (0 for none), else float32 (NaN for none)
    count: NDArray[np.uint16]  # (rows, columns): dates that count
    chosen: NDArray[np.int16] | None  # (rows, columns): place of the date, or NO_DATE; None where dates are mixed
    spread: Float32 | None  # (bands, rows, columns): between the quartiles, NaN for none


def compose(seen: Observations, recipe: Recipe) -> Composite:
    """The composite of some pixels."""
    times, bands, *shape = seen.values.shape
    values, valid = seen.values.reshape(times, bands, -1), seen.valid.reshape(times, -1)
    scores = None if seen.scores is None else seen.scores.reshape(times, -1)
    pixels = values.shape[2]
    made = np.empty((bands, pixels), dtype=values.dtype if recipe.chooses else np.float32)
    chosen = np.empty(pixels, dtype=np.int16) if recipe.chooses else None
    spread = np.empty((bands, pixels), dtype=np.float32) if recipe.with_spread else None
    for start in range(0, pixels, _PIXELS):
        part = slice(start, start + _PIXELS)
        piece = _Piece(values[:, :, part], valid[:, part], seen, None if scores is None else scores[:, part])
        if chosen is not None:
            chosen[part] = _CHOOSING[recipe.method](piece)
            made[:, part] = pick(piece.values, chosen[part])
        else:
            made[:, part] = _MIXING[recipe.method](piece, recipe)
        if spread is not None:
            lower, upper = percentiles(piece.values, piece.valid, _QUARTILES)
            np.subtract(upper, lower, out=spread[:, part])
    return Composite(
        values=made.reshape(bands, *shape),
        count=valid.sum(axis=0, dtype=np.uint16).reshape(shape),
        chosen=None if chosen is None else chosen.reshape(shape),
        spread=None if spread is None else spread.reshape(bands, *shape),
    )


@dataclass(frozen=True)
class _Piece:
    """Some pixels, one after the other."""

    values: Values  # (times, bands, pixels)
    valid: Valid  # (times, pixels)
    seen: Observations
    scores: Float32 | None  # (times, pixels)


def percentiles(values: Values, valid: Valid, wanted: Sequence[float]) -> Float32:
    """(wanted, bands, pixels), NaN where nothing is valid; between two numbers as `numpy.percentile` has it by default.

    `values`: (times, bands, pixels); `valid`: (times, pixels).
    """
    _, bands, pixels = values.shape
    result = np.full((len(wanted), bands, pixels), np.nan, dtype=np.float32)
    dates = np.flatnonzero(valid.any(axis=1))
    if not dates.size:
        return result
    places = [_Place.of(q, valid[dates].sum(axis=0), dates.size) for q in wanted]
    looked_at = sorted({place for found in places for place in found.all_places})
    lowest, highest = _limits(values.dtype)
    sentinels = np.where(valid[dates], lowest, highest)  # what is not valid is larger than all that is
    larger = np.maximum if values.dtype.kind in "iu" else np.fmax  # which overrules NaN, too
    rows = np.empty_like(sentinels)
    for band in range(bands):
        for row, date in enumerate(dates):
            larger(values[date, band], sentinels[row], out=rows[row])
        ordered = sort_places(rows, looked_at)
        table = np.stack([ordered[place] for place in looked_at])
        for number, place in enumerate(places):
            result[number, band] = place.look_up(table, looked_at)
    return result


def _limits(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    if dtype.kind == "f":
        return dtype.type(-np.inf), dtype.type(np.inf)
    limits = np.iinfo(dtype)
    return dtype.type(limits.min), dtype.type(limits.max)


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a percentile lies among each pixel's ordered numbers, which are not equally many everywhere."""

    counts: NDArray[np.intp]  # (pixels,)
    lower: NDArray[np.intp]  # by count: the place at or below the percentile
    upper: NDArray[np.intp]  # and the next
    share: NDArray[np.float64]  # of the way from one to the other

    @classmethod
    def of(cls, q: float, counts: NDArray[np.intp], most: int) -> _Place:
        exact = q / 100 * np.arange(-1, most, dtype=np.float64)
        lower = np.maximum(np.floor(exact), 0)
        share = exact - lower
        upper = np.minimum(lower + 1, np.maximum(np.arange(-1, most), 0))
        return cls(counts=counts, lower=lower.astype(np.intp), upper=upper.astype(np.intp), share=share)

    @property
    def all_places(self) -> set[int]:
        return {int(place) for place in (*self.lower, *self.upper)}

    def look_up(self, table: Values, looked_at: Sequence[int]) -> NDArray[np.float64]:
        """`table`: (places looked at, pixels)."""
        columns = np.arange(table.shape[1])
        flat = table.ravel()
        rank = np.zeros(max(looked_at) + 1, dtype=np.intp)
        rank[looked_at] = np.arange(len(looked_at))
        lower, upper = (
            flat[(rank[by_count] * table.shape[1])[self.counts] + columns] for by_count in (self.lower, self.upper)
        )
        with np.errstate(invalid="ignore"):  # where nothing is valid both are infinite
            result: NDArray[np.float64] = lower + (upper - lower.astype(np.float64)) * self.share[self.counts]
        result[self.counts == 0] = np.nan
        return result


def mean(values: Values, valid: Valid) -> Float32:
    """(bands, pixels), NaN where nothing is valid; sums of whole numbers are exact. Shapes as in `percentiles`."""
    total = np.zeros(values.shape[1:], dtype=np.float64)
    for numbers, counts in zip(values, valid, strict=True):
        total += np.where(counts, numbers, numbers.dtype.type(0))
    count = valid.sum(axis=0)
    total /= np.maximum(count, 1)
    total[:, count == 0] = np.nan
    return total.astype(np.float32)


def choose(scores: Iterable[Any], valid: Valid) -> NDArray[np.int16]:
    """The place of the date with the highest score, the latest of several, NO_DATE where none is valid: (pixels,).

    `scores`: of each time a number or (pixels,), not NaN; `valid`: (times, pixels).
    """
    best = np.full(valid.shape[1], -np.inf)
    chosen = np.full(valid.shape[1], NO_DATE, dtype=np.int16)
    for time, (score, is_valid) in enumerate(zip(scores, valid, strict=False)):
        better = is_valid & (score >= best)
        np.copyto(best, score, where=better)
        np.copyto(chosen, time, where=better)
    return chosen


def pick(values: Values, chosen: NDArray[np.int16]) -> Values:
    """The chosen date's numbers in all bands, 0 for none: (bands, pixels)."""
    found: Values = np.take_along_axis(values, np.maximum(chosen, 0)[np.newaxis, np.newaxis], axis=0)[0]
    found[:, chosen == NO_DATE] = 0
    return found


def vegetation(red: Values, nir: Values, *, zero: float = 0.0) -> NDArray[np.float64]:
    """NDVI for comparing, exact enough that only equal fractions are equal; minus infinity where it is not defined.

    `zero`: the number that stands for a reflectance of zero.
    """
    total = nir.astype(np.float64) + red - 2 * zero  # NaN is met here without a warning, infinity is not data
    result = np.full(total.shape, -np.inf)
    np.divide(nir.astype(np.float64) - red, total, out=result, where=np.isfinite(total) & (total > 0))
    return result


def _by_vegetation(piece: _Piece) -> NDArray[np.int16]:
    seen, values = piece.seen, piece.values
    scores = (vegetation(date[seen.red], date[seen.nir], zero=seen.zero) for date in values)
    return choose(scores, piece.valid)


def _by_medoid(piece: _Piece) -> NDArray[np.int16]:
    return choose(-distances_to_others(piece.values, piece.valid), piece.valid)


def _by_date(piece: _Piece) -> NDArray[np.int16]:
    return choose(repeat(0.0), piece.valid)


def _by_score(piece: _Piece) -> NDArray[np.int16]:
    if piece.scores is None:
        raise ParameterError("best-pixel needs scores")
    return choose(piece.scores, piece.valid)


_CHOOSING: dict[str, Callable[[_Piece], NDArray[np.int16]]] = {
    "latest": _by_date,
    "max-ndvi": _by_vegetation,
    "medoid": _by_medoid,
    "best-pixel": _by_score,
}
_MIXING: dict[str, Callable[[_Piece, Recipe], Float32]] = {
    "median": lambda piece, _: percentiles(piece.values, piece.valid, (50.0,))[0],
    "percentile": lambda piece, recipe: percentiles(piece.values, piece.valid, (recipe.percentile,))[0],
    "mean": lambda piece, _: mean(piece.values, piece.valid),
    "geometric-median": lambda piece, _: geometric_median(
        piece.values, piece.valid, tolerance=_TOLERANCE[piece.values.dtype.kind]
    ),
}
METHODS = (*_MIXING, *_CHOOSING)

"""Overviews of a raster: each level is half as wide and high as the one before it (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath_eo.output.rounding import beside

Array = NDArray[Any]


def level_sizes(width: int, height: int, *, tile: int) -> Iterator[tuple[int, int]]:
    """Width and height of the overviews, down to the first that fits a tile."""
    while max(width, height) > tile:
        width, height = -(-width // 2), -(-height // 2)
        yield width, height


def halve(values: Array, how: str, nodata: float | None) -> Array:
    """`values` (bands, rows, columns) in pixels twice as large, of which the last hold what there is.

    `how` is "average" (of whole numbers rounded, halves up), "mode" (the most frequent; of several the first) or "nearest"
    (the first); no data is left out, unless all four pixels have none, and an average that would be taken for no data
    moves by one. It depends on the four pixels alone.
    """
    reduce = _REDUCTIONS[how]
    halved = np.empty((len(values), -(-values.shape[1] // 2), -(-values.shape[2] // 2)), dtype=values.dtype)
    for band, into in zip(values, halved, strict=True):
        with np.errstate(all="ignore"):  # of what is not finite
            into[:] = reduce(_corners(band), nodata)
    return halved


def _corners(band: Array) -> list[Array]:
    """The four pixels of each larger one, row by row; at an odd edge the last ones count for those beyond."""
    rows, columns = band.shape
    if rows % 2 or columns % 2:
        band = np.pad(band, ((0, rows % 2), (0, columns % 2)), mode="edge")
    return [band[row::2, column::2] for row in (0, 1) for column in (0, 1)]


def _is_missing(values: Array, nodata: float) -> NDArray[np.bool_]:
    missing: NDArray[np.bool_] = np.isnan(values) if np.isnan(nodata) else values == nodata
    return missing


def _average(corners: Sequence[Array], nodata: float | None) -> Array:
    is_real = corners[0].dtype.kind == "f"
    mean = _mean_of_reals(corners) if is_real else _mean_of_integers(corners)
    if nodata is None or (np.isnan(nodata) and not np.isnan(mean).any()):
        return mean
    missing = [_is_missing(corner, nodata) for corner in corners]
    none = np.logical_and.reduce(missing)
    some = np.logical_or.reduce(missing) & ~none
    np.copyto(mean, corners[0], where=none)
    there = ~np.stack([gaps[some] for gaps in missing])
    sums = np.stack([corner[some] for corner in corners]).sum(axis=0, dtype=np.float64, where=there)
    means = sums / there.sum(axis=0)
    mean[some] = means if is_real else np.floor(means + 0.5)
    mean[_is_missing(mean, nodata) & ~none] = beside(mean.dtype.type(nodata))
    return mean


def _mean_of_reals(corners: Sequence[Array]) -> Array:
    quarters: Array = corners[0] * corners[0].dtype.type(0.25)  # first, for a sum could be infinite
    for corner in corners[1:]:
        quarters += corner * corner.dtype.type(0.25)
    return quarters


def _mean_of_integers(corners: Sequence[Array]) -> Array:
    """Rounded, halves up."""
    if corners[0].dtype.itemsize == 8:  # of which there is no wider type: quarters, and that of what they leave over
        left_over: Array = np.add.reduce([corner & 3 for corner in corners])
        mean: Array = np.add.reduce([(left_over + 2) >> 2, *(corner >> 2 for corner in corners)])
        return mean
    wide = np.int32 if corners[0].dtype.itemsize <= 2 else np.int64
    sums = np.add(corners[0], corners[1], dtype=wide)
    sums += corners[2]
    sums += corners[3]
    sums += 2
    sums >>= 2
    return sums.astype(corners[0].dtype)


def _mode(corners: Sequence[Array], nodata: float | None) -> Array:
    chosen, most = corners[0].copy(), np.zeros(corners[0].shape, dtype=np.int8)
    for corner in corners:
        votes = np.zeros(corner.shape, dtype=np.int8)
        for other in corners:
            votes += corner == other
        if nodata is not None:
            votes[_is_missing(corner, nodata)] = 0
        np.copyto(chosen, corner, where=votes > most)
        np.maximum(most, votes, out=most)
    return chosen


def _nearest(corners: Sequence[Array], _: float | None) -> Array:
    return corners[0]


_REDUCTIONS: dict[str, Callable[[Sequence[Array], float | None], Array]] = {
    "average": _average,
    "mode": _mode,
    "nearest": _nearest,
}

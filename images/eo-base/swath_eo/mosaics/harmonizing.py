"""What makes scenes match where they overlap: a gain and an offset for each scene and band (pure).

Each pair of scenes with common ground gives a line between their values; one system of equations over all pairs gives the
gains, another the offsets. Scenes that are on no common ground with any other stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from swath_eo.mosaics.mosaicking import Mask
from swath_eo.scenes.adjustment import Adjustment

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Harmony = Literal["offset", "linear"]

_LEAST_SAMPLES = 50  # of a pair: fewer are chance
_LEAST_CORRELATION = 0.5  # below, the two do not show the same ground: clouds, or a flood
_GAINS = (0.5, 2.0)  # beyond, it is another sensor or quantity, and no haze or season
_ROUNDS = 20
_TUKEY = 4.685  # scales: what lies further off counts nothing (95 % efficient where errors are normal)
_MAD = 1.4826  # standard deviations in a median absolute deviation


@dataclass(frozen=True, kw_only=True)
class Line:
    """second = first x gain + offset, between two scenes in one band."""

    gain: float
    x: float  # a point in its middle
    y: float
    samples: int
    residual: float  # scale of what is left, in the values' unit

    @property
    def offset(self) -> float:
        """Of the second scene where the first is zero."""
        return self.y - self.gain * self.x


@dataclass(frozen=True, kw_only=True)
class Harmonization:
    """What to do with each scene, and what that rests on."""

    adjustments: tuple[Adjustment, ...]
    pairs: tuple[tuple[int, int], ...]  # scenes whose lines were used, from 0
    unconnected: tuple[int, ...]  # scenes that are compared with no other


def cell_means(values: NDArray[Any], valid: Mask, cell: int) -> Float32:
    """Means of squares of `cell` pixels, (bands, rows / cell, columns / cell); NaN where not all of one is valid.

    Both sides are whole numbers of cells. Averages because of noise, and because scenes lie up to a pixel beside each other.
    """
    bands, rows, columns = values.shape
    sums: Float64 = np.zeros((bands, rows // cell, columns // cell))
    whole = np.ones(sums.shape[1:], dtype=np.bool_)
    for row in range(cell):  # one after the other: the sum does not depend on the array's shape then
        for column in range(cell):
            whole &= valid[row::cell, column::cell]
            np.add(sums, values[:, row::cell, column::cell], out=sums, where=whole)
    means: Float32 = np.where(whole, sums / cell**2, np.nan).astype(np.float32)
    return means


def fit_line(x: Float64, y: Float64, *, kind: Harmony = "linear") -> Line | None:
    """The line through what two scenes show of the same places, or None where they have too little in common.

    Both have errors of a size, so it is the line with the least orthogonal distances (Deming 1943): which scene is the first
    makes no difference. Outliers (clouds nobody masked, harvested fields) lose their weight (Tukey's biweight). "offset":
    the gain is 1.
    """
    if len(x) < _LEAST_SAMPLES:
        return None
    gain, weights = (_first_gain(x, y) if kind == "linear" else 1.0), np.ones(len(x))
    for _ in range(_ROUNDS):
        across = (y - gain * x) / np.hypot(1, gain)
        across -= _weighted_median(across, weights)
        scale = max(_MAD * float(np.median(np.abs(across))), 1e-9 * float(np.abs(y).max()), 1e-12)
        weights = np.square(np.maximum(1 - np.square(across / (_TUKEY * scale)), 0))
        mean_x, mean_y, xx, yy, xy = _moments(x, y, weights)
        if xy <= _LEAST_CORRELATION * np.sqrt(xx * yy):
            return None
        before, gain = (
            gain,
            float((yy - xx + np.sqrt((yy - xx) ** 2 + 4 * xy**2)) / (2 * xy)) if kind == "linear" else 1.0,
        )
        if abs(gain - before) < 1e-7:
            break
    if not _GAINS[0] <= gain <= _GAINS[1]:
        return None
    return Line(gain=gain, x=mean_x, y=mean_y, samples=len(x), residual=scale)


def _first_gain(x: Float64, y: Float64) -> float:
    spread_x, spread_y = (float(np.median(np.abs(v - np.median(v)))) for v in (x, y))
    return float(np.clip(spread_y / spread_x if spread_x > 0 else 1.0, *_GAINS))


def _weighted_median(values: Float64, weights: Float64) -> float:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(total, total[-1] / 2)]])


def _moments(x: Float64, y: Float64, weights: Float64) -> tuple[float, float, float, float, float]:
    total = weights.sum()
    mean_x, mean_y = float(weights @ x / total), float(weights @ y / total)
    dx, dy = x - mean_x, y - mean_y
    return (
        mean_x,
        mean_y,
        float(weights @ dx**2 / total),
        float(weights @ dy**2 / total),
        float(weights @ (dx * dy) / total),
    )


def harmonize(samples: Sequence[Float32], *, kind: Harmony = "linear") -> Harmonization:
    """Gains and offsets that make scenes agree where they overlap.

    `samples`: of each scene, values (bands, places) at the same places, NaN where it has none. The first scene of each group
    that hangs together stays as it is, and the others follow it.
    """
    lines = dict(_lines(samples, kind))
    anchors = _anchors(len(samples), list(lines))
    by_band = [{pair: line[band] for pair, line in lines.items()} for band in range(samples[0].shape[0])]
    solved = [_solve(len(samples), lines_of_band, anchors) for lines_of_band in by_band]
    adjustments = tuple(
        Adjustment(gains=tuple(gains[i] for gains, _ in solved), offsets=tuple(offsets[i] for _, offsets in solved))
        for i in range(len(samples))
    )
    joined = {scene for pair in lines for scene in pair}
    alone = tuple(scene for scene in range(len(samples)) if scene not in joined)
    return Harmonization(adjustments=adjustments, pairs=tuple(lines), unconnected=alone)


def _lines(samples: Sequence[Float32], kind: Harmony) -> Iterator[tuple[tuple[int, int], list[Line]]]:
    """Of each pair, a line for each band; pairs that lack one are left out."""
    there = [np.isfinite(sample).all(axis=0) for sample in samples]
    for i, j in combinations(range(len(samples)), 2):
        both = there[i] & there[j]
        if np.count_nonzero(both) < _LEAST_SAMPLES:
            continue
        pairs = zip(samples[i][:, both].astype(np.float64), samples[j][:, both].astype(np.float64), strict=True)
        lines = [line for x, y in pairs if (line := fit_line(x, y, kind=kind)) is not None]
        if len(lines) == len(samples[i]):
            yield (i, j), lines


def _anchors(scenes: int, pairs: Sequence[tuple[int, int]]) -> list[int]:
    """The first scene of each group of scenes that pairs join."""
    group = list(range(scenes))
    for i, j in pairs:
        low, high = sorted((group[i], group[j]))
        group = [low if own == high else own for own in group]
    return sorted(set(group))


def _solve(scenes: int, lines: dict[tuple[int, int], Line], anchors: Sequence[int]) -> tuple[list[float], list[float]]:
    """Gains and offsets of all scenes in one band: least squares over the pairs, each by the square root of its samples."""
    gains = np.exp(_least_squares(scenes, {pair: np.log(line.gain) for pair, line in lines.items()}, lines, anchors))
    steps = {(i, j): gains[j] * line.y - gains[i] * line.x for (i, j), line in lines.items()}
    offsets = _least_squares(scenes, steps, lines, anchors)
    return [float(gain) for gain in gains], [float(offset) for offset in offsets]


def _least_squares(
    scenes: int, steps: dict[tuple[int, int], Any], lines: dict[tuple[int, int], Line], anchors: Sequence[int]
) -> Float64:
    """The heights of all scenes, by how much higher than its second one the first of each pair is; 0 at the anchors."""
    equations, right = np.zeros((len(steps) + len(anchors), scenes)), np.zeros(len(steps) + len(anchors))
    for row, ((i, j), step) in enumerate(steps.items()):
        weight = lines[i, j].samples ** 0.25  # squared by least squares
        equations[row, i], equations[row, j], right[row] = weight, -weight, weight * step
    for row, anchor in enumerate(anchors, len(steps)):
        equations[row, anchor] = 1
    heights: Float64 = np.linalg.lstsq(equations, right, rcond=None)[0].astype(np.float64)
    for anchor in anchors:
        heights[anchor] = 0.0  # exactly: what is to stay as it is stays to the bit
    return heights

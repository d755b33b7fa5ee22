"""Scenes on one grid into one picture: which one is seen where, and how one passes into the next (pure).

Scenes lie on each other in an order, the first one on top. Feathering makes a scene fade out towards the edge of its valid
data (the border of the scene, or of a cloud in it) as far as another goes on there: nothing jumps, and away from edges every
pixel is one scene's own. Nothing here knows windows: what is computed for a part of a picture with `margin` pixels around it
is, bit for bit, what is computed for the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numexpr
import numpy as np
from numpy.typing import NDArray

from swath_eo.output.rounding import beside

Mask = NDArray[np.bool_]
Float32 = NDArray[np.float32]

METHODS = ("first", "last", "min", "max", "mean")

# Distances to the edge are computed on nodes, this many or up to twice as many of which span the feather: weights need no more
# detail, and a wide feather costs no more than a narrow one.
_NODES = 8
# The weight in a mean of valid pixels on the very edge: nothing beside another scene's, but all where there is no other.
_LEAST = np.float32(2.0**-20)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One scene's pixels on the mosaic's grid."""

    values: NDArray[Any]  # (bands, rows, columns)
    valid: Mask  # (rows, columns): has data in all bands, and is no cloud
    weights: Float32 | None = (
        None  # (rows, columns), 0..1: its opacity, or in a mean how much it counts; None: 1 everywhere
    )
    number: int = 0  # of the scene, from 1; `mosaic` gives it its place in the order


@dataclass(frozen=True, kw_only=True)
class Mosaic:
    """What the layers make together."""

    values: NDArray[Any]  # (bands, rows, columns); where it is not valid anything may stand
    valid: Mask  # (rows, columns)
    source: NDArray[np.int32]  # (rows, columns): number of the layer with the most weight, 0 for none


def mosaic(scenes: Sequence[Layer], *, method: str = "first", feather: int = 0) -> Mosaic:
    """Scenes of one shape, the first one on top: whole arrays, as in a notebook.

    `method`: "first" or "last" in the order, "min", "max" or "mean" of all. `feather`: pixels over which first, last and mean
    fade towards the edges of valid data, 0 for hard edges. Values of whole numbers come back as such, rounded.
    """
    numbered = [replace(scene, number=scene.number or place) for place, scene in enumerate(scenes, 1)]
    if feather and method not in ("min", "max"):
        weights = [edge_weights(scene.valid, feather) for scene in numbered]
        if method != "mean":
            most = np.maximum.reduce(weights)
            weights = [opacity(own, most) for own in weights]
        numbered = [replace(scene, weights=own) for scene, own in zip(numbered, weights, strict=True)]
    return paint(numbered[::-1] if method == "last" else numbered, method=method)


def opacity(own: Float32, most: Float32) -> Float32:
    """Of scenes that lie on each other, how much one hides of those below: its weight by the largest of all.

    So a scene fades only where another goes on: on an edge that all have in common, as dates of one tile do, the first one
    hides the others to the end.
    """
    return np.divide(own, most, out=np.ones_like(own), where=most > 0)


def paint(layers: Iterable[Layer], *, method: str = "first") -> Mosaic:
    """The mosaic of layers that come one by one, the one on top first: no more are asked for than are seen.

    `method` as in `mosaic`, but that "last" is "first" of layers that come in the other order. At least one layer.
    """
    if method in ("min", "max"):
        return _paint_extreme(layers, np.minimum if method == "min" else np.maximum)
    return _Canvas(covering=method != "mean").paint(layers)


def _paint_extreme(layers: Iterable[Layer], ufunc: np.ufunc) -> Mosaic:
    iterator = iter(layers)
    first = next(iterator)
    values, valid = first.values.copy(), first.valid.copy()
    for layer in iterator:
        np.copyto(values, layer.values, where=layer.valid & ~valid)
        ufunc(values, layer.values, out=values, where=layer.valid & valid)
        valid |= layer.valid
    return Mosaic(values=values, valid=valid, source=np.zeros(valid.shape, dtype=np.int32))


class _Canvas:
    """Layers laid on each other: a weighted mean, whose weights are what the layers above leave to be seen."""

    def __init__(self, *, covering: bool) -> None:
        self._covering = covering  # else all count with their own weight

    def paint(self, layers: Iterable[Layer]) -> Mosaic:
        iterator = iter(layers)
        self._begin(next(iterator))
        while not self._is_covered() and (layer := next(iterator, None)) is not None:
            self._add(layer)
        values = self._base if self._shift is None else self._blend(self._shift)
        return Mosaic(values=values, valid=self._total > 0, source=self._source)

    def _begin(self, layer: Layer) -> None:
        self._base = layer.values.copy()  # of each pixel, the layer that came first
        self._shift: NDArray[Any] | None = (
            None  # sum of weight x (value - base): what agrees is not touched by rounding
        )
        self._total = self._weights_of(layer)
        self._open = 1 - self._total  # how much is seen of what lies below
        self._most = self._total.copy()
        self._source = np.where(self._total > 0, np.int32(layer.number), np.int32(0))

    def _is_covered(self) -> bool:
        return self._covering and not self._open.any()

    def _add(self, layer: Layer) -> None:
        weights = self._weights_of(layer)
        if self._covering:
            seen = weights * self._open
            self._open *= 1 - weights
        else:
            seen = weights
        new = (self._total == 0) & (seen > 0)
        mixed = ~new & (seen > 0)
        np.copyto(self._base, layer.values, where=new)
        if mixed.any():
            self._mix(layer.values, seen, mixed)
        self._total += seen
        leading = seen > self._most
        np.copyto(self._source, np.int32(layer.number), where=leading)
        np.copyto(self._most, seen, where=leading)

    def _weights_of(self, layer: Layer) -> Float32:
        if layer.weights is None:
            return layer.valid.astype(np.float32)
        least = np.float32(0) if self._covering else _LEAST
        return np.maximum(layer.weights, least) * layer.valid

    def _mix(self, values: NDArray[Any], seen: Float32, mixed: Mask) -> None:
        if self._shift is None:
            self._shift = np.zeros(values.shape, dtype=np.result_type(values.dtype, np.float32))
        part = _box_of(mixed)
        names = {"seen": seen[part], "mixed": mixed[part]}
        for band, base, shift in zip(values, self._base, self._shift, strict=True):
            own = {"value": _as_real(band[part]), "base": _as_real(base[part]), "shift": shift[part]}
            expression = "where(mixed, shift + seen * (value - base), shift)"
            shift[part] = numexpr.evaluate(expression, {**names, **own}, casting="same_kind")

    def _blend(self, shifts: NDArray[Any]) -> NDArray[Any]:
        total = np.where(self._total > 0, self._total, np.float32(1))
        blended = np.empty_like(self._base)
        for into, base, shift in zip(blended, self._base, shifts, strict=True):
            names = {"base": _as_real(base), "shift": shift, "total": total}
            into[...] = to_dtype(numexpr.evaluate("base + shift / total", names), into.dtype)
        return blended


def _as_real(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.result_type(values.dtype, np.float32), copy=False)


def _box_of(mask: Mask) -> tuple[slice, slice]:
    """The smallest rectangle around what is set: seams are narrow."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def to_dtype(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Real numbers as another type: rounded to the nearest, and at most the type's own extremes, where it is of whole
    numbers."""
    if not np.issubdtype(dtype, np.integer) or np.issubdtype(values.dtype, np.integer):
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    with np.errstate(invalid="ignore"):  # what stands in pixels without data
        clipped: NDArray[Any] = np.clip(np.rint(values), limits.min, limits.max).astype(dtype)
    return clipped


def with_nodata(mosaic: Mosaic, nodata: float, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The values as they are written: `nodata` where nothing is valid, and nowhere else; a value that happens to be it moves
    by one."""
    values = to_dtype(mosaic.values, dtype)
    if np.isnan(nodata):
        return np.where(mosaic.valid, values, dtype.type(nodata))
    missing = dtype.type(nodata)
    collides = values == missing
    if collides.any():
        values = np.where(collides & mosaic.valid, beside(missing), values)
    return np.where(mosaic.valid, values, missing)


def cell_of(feather: int) -> int:
    """Pixels between the nodes on which weights over `feather` pixels are computed: a power of two."""
    return 1 << max((feather // _NODES).bit_length() - 1, 0)


def margin(feather: int) -> int:
    """Pixels around a part of a picture that its weights depend on, in whole cells."""
    return (-(-feather // cell_of(feather)) + 1) * cell_of(feather)


def edge_weights(valid: Mask, feather: int) -> Float32:
    """How strongly each pixel of a scene counts, 0..1: 0 on the edge of what is valid, 1 from about `feather` pixels inside.

    The distance (Euclidean) to the nearest node with an invalid pixel in one of the four cells around it, interpolated
    linearly between nodes and eased at both ends: a continuous weight, 0 in every invalid pixel, whose steps from pixel to
    pixel are at most 1.5 / feather. Outside of the array nothing is valid. The array's first pixel is on a cell's corner.
    """
    rows, columns = valid.shape
    cell = cell_of(feather)
    padded = np.pad(valid, ((0, -rows % cell), (0, -columns % cell)))
    return weights_of_cells(whole_cells(padded, cell), feather)[:rows, :columns]


def whole_cells(valid: Mask, cell: int) -> Mask:
    """Which squares of `cell` pixels are valid in every pixel; both sides are whole numbers of cells."""
    return _all_of(_all_of(valid, cell).T, cell).T


def weights_of_cells(whole: Mask, feather: int) -> Float32:
    """`edge_weights` of a mask by its `whole_cells`."""
    cell = cell_of(feather)
    nodes = -(-feather // cell)
    node = np.pad(whole, 1)
    node = node[1:] & node[:-1]
    node = node[:, 1:] & node[:, :-1]
    share = _distances(node, nodes) / np.float32(nodes)
    eased = share * share * (3 - 2 * share)
    along_rows = np.ascontiguousarray(_interpolate(eased.T, cell).T)  # first the way that leaves less to do
    return _interpolate(along_rows, cell)


def _all_of(valid: Mask, cell: int) -> Mask:
    """Whether all of each `cell` rows in turn are set."""
    every = valid[0::cell].copy()
    for row in range(1, cell):
        every &= valid[row::cell]
    return every


def _distances(valid: Mask, most: int) -> Float32:
    """From each node to the nearest invalid one, at most `most`."""
    rows = np.arange(valid.shape[0], dtype=np.int32)[:, np.newaxis]
    above = np.maximum.accumulate(np.where(valid, -most, rows), axis=0)
    below = np.minimum.accumulate(np.where(valid, rows[-1] + most, rows)[::-1], axis=0)[::-1]
    squared = np.square(np.minimum(np.minimum(rows - above, below - rows), most))
    padded = np.pad(squared, ((0, 0), (most, most)), constant_values=most * most)
    nearest = squared.copy()
    for step in range(1, most):
        left, right = padded[:, most - step : -most - step], padded[:, most + step : padded.shape[1] - most + step]
        np.minimum(nearest, np.minimum(left, right) + step * step, out=nearest)
    distances: Float32 = np.sqrt(nearest.astype(np.float32))
    return distances


def _interpolate(nodes: Float32, cell: int) -> Float32:
    """Rows at the centres of `cell` pixels between every two rows of nodes."""
    low, rise = nodes[:-1], np.diff(nodes, axis=0)
    between = np.empty((len(low) * cell, nodes.shape[1]), dtype=np.float32)
    for row in range(cell):
        np.multiply(rise, np.float32((row + 0.5) / cell), out=between[row::cell])
        between[row::cell] += low
    return between

"""From reflectance at the top of the atmosphere to reflectance of the surface, pixel by pixel (pure numpy).

The geometry changes slowly and counts by blocks of 64 x 64 pixels; aerosol, elevation, water vapour and ozone count by
pixel. In a block 6S is a product of polynomials, each of elevation and one of the others, whose terms all bands share: a
matrix product gives all of a block's. What is one number for the whole scene is multiplied in beforehand.

Blocks are counted from the scene's corner and always computed whole, so a pixel's result does not depend, to the bit, on
the window that it is read in; nor on how many threads there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath_eo.atmosphere.sixs import Nodes, Table, interpolate, water_weights, weights
from swath_eo.errors import ParameterError

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

BLOCK = 64  # pixels a side under one geometry
_PART = 128  # pixels in a product; OpenBLAS splits none of up to 2**18 multiplications
_METRES = 1000.0  # in a km


@dataclass(frozen=True, kw_only=True)
class Atmosphere:
    """6S for the blocks of a window."""

    table: Table
    nodes: Nodes  # whose places are the blocks, row after row
    columns: int  # of blocks


def prepare(table: Table, *, sun: Float64, view: Float64) -> Atmosphere:
    """For blocks whose centres have a sun zenith (rows, columns) and, for each of the table's bands, a view zenith
    (bands, rows, columns), degrees. Raises ParameterError for other shapes, and as `sixs.interpolate`."""
    if sun.ndim != 2 or view.shape != (len(table.bands), *sun.shape):
        told = f"here {sun.shape} and {view.shape}, for {len(table.bands)} bands"
        raise ParameterError(f"sun is (rows, columns) and view (bands, rows, columns) of the same blocks: {told}")
    nodes = interpolate(table, sun=sun.ravel(), view=view.reshape(len(view), -1).T)
    return Atmosphere(table=table, nodes=nodes, columns=sun.shape[1])


def correct(
    toa: NDArray[Any],
    atmosphere: Atmosphere,
    *,
    aerosol: Float32 | float,
    elevation: Float32 | float,
    water: Float32 | float,
    ozone: Float32 | float,
    first: tuple[int, int] = (0, 0),
) -> Float32:
    """Surface reflectance (bands, rows, columns), float32.

    `toa`: reflectance at the top of the atmosphere (bands, rows, columns). `aerosol` (optical depth at 550 nm),
    `elevation` (metres), `water` (vapour, g/cm2) and `ozone` (cm-atm) are maps (rows, columns) or hold everywhere; beyond
    the table's ends its ends count. `first`: the window's first row and column, counted from the first block's corner.
    NaN in any of them is NaN in the result. Raises ParameterError for one amount of water or ozone beyond the tables.
    """
    shape = toa.shape[1:]
    surface = np.empty(toa.shape, dtype=np.float32)
    amounts = {"aerosol": aerosol, "elevation": elevation, "water": water, "ozone": ozone}
    by_pixel = {
        name: np.broadcast_to(np.asarray(amount, dtype=np.float32), shape)
        for name, amount in amounts.items()
        if name in ("aerosol", "elevation") or isinstance(amount, np.ndarray)
    }
    block = _Block(atmosphere, {name: float(amounts[name]) for name in amounts.keys() - by_pixel.keys()})
    for place, inside, outside in _blocks(shape, first):
        maps = {name: values[outside] for name, values in by_pixel.items()}
        rows, columns = outside
        surface[:, rows, columns] = block.correct(toa[:, rows, columns], maps, place, inside)
    return surface


def _blocks(
    shape: tuple[int, ...], first: tuple[int, int]
) -> Iterator[tuple[tuple[int, int], tuple[slice, slice], tuple[slice, slice]]]:
    """Each block's row and column, the part of it that the window has, and which part of the window that is."""
    for i, inside_rows, rows in _cuts(shape[0], first[0]):
        for j, inside_columns, columns in _cuts(shape[1], first[1]):
            yield (i, j), (inside_rows, inside_columns), (rows, columns)


def _cuts(length: int, first: int) -> Iterator[tuple[int, slice, slice]]:
    for number in range(first // BLOCK, (first + length - 1) // BLOCK + 1):
        start = number * BLOCK
        begin, end = max(start, first), min(start + BLOCK, first + length)
        yield number, slice(begin - start, end - start), slice(begin - first, end - first)


class _Block:
    """The arrays that one block after the other is computed in: they stay in the processor's cache."""

    def __init__(self, atmosphere: Atmosphere, everywhere: dict[str, float]) -> None:
        table, nodes = atmosphere.table, atmosphere.nodes
        self._columns = atmosphere.columns
        self._elevation = _Axis(_METRES * table.elevation)
        if "water" in everywhere:
            amount = _within("WATER", everywhere["water"], table.water)
            nodes = nodes.with_water(water_weights(table, amount))
        if "ozone" in everywhere:
            nodes = nodes.with_ozone(weights(table.ozone, _within("OZONE", everywhere["ozone"], table.ozone)))
        self._is_mapped = len(everywhere) < 2
        molecules = np.broadcast_to(nodes.molecules, nodes.haze.shape)
        path = (nodes.haze, molecules) if self._is_mapped else (nodes.haze + molecules,)
        self._haze = _Polynomials(_Axis(table.aerosol), (1 / nodes.scattering, nodes.albedo, *path))
        self._water = self._ozone = None
        if "water" not in everywhere:
            self._water = _Polynomials(_Axis(np.sqrt(table.water)), (1 / nodes.vapour, nodes.vapour_before_haze))
        if "ozone" not in everywhere:
            absorbed = (1 / nodes.ozone, nodes.ozone_before_haze, nodes.ozone_before_molecules)
            self._ozone = _Polynomials(_Axis(table.ozone), absorbed)

    def correct(
        self, toa: NDArray[Any], maps: dict[str, Float32], place: tuple[int, int], inside: tuple[slice, slice]
    ) -> Float32:
        gain, albedo, seen = self._find(maps, place[0] * self._columns + place[1], inside)
        y: Float32 = np.subtract(toa, seen, out=seen)
        y *= gain
        albedo *= y
        albedo += 1
        y /= albedo
        return y

    def _find(self, maps: dict[str, Float32], place: int, inside: tuple[slice, slice]) -> tuple[Float32, ...]:
        """What the air takes of the surface's light, as a factor against that; the sky's albedo; what is seen of the air."""
        height = self._elevation.terms(maps["elevation"], inside)
        gain, albedo, *path = self._haze.at(place, maps["aerosol"], height, inside)
        if self._water is not None:
            root = np.sqrt(np.maximum(maps["water"], 0))
            vapour, before_haze = self._water.at(place, root, height, inside)
            gain *= vapour
            path[0] *= before_haze
        if self._ozone is not None:
            for values, absorbed in zip(
                (gain, *path), self._ozone.at(place, maps["ozone"], height, inside), strict=True
            ):
                values *= absorbed
        if self._is_mapped:
            path[0] += path[1]
        return gain, albedo, path[0]


def _within(name: str, value: float, nodes: Float64) -> float:
    if not nodes[0] <= value <= nodes[-1]:
        raise ParameterError(f"{name} is {value:g}, not within {nodes[0]:g}..{nodes[-1]:g}")
    return value


class _Axis:
    """Chebyshev's polynomials of one quantity in the pixels of a block."""

    def __init__(self, nodes: Float64) -> None:
        self._nodes = nodes
        self._map = np.zeros((BLOCK, BLOCK), dtype=np.float32)
        self._terms = np.empty((len(nodes), BLOCK, BLOCK), dtype=np.float32)

    def terms(self, values: Float32, inside: tuple[slice, slice]) -> Float32:
        """(terms, BLOCK, BLOCK), where the block's pixels are `inside` of it."""
        self._map[inside] = values
        return _fill_chebyshev(self._terms, self._map, self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)


class _Polynomials:
    """Some quantities as polynomials of one axis and elevation, with a set of coefficients a place."""

    def __init__(self, axis: _Axis, quantities: tuple[Float64, ...]) -> None:
        """`quantities`: their values (places, bands, nodes of the axis, nodes of elevation)."""
        self._axis = axis
        values = np.stack(quantities, axis=1)
        places, self._count, bands, _, heights = values.shape
        series = np.einsum("in,pqbne,je->pqbij", _series_of(len(axis)), values, _series_of(heights))
        self._coefficients = series.reshape(places, self._count * bands, -1).astype(np.float32)
        self._terms = np.empty((len(axis), heights, BLOCK, BLOCK), dtype=np.float32)
        self._found = np.empty((self._count * bands, BLOCK * BLOCK), dtype=np.float32)

    def at(self, place: int, values: Float32, height: Float32, inside: tuple[slice, slice]) -> tuple[Float32, ...]:
        """Of each quantity the values (bands, rows, columns) inside of a block."""
        np.multiply(self._axis.terms(values, inside)[:, None], height[None], out=self._terms)
        np.matmul(self._coefficients[place], _in_parts(self._terms), out=_in_parts(self._found))
        found = self._found.reshape(self._count, -1, BLOCK, BLOCK)
        return tuple(found[(slice(None), slice(None), *inside)])


def _series_of(count: int) -> Float64:
    """(terms, nodes): from values at Chebyshev's extrema, in ascending order, to the series through them."""
    nodes = -np.cos(np.pi * np.arange(count) / (count - 1))
    values = np.asarray(np.polynomial.chebyshev.chebvander(nodes, count - 1), dtype=np.float64)
    return np.asarray(np.linalg.inv(values), dtype=np.float64)


def _in_parts(arrays: Float32) -> Float32:
    """(parts, arrays, pixels): a view of a block's arrays, over which a product is taken part by part.

    All parts have one shape, for in a product of another one a pixel's sum could run in another order. They are small
    for the same reason: what a BLAS splits among threads depends on how many it has.
    """
    split: Float32 = arrays.reshape(-1, BLOCK * BLOCK // _PART, _PART)
    return split.swapaxes(0, 1)


def _fill_chebyshev(terms: Float32, values: Float32, nodes: Float64) -> Float32:
    """(terms, rows, columns): Chebyshev's polynomials between the first and the last node."""
    terms[0] = 1
    x = terms[1]
    scale = np.float32(2 / (nodes[-1] - nodes[0]))
    np.subtract(values, np.float32((nodes[0] + nodes[-1]) / 2), out=x)
    x *= scale
    np.clip(x, -1, 1, out=x)
    for k in range(2, len(nodes)):
        np.multiply(x, terms[k - 1], out=terms[k])
        terms[k] *= 2
        terms[k] -= terms[k - 2]
    return terms

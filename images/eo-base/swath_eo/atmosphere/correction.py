"""From reflectance at the top of the atmosphere to reflectance of the surface, pixel by pixel (pure numpy).

The geometry changes slowly and counts by blocks of 64 x 64 pixels; aerosol and elevation count by pixel. In a block 6S is
a polynomial of the two, whose terms all bands share: one matrix product gives all of a block's coefficients.

Blocks are counted from the scene's corner and always computed whole, so a pixel's result does not depend, to the bit, on
the window that it is read in; nor on how many threads there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath_eo.atmosphere.sixs import Nodes, Table, interpolate

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

BLOCK = 64  # pixels a side under one geometry
_PART = 128  # pixels in a product; OpenBLAS splits none of up to 2**18 multiplications
_METRES = 1000.0  # in a km


@dataclass(frozen=True, kw_only=True)
class Atmosphere:
    """6S for the blocks of a window."""

    coefficients: Float32  # (block rows, block columns, 3 x bands, terms): of gain, bias and albedo
    aerosol: Float64  # nodes of the polynomial's terms
    elevation: Float64  # nodes, metres
    bands: int


def prepare(table: Table, *, sun: Float64, view: Float64, water: float, ozone: float) -> Atmosphere:
    """For blocks whose centres have a sun zenith (rows, columns) and, for each of the table's bands, a view zenith
    (bands, rows, columns), degrees. Raises as `sixs.interpolate`."""
    rows, columns = sun.shape
    nodes = interpolate(table, sun=sun.ravel(), view=view.reshape(len(view), -1).T, water=water, ozone=ozone)
    found = _to_series(nodes, len(table.aerosol), len(table.elevation)).astype(np.float32)
    return Atmosphere(
        coefficients=found.reshape(rows, columns, 3 * len(view), -1),
        aerosol=table.aerosol,
        elevation=_METRES * table.elevation,
        bands=len(view),
    )


def _to_series(nodes: Nodes, aerosol: int, elevation: int) -> Float64:
    """(places, 3 x bands, terms): the Chebyshev series that have the values at the nodes."""
    values = np.concatenate([nodes.gain, nodes.bias, nodes.albedo], axis=1)
    series: Float64 = np.einsum("ia,pbae,je->pbij", _series_of(aerosol), values, _series_of(elevation))
    return series.reshape(*series.shape[:2], -1)


def _series_of(count: int) -> Float64:
    """(terms, nodes): from values at Chebyshev's extrema, in ascending order, to the series through them."""
    nodes = -np.cos(np.pi * np.arange(count) / (count - 1))
    values = np.asarray(np.polynomial.chebyshev.chebvander(nodes, count - 1), dtype=np.float64)
    return np.asarray(np.linalg.inv(values), dtype=np.float64)


def correct(
    toa: NDArray[Any],
    atmosphere: Atmosphere,
    *,
    aerosol: Float32 | float,
    elevation: Float32 | float,
    first: tuple[int, int] = (0, 0),
) -> Float32:
    """Surface reflectance (bands, rows, columns), float32.

    `toa`: reflectance at the top of the atmosphere (bands, rows, columns). `aerosol` (optical depth at 550 nm) and
    `elevation` (metres) are maps (rows, columns) or hold everywhere; beyond the table's ends its ends count. `first`:
    the window's first row and column, counted from the first block's corner. NaN in any of them is NaN in the result.
    """
    shape = toa.shape[1:]
    aerosol, elevation = (np.broadcast_to(np.asarray(m, dtype=np.float32), shape) for m in (aerosol, elevation))
    surface = np.empty(toa.shape, dtype=np.float32)
    block = _Block(atmosphere)
    for place, inside, outside in _blocks(shape, first):
        rows, columns = outside
        surface[:, rows, columns] = block.correct(
            toa[:, rows, columns], aerosol[outside], elevation[outside], place, inside
        )
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

    def __init__(self, atmosphere: Atmosphere) -> None:
        self._atmosphere = atmosphere
        self._terms = np.empty((len(atmosphere.aerosol), len(atmosphere.elevation), BLOCK, BLOCK), dtype=np.float32)
        self._found = np.empty((3 * atmosphere.bands, BLOCK * BLOCK), dtype=np.float32)
        self._maps = np.zeros((2, BLOCK, BLOCK), dtype=np.float32)

    def correct(
        self,
        toa: NDArray[Any],
        aerosol: Float32,
        elevation: Float32,
        place: tuple[int, int],
        inside: tuple[slice, slice],
    ) -> Float32:
        self._fill_terms(aerosol, elevation, inside)
        np.matmul(self._atmosphere.coefficients[place], _in_parts(self._terms), out=_in_parts(self._found))
        gain, bias, albedo = self._found.reshape(3, -1, BLOCK, BLOCK)[(slice(None), slice(None), *inside)]
        y: Float32 = np.multiply(gain, toa, out=gain)
        y -= bias
        albedo *= y
        albedo += 1
        y /= albedo
        return y

    def _fill_terms(self, aerosol: Float32, elevation: Float32, inside: tuple[slice, slice]) -> None:
        self._maps[(0, *inside)] = aerosol
        self._maps[(1, *inside)] = elevation
        by_aerosol = _chebyshev(self._maps[0], self._atmosphere.aerosol)
        by_elevation = _chebyshev(self._maps[1], self._atmosphere.elevation)
        np.multiply(by_aerosol[:, None], by_elevation[None], out=self._terms)


def _in_parts(arrays: Float32) -> Float32:
    """(parts, arrays, pixels): a view of a block's arrays, over which a product is taken part by part.

    All parts have one shape, for in a product of another one a pixel's sum could run in another order. They are small
    for the same reason: what a BLAS splits among threads depends on how many it has.
    """
    split: Float32 = arrays.reshape(-1, BLOCK * BLOCK // _PART, _PART)
    return split.swapaxes(0, 1)


def _chebyshev(values: Float32, nodes: Float64) -> Float32:
    """(terms, rows, columns): Chebyshev's polynomials between the first and the last node."""
    terms = np.empty((len(nodes), *values.shape), dtype=np.float32)
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

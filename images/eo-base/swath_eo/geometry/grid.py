"""Where pixels lie: the common ground of two grids, and the windows to walk over it (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.windows import Window

from swath_eo.errors import CrsMismatchError, EmptyOverlapError, GridMismatchError, NotGeoreferencedError

# Pixels: archives round their geotransforms, so less than this apart is the same place.
_TOLERANCE = 1e-2
# Resampling a band this many times coarser than the other would invent most of its detail.
_MAX_RATIO = 8.0


TILE = 512  # pixels a side


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A raster's pixels on the ground."""

    crs: CRS | None
    transform: Affine  # pixel corner (column, row) -> (x, y) in the units of the crs
    width: int  # columns
    height: int  # rows

    @property
    def is_north_up(self) -> bool:
        """Columns run east and rows run south."""
        t = self.transform
        return bool(t.b == 0 and t.d == 0 and t.a > 0 and t.e < 0)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """left, bottom, right, top of a north-up grid."""
        left, top = self.transform @ (0, 0)
        right, bottom = self.transform @ (self.width, self.height)
        return left, bottom, right, top

    def windows(self, size: int) -> Iterator[Window]:
        """Squares of `size` pixels (less at the right and lower edge), row by row, each pixel once."""
        for row in range(0, self.height, size):
            for column in range(0, self.width, size):
                yield Window(column, row, min(size, self.width - column), min(size, self.height - row))

    def tiles_under(self, window: Window) -> Iterator[Window]:
        """The squares of 512 pixels, counted from the grid's corner, that a window touches: what is made square by square
        is the same to the bit whatever windows it is asked for in."""
        for row in range(window.row_off // TILE * TILE, window.row_off + window.height, TILE):
            for column in range(window.col_off // TILE * TILE, window.col_off + window.width, TILE):
                yield Window(column, row, min(TILE, self.width - column), min(TILE, self.height - row))

    def count_windows(self, size: int) -> int:
        """How many `windows(size)` yields."""
        return math.ceil(self.width / size) * math.ceil(self.height / size)


def shared(window: Window, tile: Window) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The pixels that a window and a tile have in common, as slices of each."""
    left, top = max(tile.col_off, window.col_off), max(tile.row_off, window.row_off)
    right = min(tile.col_off + tile.width, window.col_off + window.width)
    bottom = min(tile.row_off + tile.height, window.row_off + window.height)
    one, other = (
        (slice(top - of.row_off, bottom - of.row_off), slice(left - of.col_off, right - of.col_off))
        for of in (window, tile)
    )
    return one, other


@dataclass(frozen=True, kw_only=True)
class Placement:
    """How one band comes onto a common grid."""

    column: int  # of the band's own grid at the common grid's left edge; 0 where it is resampled
    row: int
    resampled: bool  # its pixels have another size or lie between the common grid's


def check_georeferenced(grid: Grid, *, where: str) -> CRS:
    """The grid's system. Raises NotGeoreferencedError where there is no coordinate reference system or no geotransform."""
    if grid.crs is None:
        raise NotGeoreferencedError(f"{where} has no coordinate reference system")
    if grid.transform == Affine.identity():
        raise NotGeoreferencedError(f"{where} has no geotransform")
    return grid.crs


def common_ground(grids: Sequence[Grid]) -> Grid:
    """The ground that all cover, in whole pixels of the finest grid (the first of them where they are alike).

    Raises CrsMismatchError, GridMismatchError (rotated, or more than 8 times coarser) and EmptyOverlapError.
    """
    first = grids[0]
    for other in grids[1:]:
        if first.crs != other.crs:
            raise CrsMismatchError(
                f"one band is in {_told(first.crs)}, the other in {_told(other.crs)}: reproject one first"
            )
    if all(_is_same(first, other) for other in grids[1:]):
        return first
    if not all(grid.is_north_up for grid in grids):
        raise GridMismatchError(
            "the bands' grids differ and one is not north up: only north-up grids can be brought together"
        )
    finest = first
    for other in grids[1:]:
        finest = other if other.transform.a < finest.transform.a * (1 - 1e-3) else finest
    for other in grids:
        _check_ratio(finest, other)
    return _clip(finest, _intersection(grids))


def _is_same(first: Grid, second: Grid) -> bool:
    """Every corner pixel of one lies on the other's, however the grids are rotated."""
    if (first.width, first.height) != (second.width, second.height):
        return False
    return _drift(first, second) <= _TOLERANCE


def _drift(own: Grid, other: Grid, column: float = 0.0, row: float = 0.0) -> float:
    """How many pixels at most a corner of `other` is off, were it to begin at a column and row of `own`."""
    to_own = ~own.transform @ other.transform
    drift = 0.0
    for corner in ((0, 0), (other.width, 0), (0, other.height), (other.width, other.height)):
        x, y = to_own @ corner
        drift = max(drift, abs(x - column - corner[0]), abs(y - row - corner[1]))
    return drift


def _told(crs: CRS | None) -> str:
    return crs.to_string() if crs is not None and crs.to_epsg() else "a system without an EPSG number"


def _check_ratio(first: Grid, second: Grid) -> None:
    for a, b in ((first.transform.a, second.transform.a), (first.transform.e, second.transform.e)):
        if max(a / b, b / a) > _MAX_RATIO:
            sizes = f"{abs(a):g} and {abs(b):g}"
            raise GridMismatchError(
                f"the bands' pixels measure {sizes}: more than {_MAX_RATIO:g} times apart is not resampled"
            )


def _intersection(grids: Sequence[Grid]) -> tuple[float, float, float, float]:
    edges = [grid.bounds for grid in grids]
    lefts, bottoms, rights, tops = zip(*edges, strict=True)
    left, bottom, right, top = max(lefts), max(bottoms), min(rights), min(tops)
    if left >= right or bottom >= top:
        told = " and ".join(str(_rounded(bounds)) for bounds in dict.fromkeys(edges))
        raise EmptyOverlapError(f"the bands cover no common ground: {told} (left, bottom, right, top)")
    return left, bottom, right, top


def _rounded(bounds: tuple[float, float, float, float]) -> tuple[float, ...]:
    return tuple(round(edge, 3) for edge in bounds)


def _clip(grid: Grid, bounds: tuple[float, float, float, float]) -> Grid:
    left, bottom, right, top = bounds
    column_a, row_a = ~grid.transform @ (left, top)
    column_b, row_b = ~grid.transform @ (right, bottom)
    column, row = math.ceil(column_a - _TOLERANCE), math.ceil(row_a - _TOLERANCE)
    width, height = math.floor(column_b + _TOLERANCE) - column, math.floor(row_b + _TOLERANCE) - row
    if width < 1 or height < 1:
        raise EmptyOverlapError("the bands' common ground is narrower than a pixel")
    return Grid(crs=grid.crs, transform=grid.transform @ Affine.translation(column, row), width=width, height=height)


def place(own: Grid, common: Grid) -> Placement:
    """How a band on the grid `own` comes onto `common`: shifted by whole pixels where that does, else resampled."""
    if own.crs != common.crs:
        return Placement(column=0, row=0, resampled=True)
    column, row = ~own.transform @ (common.transform.c, common.transform.f)
    if max(abs(column - round(column)), abs(row - round(row)), _drift(own, common, column, row)) > _TOLERANCE:
        return Placement(column=0, row=0, resampled=True)
    return Placement(column=round(column), row=round(row), resampled=False)

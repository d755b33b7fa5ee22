"""Where a mosaic lies, and where on it each scene (pure)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.warp import calculate_default_transform, transform
from rasterio.windows import Window

from swath_eo.errors import (
    EmptyOverlapError,
    GridMismatchError,
    MosaicTooLargeError,
    NotGeoreferencedError,
    ParameterError,
)
from swath_eo.geometry.grid import Grid

Bounds = tuple[float, float, float, float]  # left, bottom, right, top

_STEPS = 32  # points on each edge of a scene: a straight edge on one map is a bow on another
_TOLERANCE = 1e-2  # pixels: as in grid.py
_LARGEST = 100_000**2  # pixels: scenes that far apart are no mosaic
_COARSEST = 8.0  # times the mosaic's pixel: to resample more would invent detail
_SLACK = 1.5  # a turned scene's rectangle is larger than itself


def target_grid(
    grids: Sequence[Grid], *, crs: CRS | None = None, resolution: float | None = None, bounds: Bounds | None = None
) -> Grid:
    """The grid of a mosaic of scenes on `grids`, by default all of their ground.

    By default in the system that most of them are in, on the pixels of the finest of those (so that what shares them is not
    resampled). Another `resolution` (in units of the system) counts from the system's origin. `bounds` are in the system's
    units; pixels that they cut are whole. Raises GridMismatchError, EmptyOverlapError, MosaicTooLargeError.
    """
    crs = crs or Counter(grid.crs for grid in grids).most_common(1)[0][0]
    if crs is None:
        raise NotGeoreferencedError("the scenes have no coordinate reference system")
    lattice = _lattice(grids, crs, resolution)
    ground = union([footprint(grid, lattice) for grid in grids])
    if bounds is not None:
        asked = _to_pixels(lattice, bounds)
        if intersection(ground, asked) is None:
            raise EmptyOverlapError(f"no scene reaches into BBOX {bounds}")
        ground = asked
    if ground.width * ground.height > _LARGEST:
        raise MosaicTooLargeError(
            f"the mosaic would measure {ground.width} x {ground.height} pixels: give BBOX or a coarser RESOLUTION"
        )
    return subgrid(Grid(crs=crs, transform=lattice.transform, width=1, height=1), ground)


def _lattice(grids: Sequence[Grid], crs: CRS, resolution: float | None) -> Grid:
    """The mosaic's pixels, from a corner of one of them."""
    own = [grid for grid in grids if grid.crs == crs and grid.is_north_up]
    finest: Grid | None = None
    for grid in own:
        finest = grid if finest is None or grid.transform.a < finest.transform.a * (1 - 1e-3) else finest
    if finest is not None and (resolution is None or math.isclose(finest.transform.a, resolution, rel_tol=1e-6)):
        return finest
    size = resolution or _resolution_in(grids, crs)
    return Grid(crs=crs, transform=Affine(size, 0, 0, 0, -size, 0), width=1, height=1)


def _resolution_in(grids: Sequence[Grid], crs: CRS) -> float:
    """The finest pixel of all, in units of a system that none of them is in."""
    finest = min(grids, key=_pixel_size)
    if finest.crs is not None and finest.crs.is_projected and crs.is_projected:
        factors = finest.crs.linear_units_factor[1] / crs.linear_units_factor[1]
        return _pixel_size(finest) * float(factors)
    corners = [
        finest.transform @ corner
        for corner in ((0, 0), (finest.width, 0), (0, finest.height), (finest.width, finest.height))
    ]
    xs, ys = zip(*corners, strict=True)
    edges = {"left": min(xs), "bottom": min(ys), "right": max(xs), "top": max(ys)}
    try:
        placed, _, _ = calculate_default_transform(finest.crs, crs, finest.width, finest.height, **edges)
    except Exception as error:  # as in `footprint`
        raise GridMismatchError(f"a scene cannot be brought into {crs}: {error}") from error
    return float(placed.a)


def _pixel_size(grid: Grid) -> float:
    return math.sqrt(abs(grid.transform.determinant))


def check_resolution(own: Grid, target: Grid, *, where: str) -> None:
    """Raises GridMismatchError for a scene whose pixels are more than 8 times as large as the mosaic's."""
    reached = footprint(own, target)
    ratio = math.sqrt(reached.width * reached.height / (own.width * own.height))
    if min(own.width, own.height) > 1 and ratio > _SLACK * _COARSEST:
        raise GridMismatchError(
            f"{where} has pixels more than {_COARSEST:g} times as large as the mosaic's: give a coarser RESOLUTION"
        )


def footprint(own: Grid, target: Grid, *, around: int | None = None) -> Window:
    """The pixels of `target` (and beyond, in all directions) that a scene on `own` reaches.

    `around`: pixels more on each side; by default one where the scene is in another system. Raises GridMismatchError where
    it cannot be told.
    """
    xs, ys = zip(*(own.transform @ point for point in _outline(own.width, own.height)), strict=True)
    if own.crs != target.crs and target.crs is not None:
        try:
            xs, ys = transform(own.crs, target.crs, xs, ys)
        except Exception as error:  # rasterio lets GDAL's own classes out here, which have no public base
            raise GridMismatchError(f"a scene cannot be brought into {target.crs}: {error}") from error
        if not all(map(math.isfinite, (*xs, *ys))) or (target.crs.is_geographic and max(xs) - min(xs) > 180):
            raise GridMismatchError(f"a scene lies beyond the edge of {target.crs}, or across it: give another CRS")
    columns, rows = zip(*(~target.transform @ point for point in zip(xs, ys, strict=True)), strict=True)
    more = (0 if own.crs == target.crs else 1) if around is None else around
    left, top = math.floor(min(columns) + _TOLERANCE) - more, math.floor(min(rows) + _TOLERANCE) - more
    right, bottom = math.ceil(max(columns) - _TOLERANCE) + more, math.ceil(max(rows) - _TOLERANCE) + more
    return Window(left, top, max(right - left, 1), max(bottom - top, 1))


def _outline(width: int, height: int) -> Iterator[tuple[float, float]]:
    for step in range(_STEPS + 1):
        x, y = width * step / _STEPS, height * step / _STEPS
        yield from ((x, 0.0), (x, float(height)), (0.0, y), (float(width), y))


def union(windows: Sequence[Window]) -> Window:
    """The smallest window around all."""
    left, top = min(w.col_off for w in windows), min(w.row_off for w in windows)
    right, bottom = max(w.col_off + w.width for w in windows), max(w.row_off + w.height for w in windows)
    return Window(left, top, right - left, bottom - top)


def _to_pixels(lattice: Grid, bounds: Bounds) -> Window:
    left, bottom, right, top = bounds
    if not (left < right and bottom < top and all(map(math.isfinite, bounds))):
        raise ParameterError(f"BBOX is {bounds}: its edges are left, bottom, right, top")
    (x0, y0), (x1, y1) = ~lattice.transform @ (left, top), ~lattice.transform @ (right, bottom)
    column, row = math.floor(x0 + _TOLERANCE), math.floor(y0 + _TOLERANCE)
    return Window(column, row, math.ceil(x1 - _TOLERANCE) - column, math.ceil(y1 - _TOLERANCE) - row)


def intersection(first: Window, second: Window) -> Window | None:
    """What two windows have in common, or None."""
    left, top = max(first.col_off, second.col_off), max(first.row_off, second.row_off)
    right = min(first.col_off + first.width, second.col_off + second.width)
    bottom = min(first.row_off + first.height, second.row_off + second.height)
    return Window(left, top, right - left, bottom - top) if left < right and top < bottom else None


def grown(window: Window, pixels: int) -> Window:
    """A window with so many pixels more on each side."""
    return Window(
        window.col_off - pixels, window.row_off - pixels, window.width + 2 * pixels, window.height + 2 * pixels
    )


def snapped(window: Window, step: int) -> Window:
    """The smallest window around it whose edges are multiples of `step`."""
    left, top = window.col_off // step * step, window.row_off // step * step
    right, bottom = (
        -(-(window.col_off + window.width) // step) * step,
        -(-(window.row_off + window.height) // step) * step,
    )
    return Window(left, top, right - left, bottom - top)


def inside(part: Window, whole: Window) -> tuple[slice, slice]:
    """Where `part` lies in an array of `whole`."""
    top, left = part.row_off - whole.row_off, part.col_off - whole.col_off
    return slice(top, top + part.height), slice(left, left + part.width)


def subgrid(grid: Grid, window: Window) -> Grid:
    """The window's own grid."""
    placed = grid.transform @ Affine.translation(window.col_off, window.row_off)
    return Grid(crs=grid.crs, transform=placed, width=window.width, height=window.height)

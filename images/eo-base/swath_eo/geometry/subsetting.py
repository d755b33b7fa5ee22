"""Cutting scenes: which grid an area of interest is cut out on, and what of it is kept (pure)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.features import geometry_mask
from rasterio.transform import Affine
from rasterio.warp import transform
from rasterio.windows import Window

from swath_eo.errors import EmptyOverlapError, ParameterError
from swath_eo.geometry.areas import Area, Bounds
from swath_eo.geometry.footprints import Ring
from swath_eo.geometry.grid import Grid, check_georeferenced, shared

MAX_PIXELS = 2**34  # of a grid: a whole zone at 10 m has less, and more is a slip in a unit
_TOLERANCE = 1e-6  # pixels: an edge this close to a pixel's is on it


def plan_grid(
    source: Grid,
    area: Area | None = None,
    *,
    crs: CRS | None = None,
    resolution: float | None = None,
    align: str = "auto",
) -> Grid:
    """The grid that an area (by default all of the source) is cut out on: whole pixels that cover it.

    `crs` and `resolution` (in its units) are the source's by default; in another system pixels are squares as large as
    the source's. `align`: "source" puts pixels where the source's are, so that nothing is resampled; "origin" their edges
    on multiples of the resolution; "area" the first corner on the area's; "x,y" on a point of the target's. "auto" is
    "source" where system and resolution are the source's, else "origin". Raises ParameterError, and EmptyOverlapError
    where area and source do not meet.
    """
    own = check_georeferenced(source, where="the scene")
    target = own if crs is None else crs
    pixel = _pixel(source, target, resolution)
    outline = _outline_of(source)
    bounds = outline.to(target).bounds if target != source.crs else outline.bounds
    wanted = bounds if area is None else _meeting(area.to(target).bounds, bounds, target)
    keeps = target == source.crs and source.is_north_up and pixel == (source.transform.a, -source.transform.e)
    if align == "source" and not keeps:
        raise ParameterError(
            "ALIGN=source wants the source's own system and resolution, and a grid that is not rotated"
        )
    if align == "source" or (align == "auto" and keeps):
        return snap(source, wanted)
    x, y = _anchor(align, wanted)
    base = Grid(crs=target, transform=Affine(pixel[0], 0, x, 0, -pixel[1], y), width=1, height=1)
    return snap(base, wanted)


def snap(grid: Grid, bounds: Bounds) -> Grid:
    """The pixels of a north-up grid, which goes on beyond its edges, that cover the bounds. Raises ParameterError for too
    many of them."""
    left, bottom, right, top = bounds
    to_pixels = ~grid.transform
    (column_a, row_a), (column_b, row_b) = to_pixels @ (left, top), to_pixels @ (right, bottom)
    column, row = math.floor(column_a + _TOLERANCE), math.floor(row_a + _TOLERANCE)
    width = max(math.ceil(column_b - _TOLERANCE) - column, 1)
    height = max(math.ceil(row_b - _TOLERANCE) - row, 1)
    if width * height > MAX_PIXELS:
        raise ParameterError(f"{width} x {height} pixels are too many: is the resolution in the system's own unit?")
    return Grid(crs=grid.crs, transform=grid.transform @ Affine.translation(column, row), width=width, height=height)


def _pixel(source: Grid, target: CRS, resolution: float | None) -> tuple[float, float]:
    if resolution is not None:
        if not 0 < resolution < math.inf:
            raise ParameterError(f"the resolution {resolution} is not above zero")
        return resolution, resolution
    if target == source.crs:
        return math.hypot(source.transform.a, source.transform.d), math.hypot(source.transform.b, source.transform.e)
    side = math.sqrt(_area_of_a_pixel(source, target))
    return side, side


def _area_of_a_pixel(source: Grid, target: CRS) -> float:
    """Of the pixel in the middle of the source, in the target's units. GDAL's own suggestion spans the globe where a scene
    crosses the antimeridian."""
    column, row = source.width / 2, source.height / 2
    points = [source.transform @ point for point in ((column, row), (column + 1, row), (column, row + 1))]
    xs, ys = transform(source.crs, target, [x for x, _ in points], [y for _, y in points])
    if not all(map(math.isfinite, (*xs, *ys))):
        raise ParameterError(f"the scene lies where {target.to_string()[:40]} has no place for it")
    if target.is_geographic:
        xs = [xs[0] + math.remainder(x - xs[0], 360) for x in xs]
    return abs(float((xs[1] - xs[0]) * (ys[2] - ys[0]) - (xs[2] - xs[0]) * (ys[1] - ys[0])))


def _outline_of(grid: Grid) -> Area:
    corners: Ring = [
        grid.transform @ point for point in ((0, 0), (0, grid.height), (grid.width, grid.height), (grid.width, 0))
    ]
    return Area(crs=grid.crs, polygons=((corners,),))


def _meeting(wanted: Bounds, there: Bounds, crs: CRS) -> Bounds:
    """The wanted bounds; in degrees turned once around the globe where only then they meet what is there."""
    for turn in (0, -360, 360) if crs.is_geographic else (0,):
        left, right = wanted[0] + turn, wanted[2] + turn
        if left < there[2] and right > there[0] and wanted[1] < there[3] and wanted[3] > there[1]:
            return left, wanted[1], right, wanted[3]
    told = " and ".join(str(tuple(round(edge, 5) for edge in bounds)) for bounds in (wanted, there))
    raise EmptyOverlapError(f"the area lies outside of the scene: {told} (left, bottom, right, top)")


def _anchor(align: str, wanted: Bounds) -> tuple[float, float]:
    if align in ("auto", "origin"):
        return 0.0, 0.0
    if align == "area":
        return wanted[0], wanted[3]
    try:
        x, y = (float(part) for part in align.split(","))
    except ValueError:
        x = y = math.nan
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ParameterError(f"ALIGN is {align[:40]!r}: neither auto, source, origin, area nor two coordinates x,y")
    return x, y


class Inside:
    """Which pixels of a grid have their centre in an area."""

    def __init__(self, area: Area, grid: Grid) -> None:
        self._grid = grid
        carried = area.to(grid.crs)
        turns = round((grid.bounds[0] - carried.bounds[0]) / 360) if carried.crs.is_geographic else 0
        polygons = tuple(
            tuple([(x + 360 * turns, y) for x, y in ring] for ring in polygon) for polygon in carried.polygons
        )
        self._shapes = Area(crs=grid.crs, polygons=polygons).to_geojson()

    def read(self, window: Window) -> NDArray[np.bool_]:
        """True inside, (rows, columns)."""
        inside = np.empty((window.height, window.width), dtype=np.bool_)
        for tile in self._grid.tiles_under(window):
            here, there = shared(window, tile)
            inside[here] = self._read_tile(tile)[there]
        return inside

    def _read_tile(self, tile: Window) -> NDArray[np.bool_]:
        corner = self._grid.transform @ Affine.translation(tile.col_off, tile.row_off)
        result: NDArray[np.bool_] = geometry_mask(self._shapes, (tile.height, tile.width), corner, invert=True)
        return result


def cut(
    values: NDArray[Any], valid: NDArray[np.bool_], inside: NDArray[np.bool_] | None, nodata: float | None
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """What is kept of a window's pixels, (bands, rows, columns): `nodata` stands where a band has no data or the pixel is
    not inside of the area; both arrays are changed in place and returned."""
    if inside is not None:
        valid &= inside
    if nodata is not None and not valid.all():
        values[~valid] = nodata
    return values, valid

"""Reads bands window by window on one grid, each warped there where it lies on another."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.dtypes import in_dtype_range
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform
from rasterio.windows import Window

from swath_eo.errors import UnreadableFileError
from swath_eo.geometry.grid import Grid, Placement, check_georeferenced, common_ground, place, shared
from swath_eo.scenes.bands import is_classes
from swath_eo.scenes.rasters import BandFile, open_raster

# GDAL's cache of decoded blocks, in bytes. By default it is 5 % of the machine's memory, whatever the container's
# limit.
CACHE_BYTES = 128 * 1024 * 1024
# Pixels. GDAL's default of an eighth shifts differently from block to block; 0 makes rasterio fail.
_VRT_TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Neighbouring bands of the stack that lie in one file and are read with one call."""

    dataset: Any  # of rasterio, or a WarpedVRT over it
    grid: Grid  # of the stack
    name: str
    indexes: list[int]  # in the file
    rows: slice  # in the stack
    placement: Placement
    nodata: float | None
    has_mask: bool  # a mask counts beside the nodata value, which is compared with
    alpha: int | None  # band of the file that is zero where there is no data

    def read(self, window: Window, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Fills in the bands' part of the stack in a window of the grid; what lies beyond the file is not valid."""
        if self.placement.resampled:
            self._read_tiles(window, values[self.rows], valid[self.rows])
            return
        column, row = window.col_off + self.placement.column, window.row_off + self.placement.row
        left, top = max(column, 0), max(row, 0)
        right = min(column + window.width, self.dataset.width)
        bottom = min(row + window.height, self.dataset.height)
        if (left, top, right, bottom) != (column, row, column + window.width, row + window.height):
            values[self.rows] = _fill(self.nodata, values.dtype)
            valid[self.rows] = False
        if left < right and top < bottom:
            inside = (self.rows, slice(top - row, bottom - row), slice(left - column, right - column))
            self._read(Window(left, top, right - left, bottom - top), values[inside], valid[inside])

    def _read_tiles(self, window: Window, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        # GDAL follows the transformation between points that depend on what is warped at once.
        for tile in self.grid.tiles_under(window):
            if tile == window:
                self._read(tile, values, valid)
                return
            shape = (len(self.indexes), tile.height, tile.width)
            tile_values, tile_valid = np.empty(shape, dtype=values.dtype), np.empty(shape, dtype=np.bool_)
            self._read(tile, tile_values, tile_valid)
            here, there = shared(window, tile)
            values[:, *here], valid[:, *here] = tile_values[:, *there], tile_valid[:, *there]

    def _read(self, window: Window, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        try:
            values[...] = self.dataset.read(self.indexes, window=window)
            masks = [self.dataset.read_masks(self.indexes, window=window)] if self.has_mask else []
            masks += [self.dataset.read(self.alpha, window=window)] if self.alpha else []
        except RasterioError as error:
            raise UnreadableFileError(f"{self.name} is damaged: {error.__cause__ or error}") from error
        if self.nodata is None:
            valid[...] = True
        elif math.isnan(self.nodata):
            np.isnan(values, out=valid)
            np.logical_not(valid, out=valid)
        else:
            np.not_equal(values, self.nodata, out=valid)
        for mask in masks:
            valid &= mask != 0


def _fill(nodata: float | None, dtype: np.dtype[Any]) -> float:
    """What stands where there is no data: the bands' own value, where the stack's type can hold it."""
    if nodata is None or (dtype.kind in "iu" and not np.iinfo(dtype).min <= nodata <= np.iinfo(dtype).max):
        return 0
    return nodata


class BandsReader:
    """Bands on one grid. `dtype` is the stack's: the smallest that holds all of theirs."""

    def __init__(self, grid: Grid, sources: Sequence[_Source], dtype: np.dtype[Any]) -> None:
        self.grid = grid
        self.dtype = dtype
        self._sources = sources
        self._count = sum(len(source.indexes) for source in sources)

    @property
    def resampled(self) -> tuple[bool, ...]:
        """For each band, whether it lies on another grid and is resampled."""
        return tuple(source.placement.resampled for source in self._sources for _ in source.indexes)

    def windows(self, size: int) -> Iterator[Window]:
        """As `Grid.windows`."""
        return self.grid.windows(size)

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Digital numbers and whether they are data, both (bands, rows, columns). Raises UnreadableFileError."""
        shape = (self._count, window.height, window.width)
        values, valid = np.empty(shape, dtype=self.dtype), np.empty(shape, dtype=np.bool_)
        for source in self._sources:
            source.read(window, values, valid)
        return values, valid


@contextmanager
def open_bands(
    bands: Sequence[BandFile],
    grid: Grid | None = None,
    *,
    resampling: Resampling = Resampling.bilinear,
    nodata: float | None = None,
) -> Iterator[BandsReader]:
    """Opens bands on `grid`, by default on their common ground in pixels of the finest.

    A band that is off the grid by more than whole pixels, or in another coordinate reference system, is warped with
    `resampling` (classes always by the nearest pixel; no data stays no data). `nodata` replaces the bands' own. The
    pixels do not depend on the windows that they are read in. Raises what `grid.common_ground` and
    `check_georeferenced` raise, and UnreadableFileError.
    """
    for band in bands:
        check_georeferenced(band.grid, where=band.path.name)
    common = grid or common_ground([band.grid for band in bands])
    with ExitStack() as stack:
        # One thread: with more, GDAL 3.10 decodes JPEG2000 tiles in threads whose errors nobody hears, and a file that
        # lacks its last byte reads as data.
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES, GDAL_NUM_THREADS="1"))
        sources: list[_Source] = []
        types: list[str] = []
        for _, together in groupby(bands, key=lambda band: (band.path, band.nodata, is_classes(band.name))):
            group = list(together)
            missing = group[0].nodata if nodata is None else nodata
            kernel = Resampling.nearest if is_classes(group[0].name) else resampling
            dataset = stack.enter_context(open_raster(group[0].path))
            types += [dataset.dtypes[band.index - 1] for band in group]
            if missing is not None and np.dtype(types[-1]).kind in "iu" and not in_dtype_range(missing, types[-1]):
                missing = None  # which no number of theirs is
            placement = place(group[0].grid, common)
            if placement.resampled:
                dataset = stack.enter_context(_warp(dataset, group[0], common, kernel, missing))
            sources.append(
                _make_source(dataset, common, group, sum(len(s.indexes) for s in sources), placement, missing)
            )
        yield BandsReader(common, sources, np.result_type(*types))


def _make_source(
    dataset: Any,
    grid: Grid,
    group: Sequence[BandFile],
    first: int,
    placement: Placement,
    nodata: float | None,
) -> _Source:
    flags = dataset.mask_flag_enums[group[0].index - 1]
    alpha = [index for index, of in enumerate(dataset.colorinterp, 1) if of == ColorInterp.alpha]
    return _Source(
        dataset=dataset,
        grid=grid,
        name=str(group[0].path),
        indexes=[band.index for band in group],
        rows=slice(first, first + len(group)),
        placement=placement,
        nodata=nodata,
        has_mask=MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags,
        alpha=alpha[-1] if alpha else None,  # which GDAL's own masks heed for some types and numbers of bands alone
    )


def _warp(dataset: Any, band: BandFile, grid: Grid, resampling: Resampling, nodata: float | None) -> Any:
    has_alpha = ColorInterp.alpha in dataset.colorinterp
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            return WarpedVRT(
                dataset,
                src_crs=band.grid.crs,  # which a product's metadata may know better than the file
                src_transform=band.grid.transform,
                crs=grid.crs,
                transform=grid.transform,
                width=grid.width,
                height=grid.height,
                resampling=resampling,
                src_nodata=nodata,
                nodata=nodata,
                add_alpha=nodata is None and not has_alpha,  # else what lies beyond the file would be zeros
                tolerance=_VRT_TOLERANCE,
                UNIFIED_SRC_NODATA="NO",  # a band's missing pixel takes no other band's with it
                **kernel_scale(band.grid, grid),
            )
    except RasterioError as error:
        raise UnreadableFileError(
            f"{band.path.name} cannot be brought onto the grid: {error.__cause__ or error}"
        ) from error


def kernel_scale(own: Grid, grid: Grid) -> dict[str, str]:
    """How far GDAL widens its kernels, by the pixels' sizes in the middle of the band.

    Left to itself it goes by the rectangle around each part that it warps: where systems are turned against each other, as
    neighbouring zones are by some degrees, that blurs, and differently from part to part.
    """
    try:
        places = _pixel_in(own, grid)
    except Exception:  # GDAL's own classes have no public base; what cannot be transformed has no pixels to be warped
        return {}
    (x0, y0), (x1, y1), (x2, y2) = places
    across, down = math.hypot(x1 - x0, y1 - y0), math.hypot(x2 - x0, y2 - y0)
    if not (0 < across < math.inf and 0 < down < math.inf):
        return {}
    return {"XSCALE": repr(min(1 / across, 1.0)), "YSCALE": repr(min(1 / down, 1.0))}


def _pixel_in(own: Grid, grid: Grid) -> list[tuple[float, float]]:
    """A corner of a pixel of `grid` in the middle of a band, and the corners beside and below it, in the band's pixels."""
    middle = own.transform @ (own.width / 2, own.height / 2)
    if own.crs != grid.crs:
        (x,), (y,) = transform(own.crs, grid.crs, [middle[0]], [middle[1]])
        middle = (x, y)
    column, row = ~grid.transform @ middle
    xs, ys = zip(
        *(grid.transform @ place for place in ((column, row), (column + 1, row), (column, row + 1))), strict=True
    )
    if own.crs != grid.crs:
        xs, ys = transform(grid.crs, own.crs, xs, ys)
    return [~own.transform @ place for place in zip(xs, ys, strict=True)]

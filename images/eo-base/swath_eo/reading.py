"""Reads two bands window by window on their common grid."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from swath_eo.errors import UnreadableFileError
from swath_eo.grid import Grid, Overlap, Placement, check_georeferenced, overlap_of
from swath_eo.scene import BandFile, Scene, open_raster

# GDAL's cache of decoded blocks, in bytes. By default it is 5 % of the machine's memory, whatever the container's
# limit.
CACHE_BYTES = 128 * 1024 * 1024
# Pixels. GDAL's default of an eighth shifts differently from block to block; 0 makes rasterio fail.
_VRT_TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Block:
    """Two bands' pixels in one window of the common grid."""

    window: Window
    red: NDArray[Any]  # digital numbers, (rows, columns)
    nir: NDArray[Any]  # the same shape; perhaps another type
    valid: NDArray[np.bool_]  # False where either band has no data


class BandReader:
    """One band on the common grid."""

    def __init__(self, band: BandFile, source: Any, placement: Placement, nodata: float | None) -> None:
        self._band = band
        self._source = source  # the dataset, or a WarpedVRT over it
        self._placement = placement
        self._nodata = nodata
        flags = source.mask_flag_enums[band.index - 1]
        # A mask or alpha band counts beside the nodata value; a nodata value alone is compared with below.
        self._has_mask = MaskFlags.per_dataset in flags or MaskFlags.alpha in flags

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """The pixels in a window of the common grid, and which of them hold data. Raises UnreadableFileError."""
        own = Window(
            window.col_off + self._placement.column, window.row_off + self._placement.row, window.width, window.height
        )
        try:
            values = self._source.read(self._band.index, window=own)
            mask = self._source.read_masks(self._band.index, window=own) if self._has_mask else None
        except RasterioError as error:
            raise UnreadableFileError(f"{self._band.path} is damaged: {error.__cause__ or error}") from error
        valid = _has_data(values, self._nodata)
        if mask is not None:
            valid &= mask != 0
        return values, valid


def _has_data(values: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    if nodata is None:
        return np.ones(values.shape, dtype=np.bool_)
    missing: NDArray[np.bool_] = np.isnan(values) if math.isnan(nodata) else np.equal(values, nodata)
    return ~missing


class PairReader:
    """Both bands of a scene on their common grid."""

    def __init__(self, overlap: Overlap, red: BandReader, nir: BandReader) -> None:
        self.overlap = overlap
        self._red = red
        self._nir = nir

    @property
    def grid(self) -> Grid:
        """The common ground, on the finer band's pixels."""
        return self.overlap.grid

    def blocks(self, window_size: int) -> Iterator[Block]:
        """All pixels in squares of at most `window_size` pixels. Raises UnreadableFileError."""
        for window in self.grid.windows(window_size):
            red, red_valid = self._red.read(window)
            nir, nir_valid = self._nir.read(window)
            yield Block(window=window, red=red, nir=nir, valid=red_valid & nir_valid)


@contextmanager
def open_pair(scene: Scene, *, nodata: float | None = None) -> Iterator[PairReader]:
    """Opens both bands. `nodata` replaces the bands' own.

    A band on other pixels is resampled bilinearly (no data stays no data). Raises what `grid.overlap_of` and
    `check_georeferenced` raise, and UnreadableFileError.
    """
    for band in (scene.red, scene.nir):
        check_georeferenced(band.grid, where=band.path.name)
    overlap = overlap_of(scene.red.grid, scene.nir.grid)
    with ExitStack() as stack:
        # One thread: with more, GDAL 3.10 decodes JPEG2000 tiles in threads whose errors nobody hears, and a file that
        # lacks its last byte reads as data.
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES, GDAL_NUM_THREADS="1"))
        red = _open_band(stack, scene.red, overlap.first, overlap.grid, nodata)
        nir = _open_band(stack, scene.nir, overlap.second, overlap.grid, nodata)
        yield PairReader(overlap, red, nir)


def _open_band(stack: ExitStack, band: BandFile, placement: Placement, grid: Grid, nodata: float | None) -> BandReader:
    nodata = band.nodata if nodata is None else nodata
    dataset = stack.enter_context(open_raster(band.path))
    if not placement.resampled:
        return BandReader(band, dataset, placement, nodata)
    options = {"crs": grid.crs, "transform": grid.transform, "width": grid.width, "height": grid.height}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        warped = WarpedVRT(
            dataset,
            resampling=Resampling.bilinear,
            src_nodata=nodata,
            nodata=nodata,
            tolerance=_VRT_TOLERANCE,
            **options,
        )
    return BandReader(band, stack.enter_context(warped), placement, nodata)

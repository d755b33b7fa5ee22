"""Writes a Cloud-Optimised GeoTIFF from windows, in memory that does not grow with the scene."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from rasterio.transform import Affine
from rasterio.windows import Window

from swath_eo.errors import OutputError, ParameterError
from swath_eo.geometry.grid import Grid
from swath_eo.output.files import open_output
from swath_eo.output.layout import Field, Level, read_fields, write_layout
from swath_eo.output.levels import NOT_ONCE, Raster, make_writers
from swath_eo.output.tiles import predictor_of

_LARGE = 1024  # pixels; smaller rasters get smaller tiles, so that they too have an overview


@dataclass(frozen=True, kw_only=True)
class OutputBand:
    """What a band of a file that is written says of itself."""

    name: str
    unit: str = "1"
    scale: float = 1.0  # value = number x scale + offset
    offset: float = 0.0


def write_cog(
    path: Path,
    blocks: Iterable[tuple[Window, NDArray[Any]]],
    *,
    grid: Grid,
    bands: Sequence[OutputBand],
    dtype: str = "float32",
    nodata: float | None = float("nan"),
    tags: Mapping[str, str],
    overviews: str = "average",
) -> None:
    """Writes bands of one type (uint8, int16, uint16, float32, ...): tiled, ZSTD, with overviews.

    `blocks` cover the grid, each pixel once, as (bands, rows, columns) or, for one band, (rows, columns), of a type that
    can become `dtype` without a change of kind; `nodata` None means that every number is data. `overviews` is how they are
    made: "average", or for classes "mode" or "nearest". A COG's overviews come first in the file, so the compressed tiles
    of all levels go into another file first; the COG appears under its name when it is complete. Raises ParameterError for
    a coordinate reference system that no GeoTIFF can hold, OutputError where the file cannot be written and ValueError for
    other blocks, or for a `nodata` that is no number of the type; what `blocks` raises passes through.
    """
    _check_crs(grid.crs)
    raster = Raster(
        width=grid.width,
        height=grid.height,
        count=len(bands),
        dtype=np.dtype(dtype).newbyteorder("<"),
        nodata=nodata,
        tile=512 if max(grid.width, grid.height) > _LARGE else 256,
        overviews=overviews,
    )
    fields = _describe(raster, grid, bands, tags)  # first, for GDAL may refuse it
    with _scratch_file(path) as tiles:
        levels = _write_tiles(tiles, blocks, raster, path)
        with open_output(path) as file:
            write_layout(file, fields, levels, tiles)


@contextmanager
def _saying(path: Path) -> Iterator[None]:
    """An OSError as an OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error}") from error


@contextmanager
def _scratch_file(path: Path) -> Iterator[BinaryIO]:
    """Beside the file that is written, with a name: whoever measures what a task takes of the disk has to see it."""
    scratch = path.with_name(f".{path.name}.tiles.partial")
    with _saying(path):
        file = scratch.open("w+b")
    try:
        yield file
    finally:
        with suppress(OSError):  # of what nobody will read
            file.close()
        scratch.unlink(missing_ok=True)


def _check_crs(crs: CRS | None) -> None:
    """GDAL would put one that has no GeoTIFF keys, as of a rotated pole, into a file beside, where readers lose it."""
    if crs is None:
        return
    with rasterio.Env(GDAL_PAM_ENABLED="NO"), MemoryFile() as memory:
        place = Affine.translation(1, 1)
        with memory.open(driver="GTiff", width=1, height=1, count=1, dtype="uint8", crs=crs, transform=place):
            pass
        with memory.open() as written:
            if written.crs is None:
                raise ParameterError(f"a GeoTIFF cannot hold the coordinate reference system {crs.to_string()}")


def _write_tiles(
    file: BinaryIO, blocks: Iterable[tuple[Window, NDArray[Any]]], raster: Raster, path: Path
) -> list[Level]:
    writers = make_writers(file, raster)
    missing = raster.width * raster.height
    for window, values in blocks:
        missing -= window.width * window.height
        # Overviews are made of these numbers, so they have to be those in the file.
        values = values.astype(raster.dtype, casting="same_kind", copy=False)
        values = values if values.ndim == 3 else values[np.newaxis]
        _check_block(window, values, raster)
        with _saying(path):
            writers[0].write(window, values)
    if missing:
        raise ValueError(NOT_ONCE)
    return [writer.level for writer in writers]


def _check_block(window: Window, values: NDArray[Any], raster: Raster) -> None:
    """A block of another shape would be spread over its window, or leave part of it empty."""
    if values.shape != (raster.count, window.height, window.width):
        raise ValueError(f"a block of {values.shape} is not {raster.count} bands of {window}")
    right, bottom = window.col_off + window.width, window.row_off + window.height
    if min(window.col_off, window.row_off) < 0 or right > raster.width or bottom > raster.height:
        raise ValueError(f"{window} reaches beyond the grid, which is {raster.width} x {raster.height} pixels")


def _describe(raster: Raster, grid: Grid, bands: Sequence[OutputBand], tags: Mapping[str, str]) -> list[Field]:
    """What the file says of itself, in GDAL's words: those of a file of one tile without data."""
    profile = {
        "driver": "GTiff",
        "width": raster.tile,
        "height": raster.tile,
        "count": raster.count,
        "dtype": raster.dtype.name,
        "nodata": raster.nodata,
        "crs": grid.crs,
        "transform": grid.transform,
        "tiled": True,
        "blockxsize": raster.tile,
        "blockysize": raster.tile,
        "interleave": "pixel",
        "compress": "zstd",
        "predictor": predictor_of(raster.dtype),
        "bigtiff": "yes",  # what becomes of it is as small as it can be
        "endianness": "little",
        "sparse_ok": True,
    }
    with MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            for index, band in enumerate(bands, 1):
                dataset.set_band_description(index, band.name)
                dataset.set_band_unit(index, band.unit)
            if any((band.scale, band.offset) != (1.0, 0.0) for band in bands):
                dataset.scales = [band.scale for band in bands]
                dataset.offsets = [band.offset for band in bands]
            dataset.update_tags(**tags)
        return read_fields(memory.read())

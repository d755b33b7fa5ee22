"""Writes a Cloud-Optimised GeoTIFF from windows, in memory that does not grow with the scene."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from rasterio.transform import Affine
from rasterio.windows import Window

from swath_eo.errors import OutputError, ParameterError
from swath_eo.geometry.grid import Grid
from swath_eo.output.layout import LayoutError, Level, write_layout
from swath_eo.output.levels import LevelsWriter, sizes_of_levels

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
    can become `dtype` without a change of kind; `nodata`
    None means that every number is data. `overviews` is how they are made: "average", or for classes "mode" or
    "nearest". A COG's overviews come first in the file, so each level goes into a GeoTIFF of its own beside it, whose
    compressed tiles are copied; the file appears under its name when it is complete. Raises ParameterError for a
    coordinate reference system that no GeoTIFF can hold and OutputError where the file cannot be written; what `blocks`
    raises passes through.
    """
    _check_crs(grid.crs)
    profile = _profile(grid, len(bands), dtype, nodata)
    finished = path.with_name(f".{path.name}.partial")
    levels = [path.with_name(f".{path.name}.{n}.partial") for n in range(1 + len(list(sizes_of_levels(profile))))]
    try:
        _write_layout(finished, _write_levels(levels, blocks, profile, bands, tags, overviews))
        finished.replace(path)
    finally:
        for leftover in (finished, *levels):
            leftover.unlink(missing_ok=True)


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


def _profile(grid: Grid, count: int, dtype: str, nodata: float | None) -> dict[str, Any]:
    tile = 512 if max(grid.width, grid.height) > _LARGE else 256
    return {
        "driver": "GTiff",
        "dtype": dtype,
        "count": count,
        "nodata": nodata,
        "crs": grid.crs,
        "transform": grid.transform,
        "width": grid.width,
        "height": grid.height,
        "tiled": True,
        "blockxsize": tile,
        "blockysize": tile,
        "interleave": "pixel",
        "compress": "zstd",
        "zstd_level": 1,  # level 3 takes twice as long, for at most 0.9 % less
        "predictor": 3 if np.dtype(dtype).kind == "f" else 2,
        "bigtiff": "yes",  # what becomes of it is as small as it can be
        "endianness": "little",
        "sparse_ok": True,  # tiles without data take no space
    }


def _write_levels(
    paths: Sequence[Path],
    blocks: Iterable[tuple[Window, NDArray[Any]]],
    profile: Mapping[str, Any],
    bands: Sequence[OutputBand],
    tags: Mapping[str, str],
    overviews: str,
) -> list[Level]:
    writer = LevelsWriter(paths, profile, overviews)
    try:
        _describe(writer.dataset, bands, tags)
        for window, values in blocks:
            # Overviews are made of these numbers, or of those in the file: they have to be the same.
            values = values.astype(profile["dtype"], casting="same_kind", copy=False)
            writer.write(window, values if values.ndim == 3 else values[np.newaxis])
        return writer.close()
    except BaseException:
        writer.abandon()
        raise


def _describe(dataset: Any, bands: Sequence[OutputBand], tags: Mapping[str, str]) -> None:
    for index, band in enumerate(bands, 1):
        dataset.set_band_description(index, band.name)
        dataset.set_band_unit(index, band.unit)
    if any((band.scale, band.offset) != (1.0, 0.0) for band in bands):
        dataset.scales = [band.scale for band in bands]
        dataset.offsets = [band.offset for band in bands]
    dataset.update_tags(**tags)


def _write_layout(target: Path, levels: Sequence[Level]) -> None:
    try:
        write_layout(target, levels)
        with target.open("rb") as written:
            os.fsync(written.fileno())
    except (OSError, LayoutError) as error:
        raise OutputError(f"{target.parent} cannot be written to: {error}") from error

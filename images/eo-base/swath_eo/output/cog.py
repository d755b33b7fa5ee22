"""Writes a Cloud-Optimised GeoTIFF from windows, in memory that does not grow with the scene."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from swath_eo.errors import OutputError
from swath_eo.geometry.grid import Grid

_TEMPORARY_TILE = 256
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

    `blocks` cover the grid, each pixel once, as (bands, rows, columns) or, for one band, (rows, columns); `nodata`
    None means that every number is data. `overviews` is GDAL's name for how they are made: "average", or for classes
    "mode" or "nearest". A COG's overviews come first in the file, so the pixels go into a temporary GeoTIFF beside it
    first; the file appears under its name when it is complete. Raises OutputError where it cannot be written; what
    `blocks` raises passes through.
    """
    pixels = path.with_name(f".{path.name}.pixels.partial")
    finished = path.with_name(f".{path.name}.partial")
    profile = _profile(grid, len(bands), dtype, nodata)
    try:
        _write_pixels(pixels, blocks, profile, bands, tags)
        _copy_to_cog(pixels, finished, grid, overviews)
        finished.replace(path)
    finally:
        for leftover in (pixels, finished):
            with suppress(FileNotFoundError):
                leftover.unlink()


def _profile(grid: Grid, count: int, dtype: str, nodata: float | None) -> dict[str, Any]:
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
        "blockxsize": _TEMPORARY_TILE,
        "blockysize": _TEMPORARY_TILE,
        "interleave": "band",
        "compress": "zstd",
        "zstd_level": 1,
        "bigtiff": "if_safer",
        "sparse_ok": True,  # windows without data take no space
    }


def _write_pixels(
    path: Path,
    blocks: Iterable[tuple[Window, NDArray[Any]]],
    profile: Mapping[str, Any],
    bands: Sequence[OutputBand],
    tags: Mapping[str, str],
) -> None:
    try:
        dataset = rasterio.open(path, "w", **profile)
    except RasterioError as error:
        raise OutputError(f"{path.parent} cannot be written to: {error}") from error
    with _closing(dataset, path):
        for index, band in enumerate(bands, 1):
            dataset.set_band_description(index, band.name)
            dataset.set_band_unit(index, band.unit)
        if any((band.scale, band.offset) != (1.0, 0.0) for band in bands):
            dataset.scales = [band.scale for band in bands]
            dataset.offsets = [band.offset for band in bands]
        dataset.update_tags(**tags)
        for window, values in blocks:
            _write_window(dataset, window, values, path)


class _closing:
    """Closes a dataset; what fails then (blocks are compressed late) is an OutputError, unless another error is on
    its way."""

    def __init__(self, dataset: Any, path: Path) -> None:
        self._dataset = dataset
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            self._dataset.close()
        except RasterioError as late:
            if error is None:
                raise OutputError(f"{self._path.parent} cannot be written to: {late}") from late


def _write_window(dataset: Any, window: Window, values: NDArray[Any], path: Path) -> None:
    try:
        dataset.write(values if values.ndim == 3 else values[np.newaxis], window=window)
    except RasterioError as error:
        raise OutputError(f"{path.parent} cannot be written to: {error.__cause__ or error}") from error


def _copy_to_cog(source: Path, target: Path, grid: Grid, overviews: str) -> None:
    options = {
        "driver": "COG",
        "compress": "ZSTD",
        "level": 3,  # level 9 takes twice as long, for 0.6 % less (an index of a whole tile)
        "predictor": "YES",
        "blocksize": 512 if max(grid.width, grid.height) > _LARGE else 256,
        "overview_resampling": overviews,
        "bigtiff": "IF_SAFER",
        "sparse_ok": True,
    }
    try:
        rasterio.shutil.copy(source, target, **options)
        _check_complete(target)
    except Exception as error:  # rasterio lets GDAL's own classes out here, which have no public base
        raise OutputError(f"{target.parent} cannot be written to: {error.__cause__ or error}") from error


def _check_complete(path: Path) -> None:
    # A full disk can show only when GDAL flushes at close, where it logs and does not raise.
    with rasterio.open(path) as dataset:
        dataset.read(dataset.count, window=Window(dataset.width - 1, dataset.height - 1, 1, 1))
    with path.open("rb") as written:
        os.fsync(written.fileno())

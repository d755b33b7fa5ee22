"""Writes a raster and its overviews, each level once, from windows as they pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from swath_eo.errors import OutputError
from swath_eo.output.layout import LayoutError, Level, read_level
from swath_eo.output.pyramid import halve, level_sizes


class LevelFile:
    """A tiled GeoTIFF that holds one level, with whole tiles at its edges too.

    What GDAL puts beyond the edge of a raster depends on the windows that it was given, and on its cache; what we put there
    is always the same.
    """

    def __init__(self, path: Path, profile: Mapping[str, Any]) -> None:
        self.path = path
        self._size = (int(profile["width"]), int(profile["height"]))
        self._tile = int(profile["blockxsize"])
        self._nodata = profile["nodata"]
        across, down = (-(-side // self._tile) for side in self._size)
        self._has_data = np.zeros((down, across), dtype=np.bool_)
        whole = {"width": across * self._tile, "height": down * self._tile}
        try:
            self.dataset = rasterio.open(path, "w", **{**profile, **whole})
        except RasterioError as error:
            raise OutputError(f"{path.parent} cannot be written to: {error}") from error

    def write(self, window: Window, values: NDArray[Any]) -> None:
        """Takes values (bands, rows, columns). Raises OutputError."""
        try:
            self.dataset.write(*self._filled_up(window, values))
        except RasterioError as error:
            raise OutputError(f"{self.path.parent} cannot be written to: {error.__cause__ or error}") from error
        for tile, part in self._parts(window, values):
            self._has_data[tile] = self._has_data[tile] or self._holds_data(part)

    def _filled_up(self, window: Window, values: NDArray[Any]) -> tuple[NDArray[Any], None, Window]:
        """With what lies between the raster's edge and that of its last tiles, as the arguments of rasterio's `write`."""
        ends = (window.col_off + window.width, window.row_off + window.height)
        right, bottom = (-side % self._tile if end == side else 0 for end, side in zip(ends, self._size, strict=True))
        if right or bottom:
            values = np.pad(values, ((0, 0), (0, bottom), (0, right)), constant_values=self._nodata or 0)
        return values, None, Window(window.col_off, window.row_off, values.shape[2], values.shape[1])

    def _parts(self, window: Window, values: NDArray[Any]) -> Iterator[tuple[tuple[int, int], NDArray[Any]]]:
        """The tiles that a window touches, and what it holds of each."""
        top, left, size = window.row_off, window.col_off, self._tile
        for row in range(top // size, -(-(top + window.height) // size)):
            rows = slice(max(row * size - top, 0), (row + 1) * size - top)
            for column in range(left // size, -(-(left + window.width) // size)):
                yield (row, column), values[:, rows, max(column * size - left, 0) : (column + 1) * size - left]

    def _holds_data(self, part: NDArray[Any]) -> bool:
        if self._nodata is not None and np.isnan(self._nodata):
            return any(not np.isnan(row).all() for row in part.reshape(-1, part.shape[-1]))
        return any((row != (self._nodata or 0)).any() for row in part.reshape(-1, part.shape[-1]))

    def close(self) -> Level:
        """The level as it is on the disk. Raises OutputError, also for a tile that is not there: GDAL compresses some
        when a file is closed, and does not raise where the disk is full then."""
        try:
            self.dataset.close()
            level = read_level(self.path, size=self._size)
        except (RasterioError, LayoutError, OSError) as error:
            raise OutputError(f"{self.path.parent} cannot be written to: {error}") from error
        lost = sum(not size for (_, size), meant in zip(level.tiles, self._has_data.flat, strict=True) if meant)
        if lost:
            raise OutputError(f"{self.path.parent} cannot be written to: {lost} tiles are not in {self.path.name}")
        return level


class LevelsWriter:
    """A raster and its overviews, in a file each.

    An overview is made of windows as they pass, as long as these hold whole tiles of it; else of the level before it,
    in the end. Its pixels are the same.
    """

    def __init__(self, paths: Sequence[Path], profile: Mapping[str, Any], overviews: str) -> None:
        self._profile = profile
        self._paths = paths
        self._overviews = overviews
        self._sizes = [(profile["width"], profile["height"]), *sizes_of_levels(profile)]
        self._done = len(self._sizes)  # levels that have all pixels so far
        self._files: list[LevelFile] = []
        try:
            for level in range(len(self._sizes)):
                self._files.append(self._create(level))
        except BaseException:
            self.abandon()
            raise

    @property
    def dataset(self) -> Any:
        """Of the full raster, to say what it is."""
        return self._files[0].dataset

    def _create(self, level: int) -> LevelFile:
        width, height = self._sizes[level]
        return LevelFile(self._paths[level], {**self._profile, "width": width, "height": height})

    def write(self, window: Window, values: NDArray[Any]) -> None:
        """Takes values (bands, rows, columns). Raises OutputError."""
        self._files[0].write(window, values)
        self._done = min(self._done, self._whole(window))
        for level in range(1, self._done):
            window, values = self._halve(window, values)
            self._files[level].write(window, values)

    def _whole(self, window: Window) -> int:
        """How many levels there are of which a window holds whole tiles; the raster itself counts."""
        width, height = self._sizes[0]
        right, bottom = window.col_off + window.width, window.row_off + window.height
        for level in range(1, len(self._sizes)):
            step = self._profile["blockxsize"] << level
            if window.col_off % step or window.row_off % step:
                return level
            if (right % step and right < width) or (bottom % step and bottom < height):
                return level
        return len(self._sizes)

    def _halve(self, window: Window, values: NDArray[Any]) -> tuple[Window, NDArray[Any]]:
        halved = halve(values, self._overviews, self._profile["nodata"])
        return Window(window.col_off // 2, window.row_off // 2, halved.shape[2], halved.shape[1]), halved

    def close(self) -> list[Level]:
        """Makes the overviews that are not there yet, and closes all. Raises OutputError."""
        levels = [file.close() for file in self._files[: self._done]]
        for level in range(self._done, len(self._files)):
            self._files[level].dataset.close()
            file = self._files[level] = self._create(level)
            with rasterio.open(self._paths[level - 1]) as finer:
                for window in self._windows(level - 1):
                    file.write(*self._halve(window, finer.read(window=window)))
            levels.append(file.close())
        return levels

    def _windows(self, level: int) -> Iterator[Window]:
        """Of a level, each with a tile of the next one."""
        width, height = self._sizes[level]
        step = 2 * self._profile["blockxsize"]
        for row in range(0, height, step):
            for column in range(0, width, step):
                yield Window(column, row, min(step, width - column), min(step, height - row))

    def abandon(self) -> None:
        """Closes what is open after something else went wrong."""
        for file in self._files:
            file.dataset.close()


def sizes_of_levels(profile: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    """Width and height of a raster's overviews."""
    return level_sizes(profile["width"], profile["height"], tile=profile["blockxsize"])

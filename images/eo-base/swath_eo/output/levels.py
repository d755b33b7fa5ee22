"""Compresses a raster and its overviews, each tile once, from windows as they pass."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from swath_eo.geometry.grid import shared
from swath_eo.output.layout import Level
from swath_eo.output.pyramid import halve, level_sizes
from swath_eo.output.tiles import TileEncoder

Array = NDArray[Any]

NOT_ONCE = "the blocks do not cover the grid, each pixel once"


@dataclass(frozen=True, kw_only=True)
class Raster:
    """What all levels of a file have in common, and how large the first one is."""

    width: int
    height: int
    count: int  # bands
    dtype: np.dtype[Any]
    nodata: float | None
    tile: int  # pixels a side
    overviews: str  # how they are made, as `pyramid.halve` takes it

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Width and height of each level, the raster itself first."""
        return [(self.width, self.height), *level_sizes(self.width, self.height, tile=self.tile)]


@dataclass(kw_only=True)
class _Incomplete:
    """A tile of which windows have brought parts."""

    missing: int  # pixels
    parts: list[tuple[tuple[slice, slice], int]] = field(default_factory=list)  # of the tile; offset in the file


class LevelWriter:
    """Writes one level's tiles, one after the other as they become complete, and makes the next level of each.

    Parts of tiles wait in the file too, as they are: memory does not depend on the raster's size, nor on the windows' order.
    """

    def __init__(self, file: BinaryIO, size: tuple[int, int], raster: Raster, encoder: TileEncoder) -> None:
        """`file` is for reading and writing, and shared by all levels."""
        self._file = file
        self._width, self._height = size
        self._raster = raster
        self._encoder = encoder
        self.coarser: LevelWriter | None = None
        self._places: dict[tuple[int, int], tuple[int, int]] = {}  # of complete tiles: offset and size in the file
        self._incomplete: dict[tuple[int, int], _Incomplete] = {}

    def write(self, window: Window, values: Array) -> None:
        """Takes values (bands, rows, columns). Raises OSError, and ValueError where pixels come twice."""
        side = self._raster.tile
        for row in range(window.row_off // side, -(-(window.row_off + window.height) // side)):
            for column in range(window.col_off // side, -(-(window.col_off + window.width) // side)):
                tile = self._window_of((row, column))
                of_window, of_tile = shared(window, tile)
                self._take((row, column), tile, of_tile, values[:, *of_window])

    def _take(self, place: tuple[int, int], tile: Window, pixels: tuple[slice, slice], part: Array) -> None:
        if part.shape[1:] == (tile.height, tile.width):
            self._complete(place, tile, part)
            return
        known = self._incomplete.setdefault(place, _Incomplete(missing=tile.width * tile.height))
        known.parts.append((pixels, self._append(np.ascontiguousarray(part).data)))
        known.missing -= part.shape[1] * part.shape[2]
        if not known.missing:
            self._complete(place, tile, self._join(tile, self._incomplete.pop(place)))

    def _join(self, tile: Window, known: _Incomplete) -> Array:
        whole = np.empty((self._raster.count, tile.height, tile.width), dtype=self._raster.dtype)
        is_known = np.zeros(whole.shape[1:], dtype=np.bool_)
        for pixels, offset in known.parts:
            into = whole[:, *pixels]
            self._file.seek(offset)
            into[...] = np.frombuffer(self._file.read(into.nbytes), dtype=into.dtype).reshape(into.shape)
            is_known[pixels] = True
        if not is_known.all():
            raise ValueError(NOT_ONCE)
        return whole

    def _append(self, data: bytes | memoryview) -> int:
        offset = self._file.seek(0, os.SEEK_END)
        self._file.write(data)
        return offset

    def _window_of(self, place: tuple[int, int]) -> Window:
        """A tile's part within the raster."""
        side = self._raster.tile
        top, left = place[0] * side, place[1] * side
        return Window(left, top, min(side, self._width - left), min(side, self._height - top))

    def _complete(self, place: tuple[int, int], tile: Window, values: Array) -> None:
        if place in self._places:
            raise ValueError(NOT_ONCE)
        data = self._encoder.encode(self._filled_up(values)) if self._holds_data(values) else b""
        self._places[place] = (self._append(data), len(data)) if data else (0, 0)
        if self.coarser:
            halved = halve(values, self._raster.overviews, self._raster.nodata)
            self.coarser.write(Window(tile.col_off // 2, tile.row_off // 2, halved.shape[2], halved.shape[1]), halved)

    def _filled_up(self, values: Array) -> Array:
        """A tile at the raster's edge, with no data beyond that."""
        side = self._raster.tile
        rest = ((0, 0), (0, side - values.shape[1]), (0, side - values.shape[2]))
        return np.pad(values, rest, constant_values=self._raster.nodata or 0) if rest != ((0, 0),) * 3 else values

    def _holds_data(self, values: Array) -> bool:
        nodata = self._raster.nodata
        rows = values.reshape(-1, values.shape[-1])
        if nodata is not None and np.isnan(nodata):
            return any(not np.isnan(row).all() for row in rows)
        return any((row != (nodata or 0)).any() for row in rows)

    @property
    def level(self) -> Level:
        """Where its tiles are in the file. Raises ValueError where one is not complete."""
        down, across = -(-self._height // self._raster.tile), -(-self._width // self._raster.tile)
        places = [(row, column) for row in range(down) for column in range(across)]
        if len(self._places) != len(places):
            raise ValueError(NOT_ONCE)
        return Level(size=(self._width, self._height), tiles=tuple(self._places[place] for place in places))


def make_writers(file: BinaryIO, raster: Raster) -> list[LevelWriter]:
    """One for each of the raster's sizes; what is written to the first goes on to the others."""
    encoder = TileEncoder((raster.count, raster.tile, raster.tile), raster.dtype)
    writers = [LevelWriter(file, size, raster, encoder) for size in raster.sizes]
    for finer, coarser in pairwise(writers):
        finer.coarser = coarser
    return writers

"""Paints a mosaic window by window, in memory that grows neither with it nor with the number of its scenes."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from swath_eo.errors import NoValidPixelsError
from swath_eo.geometry.grid import Grid
from swath_eo.mosaics.mosaicking import Float32, Layer, Mask, Mosaic, opacity, paint
from swath_eo.mosaics.placing import inside, intersection
from swath_eo.mosaics.surveying import PlacedScene, Plan, Survey, local, open_scene, read_scene
from swath_eo.scenes.adjustment import Adjustment
from swath_eo.scenes.stacks import CACHE_BYTES, BandsReader

_MOST_OPEN = 16  # scenes


@dataclass(frozen=True, kw_only=True)
class Painting:
    """What is to be painted."""

    scenes: Sequence[PlacedScene]  # the one on top first
    surveys: Mapping[int, Survey]  # by a scene's number; none where all is clear and edges are hard
    adjustments: Mapping[int, Adjustment]  # by a scene's number
    method: str  # first (of the scenes as they lie), min, max or mean
    plan: Plan

    @property
    def feathers(self) -> bool:
        """Whether scenes fade towards their edges."""
        return self.plan.feather > 0 and self.method not in ("min", "max")


class Painter:
    """Opens scenes when a window reaches them, and holds some of them open: each file that is open takes a megabyte."""

    def __init__(self, painting: Painting) -> None:
        self._painting = painting
        self._readers: dict[int, tuple[ExitStack, BandsReader]] = {}
        self._seen: dict[int, bool] = {}  # by a scene's number: whether a number other than zero was valid in it

    def blocks(self, size: int) -> Iterator[tuple[Window, Mosaic | None]]:
        """The mosaic in squares of `size` pixels, row by row; None where no scene lies.

        Raises UnreadableFileError, and NoValidPixelsError at the end where a scene was zero everywhere though nothing says
        that zero is no data.
        """
        # Each reader restores the settings that it has found when it is closed, and they are closed in any order.
        with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES, GDAL_NUM_THREADS="1"):
            try:
                for window in self._painting.plan.grid.windows(size):
                    yield window, self._paint(window)
            finally:
                self._close(keep=0)
        self._check_zeros()

    def _paint(self, window: Window) -> Mosaic | None:
        present = [scene for scene in self._painting.scenes if intersection(scene.extent, window)]
        return paint(self._layers(present, window), method=self._painting.method) if present else None

    def _layers(self, present: Sequence[PlacedScene], window: Window) -> Iterator[Layer]:
        feathers = self._painting.feathers and len(present) > 1
        most: Float32 | None = None
        for scene in present:
            weights = self._painting.surveys[scene.number].weights(window) if feathers else None
            if weights is not None and self._painting.method == "first":
                most = self._largest_weights(present, window) if most is None else most
                weights = opacity(weights, most)
            values, valid = self._read(scene, window)
            yield Layer(values=values, valid=valid, weights=weights, number=scene.number)

    def _largest_weights(self, present: Sequence[PlacedScene], window: Window) -> Float32:
        most = np.zeros((window.height, window.width), dtype=np.float32)
        for scene in present:
            weights = self._painting.surveys[scene.number].weights(window)
            if weights is None:
                return np.ones_like(most)
            np.maximum(most, weights, out=most)
        return most

    def _read(self, scene: PlacedScene, window: Window) -> tuple[NDArray[Any], Mask]:
        """The scene's pixels in the whole window, adjusted; not valid where it does not reach or is not clear."""
        part = intersection(scene.frame, window)
        assert part is not None  # noqa: S101  # present scenes intersect it
        values, valid = read_scene(self._reader(scene), local(part, scene))
        if (survey := self._painting.surveys.get(scene.number)) is not None and scene.clouds:
            valid &= survey.clear.read(part)
        if not self._seen.get(scene.number, False) and valid.any():
            self._seen[scene.number] = bool((values[:, valid] != 0).any())
        values = self._painting.adjustments[scene.number].apply(values)
        if any(not adjustment.is_identity for adjustment in self._painting.adjustments.values()):
            values = values.astype(np.result_type(values.dtype, np.float32), copy=False)
        return _spread(values, valid, part, window)

    def _reader(self, scene: PlacedScene) -> BandsReader:
        if scene.number not in self._readers:
            self._close(keep=_MOST_OPEN - 1)
            stack = ExitStack()
            self._readers[scene.number] = stack, stack.enter_context(open_scene(scene, self._painting.plan))
        self._readers[scene.number] = self._readers.pop(scene.number)  # the one that was used last comes last
        return self._readers[scene.number][1]

    def _close(self, *, keep: int) -> None:
        """All but so many, those first that were not used for longest."""
        while len(self._readers) > keep:
            stack, _ = self._readers.pop(next(iter(self._readers)))
            stack.close()

    def _check_zeros(self) -> None:
        for scene in self._painting.scenes:
            if self._seen.get(scene.number) is False:
                raise NoValidPixelsError(
                    f"{scene.product.name} is zero everywhere, though nothing says that zero is no data: give NODATA"
                )


def _spread(values: NDArray[Any], valid: Mask, part: Window, window: Window) -> tuple[NDArray[Any], Mask]:
    if part == window:
        return values, valid
    shape = (window.height, window.width)
    wide = np.zeros((len(values), *shape), dtype=values.dtype)
    wide_valid = np.zeros(shape, dtype=np.bool_)
    wide[(slice(None), *inside(part, window))] = values
    wide_valid[inside(part, window)] = valid
    return wide, wide_valid


class SourceMap:
    """Whose pixel each is, kept small until it is written."""

    def __init__(self, dtype: str) -> None:
        self._dtype = dtype
        self._blocks: dict[tuple[int, int, int, int], bytes] = {}

    def put(self, window: Window, source: NDArray[np.int32]) -> None:
        """Keeps a window's numbers."""
        key = (window.col_off, window.row_off, window.width, window.height)
        self._blocks[key] = zlib.compress(source.astype(self._dtype).tobytes(), 1)

    def blocks(self, grid: Grid, size: int) -> Iterator[tuple[Window, NDArray[Any]]]:
        """All windows of the grid, 0 where nothing was put."""
        for window in grid.windows(size):
            key, shape = (window.col_off, window.row_off, window.width, window.height), (window.height, window.width)
            packed = self._blocks.get(key)
            flat = np.frombuffer(zlib.decompress(packed), dtype=self._dtype) if packed else np.zeros(shape, self._dtype)
            yield window, flat.reshape(shape)

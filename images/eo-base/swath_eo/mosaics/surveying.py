"""What is to be known of all scenes before the first pixel of a mosaic is painted: where each is clear, how far from its edges,
and what it shows where others lie too."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.windows import Window

from swath_eo.clouds.masking import Clearing, PixelSize, dilate
from swath_eo.clouds.reading import open_clouds
from swath_eo.clouds.sources import Source
from swath_eo.geometry.grid import Grid
from swath_eo.mosaics.harmonizing import cell_means
from swath_eo.mosaics.mosaicking import Float32, Mask, cell_of, margin, weights_of_cells, whole_cells
from swath_eo.mosaics.placing import grown, inside, intersection, snapped, subgrid
from swath_eo.scenes.stacks import BandsReader, open_bands

# Scenes are surveyed in squares of this many pixels of the mosaic, whatever windows are painted: nothing depends on those.
TILE = 1024
LARGEST_FEATHER = 4 * TILE  # pixels: its cells still divide a tile
_SAMPLE = 4  # pixels a side of what is averaged for a sample
_SAMPLES = 2**24  # numbers of all scenes and bands together, 64 MiB


@dataclass(frozen=True, kw_only=True)
class PlacedScene(Source):
    """A scene on the mosaic's grid."""

    number: int  # from 1, as they were given
    extent: Window  # pixels of the mosaic's grid that it reaches; may begin before the grid does, and end behind it

    @property
    def frame(self) -> Window:
        """The extent, to whole tiles."""
        return snapped(self.extent, TILE)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is wanted of a survey."""

    grid: Grid  # the mosaic's
    pixel: PixelSize  # of the grid
    feather: int  # pixels, 0 for none
    clearing: Clearing
    sample_step: int  # pixels from sample to sample, 0 for none
    resampling: Resampling
    nodata: float | None  # instead of what the files declare


class TiledMask:
    """A mask of any size in little memory: compressed tile by tile. False where nothing was put."""

    def __init__(self, tile: int) -> None:
        self._tile = tile
        self._tiles: dict[tuple[int, int], bytes | None] = {}  # None: all of it is set

    def put(self, row: int, column: int, mask: Mask) -> None:
        """The tile whose first pixel is (row, column), multiples of its size."""
        packed = None if mask.all() else zlib.compress(np.packbits(mask).tobytes(), 1)
        self._tiles[row // self._tile, column // self._tile] = packed

    def read(self, window: Window) -> Mask:
        """The window's pixels."""
        mask = np.zeros((window.height, window.width), dtype=np.bool_)
        around = snapped(window, self._tile)
        for tile in _tiles(around, self._tile):
            key = (tile.row_off // self._tile, tile.col_off // self._tile)
            part = intersection(tile, window)
            if part is not None and key in self._tiles:
                mask[inside(part, window)] = self._unpack(key)[inside(part, tile)]
        return mask

    def _unpack(self, key: tuple[int, int]) -> Mask:
        packed, shape = self._tiles[key], (self._tile, self._tile)
        if packed is None:
            return np.ones(shape, dtype=np.bool_)
        bits = np.unpackbits(np.frombuffer(zlib.decompress(packed), dtype=np.uint8), count=self._tile**2)
        return bits.reshape(shape).view(np.bool_)


@dataclass(kw_only=True)
class Survey:
    """What was found out of one scene."""

    feather: int
    clear: TiledMask = field(default_factory=lambda: TiledMask(TILE))
    cells: TiledMask  # which cells are valid and clear in every pixel
    clear_pixels: int = 0  # within the mosaic
    samples: Float32 | None = None  # (bands, rows, columns) over the whole mosaic, NaN where there is none

    def weights(self, window: Window) -> Float32 | None:
        """The scene's weights in a window; None where they are 1 everywhere."""
        cell = cell_of(self.feather)
        around = grown(snapped(window, cell), margin(self.feather))
        edges = (around.col_off, around.row_off, around.width, around.height)
        whole = self.cells.read(Window(*(edge // cell for edge in edges)))
        if whole.all():
            return None
        return weights_of_cells(whole, self.feather)[inside(window, around)]


def sample_step(grid: Grid, *, scenes: int, bands: int) -> int:
    """Pixels from sample to sample, so that all of them together take bounded memory: a power of two."""
    step = _SAMPLE
    while step < TILE and grid.width * grid.height * scenes * bands > _SAMPLES * step**2:
        step *= 2
    return step


def survey(scene: PlacedScene, others: Sequence[PlacedScene], plan: Plan) -> Survey:
    """Reads what has to be known of a scene; its bands only where others lie near. Raises UnreadableFileError."""
    found = Survey(feather=plan.feather, cells=TiledMask(TILE // cell_of(plan.feather)))
    if plan.sample_step:
        rows, columns = (-(-size // plan.sample_step) for size in (plan.grid.height, plan.grid.width))
        found.samples = np.full((len(scene.bands), rows, columns), np.nan, dtype=np.float32)
    near = [grown(other.extent, margin(plan.feather)) for other in others]
    with ExitStack() as stack:
        clear_in = _clear_reader(stack, scene, plan)
        bands = stack.enter_context(open_scene(scene, plan))
        for tile in _tiles(scene.frame, TILE):
            clear = clear_in(tile)
            found.clear.put(tile.row_off, tile.col_off, clear)
            found.clear_pixels += _count_within(clear, tile, scene.extent, plan.grid)
            if any(intersection(tile, extent) for extent in near) and (plan.feather or plan.sample_step):
                clear = clear & _survey_bands(bands, tile, clear, scene, found, plan)
            cell = cell_of(plan.feather)
            found.cells.put(tile.row_off // cell, tile.col_off // cell, whole_cells(clear, cell))
    return found


def _survey_bands(bands: BandsReader, tile: Window, clear: Mask, scene: PlacedScene, found: Survey, plan: Plan) -> Mask:
    values, valid = read_scene(bands, local(tile, scene))
    if found.samples is not None:
        _sample(values, valid & clear, tile, found.samples, plan.sample_step)
    return valid


def _sample(values: NDArray[np.generic], valid: Mask, tile: Window, samples: Float32, step: int) -> None:
    """Means of the first pixels of each square of `step`, put where the tile lies in the mosaic."""

    def corners(array: NDArray[np.generic]) -> NDArray[np.generic]:
        *bands, rows, columns = array.shape
        squares = array.reshape(*bands, rows // step, step, columns // step, step)
        return squares[..., :_SAMPLE, :, :_SAMPLE].reshape(*bands, rows // step * _SAMPLE, columns // step * _SAMPLE)

    means = cell_means(corners(values), corners(valid).view(np.bool_), _SAMPLE)
    place = Window(tile.col_off // step, tile.row_off // step, means.shape[2], means.shape[1])
    whole = Window(0, 0, samples.shape[2], samples.shape[1])
    if (part := intersection(place, whole)) is not None:
        samples[(slice(None), *inside(part, whole))] = means[(slice(None), *inside(part, place))]


def open_scene(scene: PlacedScene, plan: Plan) -> AbstractContextManager[BandsReader]:
    """A reader of the scene's bands on its frame."""
    return open_bands(scene.bands, subgrid(plan.grid, scene.frame), resampling=plan.resampling, nodata=plan.nodata)


def read_scene(bands: BandsReader, window: Window) -> tuple[NDArray[Any], Mask]:
    """Numbers (bands, rows, columns), and where all bands hold data (rows, columns): what is no number is none."""
    values, valid_bands = bands.read(window)
    if values.dtype.kind == "f":
        valid_bands &= np.isfinite(values)
    valid: Mask = np.logical_and.reduce(valid_bands)
    return values, valid


def type_of(scene: PlacedScene, plan: Plan) -> np.dtype[Any]:
    """The smallest type that holds all of the scene's bands."""
    with open_scene(scene, plan) as bands:
        return bands.dtype


def local(window: Window, scene: PlacedScene) -> Window:
    """A window of the mosaic as one of the scene's frame."""
    frame = scene.frame
    return Window(window.col_off - frame.col_off, window.row_off - frame.row_off, window.width, window.height)


def _clear_reader(stack: ExitStack, scene: PlacedScene, plan: Plan) -> Callable[[Window], Mask]:
    """Tells which pixels of a window are known to be clear."""
    if not scene.clouds:
        return lambda window: np.ones((window.height, window.width), dtype=np.bool_)
    reader = stack.enter_context(open_clouds(scene.clouds, subgrid(plan.grid, scene.frame), plan.clearing))
    halo = plan.pixel.halo(plan.clearing.dilation)

    def read(window: Window) -> Mask:
        around = intersection(grown(window, halo), scene.frame)
        assert around is not None  # noqa: S101  # the window is one of the frame's
        clouds, known = reader.read(local(around, scene))
        clear: Mask = known & ~dilate(clouds, plan.clearing.dilation, pixel=plan.pixel)
        return clear[inside(window, around)]

    return read


def _count_within(clear: Mask, tile: Window, extent: Window, grid: Grid) -> int:
    part = intersection(tile, extent)
    part = part and intersection(part, Window(0, 0, grid.width, grid.height))
    return int(np.count_nonzero(clear[inside(part, tile)])) if part else 0


def _tiles(frame: Window, size: int) -> Iterator[Window]:
    for row in range(frame.row_off, frame.row_off + frame.height, size):
        for column in range(frame.col_off, frame.col_off + frame.width, size):
            yield Window(column, row, size, size)

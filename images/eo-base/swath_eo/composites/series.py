"""Scenes of one place over time, read window by window on one grid: their numbers, and where they are clear."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.windows import Window

from swath_eo.clouds.masking import Clearing, Mask, PixelSize, dilate, distance_to
from swath_eo.clouds.reading import CloudsReader, check_mask, open_clouds
from swath_eo.clouds.sources import Source
from swath_eo.composites.compositing import Observations, Recipe
from swath_eo.composites.scoring import Score, sum_scores
from swath_eo.errors import (
    BandMissingError,
    CalibrationUnknownError,
)
from swath_eo.geometry.grid import Grid, common_ground
from swath_eo.output.rounding import back_to
from swath_eo.scenes.adjustment import SAME, Adjustment, differ_in_scale, without_scale
from swath_eo.scenes.bands import canonical_name, is_wanted, spellings
from swath_eo.scenes.calibration import Calibration
from swath_eo.scenes.granule import Angles
from swath_eo.scenes.stacks import BandsReader, open_bands

_KEPT_OPEN = 40  # files


@dataclass(frozen=True, kw_only=True)
class Scene(Source):
    """One date."""

    angles: Angles | None = None  # at which the instrument saw it

    def place_of(self, wanted: str) -> int | None:
        """Which of its bands is the wanted one, from 0."""
        names = [canonical_name(band.name) for band in self.bands]
        return next((names.index(name) for of in spellings(wanted) for name in names if is_wanted(name, of)), None)


@dataclass(frozen=True, kw_only=True)
class View:
    """One scene in a window."""

    values: NDArray[Any]  # (bands, rows, columns)
    valid: Mask  # (rows, columns): data in all bands, and clear
    cloud_distance: NDArray[np.float32] | None  # (rows, columns), metres; None where it is not asked for
    view_zenith: NDArray[np.float32] | None  # (rows, columns), degrees; None where it is not known


def common_calibrations(scenes: Sequence[Scene]) -> tuple[Calibration, ...]:
    """Of each band the one that all scenes are brought to: their scale, and the lowest offset of all, so that no scene's
    reflectance falls below what whole numbers without a sign can hold; none where scales differ."""
    all_own = [scene.calibrations for scene in scenes]
    if differ_in_scale(all_own):
        return without_scale(all_own[0])
    return tuple(
        replace(band[0], offset=min(one.offset for one in band), reason="common to all scenes")
        for band in zip(*all_own, strict=True)
    )


@dataclass(kw_only=True)
class SceneReader:
    """One scene on a grid, in a common calibration."""

    scene: Scene
    grid: Grid
    clearing: Clearing
    adjustment: Adjustment
    resampling: Resampling
    nodata: float | None
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.uint8))  # that holds what all scenes do
    _files: BandsReader | None = None
    _clouds: CloudsReader | None = None

    @contextmanager
    def open(self) -> Iterator[np.dtype[Any]]:
        """Keeps the files open until the end of the block; the type of their bands. Raises what `stacks.open_bands` does."""
        scene = self.scene
        with ExitStack() as stack:
            bands = open_bands(scene.bands, self.grid, resampling=self.resampling, nodata=self.nodata)
            self._files = stack.enter_context(bands)
            self._clouds = stack.enter_context(open_clouds(scene.clouds, self.grid, self.clearing))
            try:
                yield self._files.dtype
            finally:
                self._files = self._clouds = None

    def read(self, window: Window, *, reach: float = 0.0) -> View:
        """A window, as it is in the whole scene; clouds are looked for within `reach` metres. Raises UnreadableFileError."""
        if self._files is not None and self._clouds is not None:
            return self._read(self._files, self._clouds, window, reach)
        with self.open():
            return self.read(window, reach=reach)

    def _read(self, bands: BandsReader, layers: CloudsReader, window: Window, reach: float) -> View:
        pixel, angles = PixelSize.of(self.grid), self.scene.angles
        wider, inside = _widen(window, pixel.halo(max(self.clearing.dilation, reach)), self.grid)
        clouds, known = layers.read(wider)
        clear = known[inside] & ~dilate(clouds, self.clearing.dilation, pixel=pixel)[inside]
        values, valid = self._numbers(bands, window, clear)
        return View(
            values=values,
            valid=valid,
            cloud_distance=distance_to(clouds, reach=reach, pixel=pixel)[inside] if reach else None,
            view_zenith=None if angles is None else angles.zenith_at(self.grid, window),
        )

    def _numbers(self, bands: BandsReader, window: Window, clear: Mask) -> tuple[NDArray[Any], Mask]:
        """All bands, and where they count; what is hidden altogether is not read."""
        if not clear.any():
            return np.zeros((len(self.scene.bands), *clear.shape), dtype=self.dtype), clear
        values, valid = bands.read(window)
        seen = np.logical_and.reduce([*valid, clear])
        if values.dtype.kind == "f":  # whatever the file declares, these are no numbers
            seen &= np.isfinite(values).all(axis=0)
        elif self._declares_nothing:  # no ground reflects nothing at all
            seen &= (values != 0).any(axis=0)
        return back_to(self.dtype, self.adjustment.apply(values)), seen

    @property
    def _declares_nothing(self) -> bool:
        return self.nodata is None and all(band.nodata is None for band in self.scene.bands)


def _widen(window: Window, halo: int, grid: Grid) -> tuple[Window, tuple[slice, slice]]:
    """The window with as much around it as the grid has, and where in that the window lies."""
    left, top = max(window.col_off - halo, 0), max(window.row_off - halo, 0)
    right = min(window.col_off + window.width + halo, grid.width)
    bottom = min(window.row_off + window.height + halo, grid.height)
    row, column = window.row_off - top, window.col_off - left
    inside = slice(row, row + window.height), slice(column, column + window.width)
    return Window(left, top, right - left, bottom - top), inside


@dataclass(frozen=True, kw_only=True)
class Series:
    """Scenes on one grid, in common calibrations."""

    grid: Grid
    calibrations: Sequence[Calibration]  # a band each
    readers: Sequence[SceneReader]

    @property
    def scenes(self) -> list[Scene]:
        """In the order of time."""
        return [reader.scene for reader in self.readers]

    @property
    def dtype(self) -> np.dtype[Any]:
        """That holds what all scenes do."""
        return self.readers[0].dtype

    @cached_property
    def days(self) -> list[date]:
        """On which the scenes were acquired; empty where that is not known."""
        return [scene.product.acquired.date() for scene in self.scenes if scene.product.acquired is not None]

    @cached_property
    def knows_views(self) -> bool:
        """Whether it is known of all scenes how they were seen; of some alone it would favour these."""
        return all(scene.angles is not None for scene in self.scenes)

    def look(self, window: Window, recipe: Recipe, score: Score | None = None) -> Observations:
        """What a recipe needs to know of a window, with scores where there is one. Raises UnreadableFileError, and for
        max-ndvi BandMissingError and CalibrationUnknownError."""
        shape = (len(self.readers), window.height, window.width)
        values = np.empty((len(self.readers), len(self.calibrations), *shape[1:]), dtype=self.dtype)
        valid = np.empty(shape, dtype=np.bool_)
        scores = None if score is None else np.empty(shape, dtype=np.float32)
        for place, reader in enumerate(self.readers):
            view = reader.read(window, reach=0.0 if score is None else score.cloud_reach)
            values[place], valid[place] = view.values, view.valid
            if scores is not None and score is not None:
                scores[place] = sum_scores(
                    score,
                    self.days[place],
                    cloud_distance=view.cloud_distance,
                    view_zenith=view.view_zenith if self.knows_views else None,
                )
        vegetation = self._vegetation if recipe.method == "max-ndvi" else {}
        return Observations(values=values, valid=valid, scores=scores, **vegetation)

    @cached_property
    def _vegetation(self) -> dict[str, Any]:
        """Where the index finds its bands."""
        red, nir = (self.scenes[0].place_of(wanted) for wanted in ("red", "nir"))
        if red is None or nir is None:
            raise BandMissingError("max-ndvi needs red and near infrared among BANDS")
        both = [self.calibrations[place] for place in (red, nir)]
        zeros = [-own.offset / own.scale for own in both]
        if differ_in_scale([own] for own in both) or not math.isclose(*zeros, rel_tol=SAME):
            raise CalibrationUnknownError("red and near infrared are calibrated differently: max-ndvi compares numbers")
        return {"red": red, "nir": nir, "zero": round(zeros[0], 6)}


@contextmanager
def open_series(
    scenes: Sequence[Scene],
    *,
    clearing: Clearing | None = None,
    resampling: Resampling = Resampling.bilinear,
    nodata: float | None = None,
) -> Iterator[Series]:
    """All scenes on the grid that they have in common, in the calibrations of `common_calibrations`.

    The files of a long series are opened anew for each window: each that is open holds on to a megabyte, and a process may
    have a thousand. Raises what `grid.common_ground`, `check_mask` and `stacks.open_bands` do, before anything is read.
    """
    grid = common_ground([band.grid for scene in scenes for band in scene.bands])
    for scene in scenes:
        if scene.clouds.mask is not None:
            check_mask(scene.clouds.mask, grid)
    calibrations = common_calibrations(scenes)
    readers = [
        SceneReader(
            scene=scene,
            grid=grid,
            clearing=clearing or Clearing(),
            adjustment=Adjustment.between(scene.calibrations, calibrations),
            resampling=resampling,
            nodata=nodata,
        )
        for scene in scenes
    ]
    with ExitStack() as stack:
        own = []
        for reader in readers:
            if len(readers) * (len(readers[0].scene.bands) + 1) <= _KEPT_OPEN:
                own.append(stack.enter_context(reader.open()))
            else:
                with reader.open() as dtype:
                    own.append(dtype)
        dtype = np.result_type(*own, *([np.float32] if differ_in_scale(scene.calibrations for scene in scenes) else []))
        for reader in readers:
            reader.dtype = dtype
        yield Series(grid=grid, calibrations=calibrations, readers=readers)

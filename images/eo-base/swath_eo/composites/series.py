"""Scenes of one place over time, read window by window on one grid: their numbers, and where they are clear."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.windows import Window

from swath_eo.clouds.masking import SCL_CLOUDS, Mask, PixelSize, clouds_by_scl, dilate, distance_to, known_by_scl
from swath_eo.errors import ParameterError
from swath_eo.geometry.grid import Grid
from swath_eo.output.rounding import back_to
from swath_eo.scenes.adjustment import Adjustment
from swath_eo.scenes.calibration import Calibration
from swath_eo.scenes.granule import Angles
from swath_eo.scenes.product import Product
from swath_eo.scenes.rasters import BandFile
from swath_eo.scenes.stacks import BandsReader, open_bands

_WIDEST = 10_000.0  # metres
_KEPT_OPEN = 40  # files
_NO_PERCENT = 255.0  # no layer of percent holds it


@dataclass(frozen=True, kw_only=True)
class Clearing:
    """What counts as cloud; a scene that has no such layer is not asked for it. Raises ParameterError."""

    classes: frozenset[int] = SCL_CLOUDS  # of the scene classification
    most_probability: float = 100.0  # percent; what is above is cloud
    dilation: float = 0.0  # metres by which clouds grow

    def __post_init__(self) -> None:
        if not 0 <= self.most_probability <= 100:
            raise ParameterError(f"the probability {self.most_probability:g} is not within 0..100 percent")
        if not 0 <= self.dilation <= _WIDEST:
            raise ParameterError(f"the dilation {self.dilation:g} is not within 0..{_WIDEST:g} metres")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One date."""

    product: Product
    bands: tuple[BandFile, ...]
    calibrations: tuple[Calibration, ...]  # one a band
    classes: BandFile | None = None  # scene classification
    probability: BandFile | None = None  # of cloud, in percent
    mask: BandFile | None = None  # 0 where it is clear
    angles: Angles | None = None  # at which the instrument saw it

    @property
    def is_masked(self) -> bool:
        """Whether anything tells of its clouds."""
        return any((self.classes, self.probability, self.mask))


@dataclass(frozen=True, kw_only=True)
class View:
    """One scene in a window."""

    values: NDArray[Any]  # (bands, rows, columns)
    valid: Mask  # (rows, columns): data in all bands, and clear
    cloud_distance: NDArray[np.float32] | None  # (rows, columns), metres; None where it is not asked for
    view_zenith: NDArray[np.float32] | None  # (rows, columns), degrees; None where it is not known


def common_calibrations(scenes: Sequence[Scene]) -> tuple[Calibration, ...]:
    """Of each band the one that all scenes are brought to: the first one's scale, and the lowest offset of all, so that no
    scene's reflectance falls below what whole numbers without a sign can hold."""
    return tuple(
        Calibration(scale=band[0].scale, offset=min(one.offset for one in band), reason="common to all scenes")
        for band in zip(*(scene.calibrations for scene in scenes), strict=True)
    )


@dataclass(frozen=True, kw_only=True)
class _Files:
    """A scene's files while they are open."""

    bands: BandsReader
    classes: BandsReader | None
    probability: BandsReader | None
    mask: BandsReader | None


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
    _files: _Files | None = None

    @contextmanager
    def open(self) -> Iterator[np.dtype[Any]]:
        """Keeps the files open until the end of the block; the type of their bands. Raises what `stacks.open_bands` does."""
        scene, nearest = self.scene, Resampling.nearest

        def layer(band: BandFile | None, nodata: float | None = None) -> BandsReader | None:
            opened = None if band is None else open_bands([band], self.grid, resampling=nearest, nodata=nodata)
            return None if opened is None else stack.enter_context(opened)

        with ExitStack() as stack:
            bands = open_bands(scene.bands, self.grid, resampling=self.resampling, nodata=self.nodata)
            self._files = _Files(
                bands=stack.enter_context(bands),
                classes=layer(scene.classes),
                probability=layer(scene.probability, _NO_PERCENT),
                mask=layer(scene.mask and replace(scene.mask, nodata=None)),  # zero is clear, whatever the file says
            )
            try:
                yield self._files.bands.dtype
            finally:
                self._files = None

    def read(self, window: Window, *, reach: float = 0.0) -> View:
        """A window, as it is in the whole scene; clouds are looked for within `reach` metres. Raises UnreadableFileError."""
        if self._files is not None:
            return self._read(self._files, window, reach)
        with self.open():
            return self.read(window, reach=reach)

    def _read(self, files: _Files, window: Window, reach: float) -> View:
        pixel, angles = PixelSize.of(self.grid), self.scene.angles
        wider, inside = _widen(window, pixel.halo(max(self.clearing.dilation, reach)), self.grid)
        clouds, known = self._clouds(files, wider)
        clear = known[inside] & ~dilate(clouds, self.clearing.dilation, pixel=pixel)[inside]
        values, valid = self._numbers(files, window, clear)
        return View(
            values=values,
            valid=valid,
            cloud_distance=distance_to(clouds, reach=reach, pixel=pixel)[inside] if reach else None,
            view_zenith=None if angles is None else angles.zenith_at(self.grid, window),
        )

    def _numbers(self, files: _Files, window: Window, clear: Mask) -> tuple[NDArray[Any], Mask]:
        """All bands, and where they count; what is hidden altogether is not read."""
        if not clear.any():
            return np.zeros((len(self.scene.bands), *clear.shape), dtype=self.dtype), clear
        values, valid = files.bands.read(window)
        seen = np.logical_and.reduce([*valid, clear])
        if values.dtype.kind == "f":  # whatever the file declares, these are no numbers
            seen &= np.isfinite(values).all(axis=0)
        elif self._declares_nothing:  # no ground reflects nothing at all
            seen &= (values != 0).any(axis=0)
        return back_to(self.dtype, self.adjustment.apply(values)), seen

    @property
    def _declares_nothing(self) -> bool:
        return self.nodata is None and all(band.nodata is None for band in self.scene.bands)

    def _clouds(self, files: _Files, window: Window) -> tuple[Mask, Mask]:
        """Where clouds are, and where that is known."""
        clouds = np.zeros((window.height, window.width), dtype=np.bool_)
        known = np.ones_like(clouds)
        if files.classes:
            (classes,), (told,) = files.classes.read(window)
            clouds |= clouds_by_scl(classes, self.clearing.classes) & told
            known &= known_by_scl(classes) & told
        if files.probability:
            (percent,), (told,) = files.probability.read(window)
            clouds |= (percent > self.clearing.most_probability) & told
            known &= told
        if files.mask:
            (mask,), (told,) = files.mask.read(window)
            clouds |= (mask != 0) & told
            known &= told
        return clouds, known


def _widen(window: Window, halo: int, grid: Grid) -> tuple[Window, tuple[slice, slice]]:
    """The window with as much around it as the grid has, and where in that the window lies."""
    left, top = max(window.col_off - halo, 0), max(window.row_off - halo, 0)
    right = min(window.col_off + window.width + halo, grid.width)
    bottom = min(window.row_off + window.height + halo, grid.height)
    row, column = window.row_off - top, window.col_off - left
    inside = slice(row, row + window.height), slice(column, column + window.width)
    return Window(left, top, right - left, bottom - top), inside


@contextmanager
def open_series(
    scenes: Sequence[Scene],
    grid: Grid,
    *,
    clearing: Clearing,
    calibrations: Sequence[Calibration],
    resampling: Resampling = Resampling.bilinear,
    nodata: float | None = None,
) -> Iterator[list[SceneReader]]:
    """All scenes on one grid, in the calibrations of `common_calibrations`.

    The files of a long series are opened anew for each window: each that is open holds on to a megabyte, and a process may
    have a thousand. Raises what `stacks.open_bands` does, before anything is read.
    """
    readers = [
        SceneReader(
            scene=scene,
            grid=grid,
            clearing=clearing,
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
        for reader in readers:
            reader.dtype = np.result_type(*own)
        yield readers

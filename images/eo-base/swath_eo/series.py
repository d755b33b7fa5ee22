"""Scenes of one place over time, read window by window on one grid: their numbers, and where they are clear."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.windows import Window

from swath_eo.calibration import Calibration
from swath_eo.errors import ParameterError
from swath_eo.granule import Angles
from swath_eo.grid import Grid
from swath_eo.masking import SCL_CLOUDS, Mask, PixelSize, clouds_by_scl, dilate, distance_to, known_by_scl
from swath_eo.mosaicking import Adjustment
from swath_eo.products import Product
from swath_eo.rounding import back_to
from swath_eo.scene import BandFile
from swath_eo.stacks import BandsReader, open_bands

_WIDEST = 10_000.0  # metres
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
    cloud_distance: NDArray[np.float32]  # (rows, columns), metres, at most as far as is asked for
    view_zenith: NDArray[np.float32] | None  # (rows, columns), degrees; None where it is not known


def common_calibrations(scenes: Sequence[Scene]) -> tuple[Calibration, ...]:
    """Of each band the one that all scenes are brought to: the first one's scale, and the lowest offset of all, so that no
    scene's reflectance falls below what whole numbers without a sign can hold."""
    return tuple(
        Calibration(scale=band[0].scale, offset=min(one.offset for one in band), reason="common to all scenes")
        for band in zip(*(scene.calibrations for scene in scenes), strict=True)
    )


def _between(own: Sequence[Calibration], wanted: Sequence[Calibration]) -> Adjustment:
    pairs = list(zip(own, wanted, strict=True))
    return Adjustment(
        gains=tuple(1.0 if a.scale == b.scale else a.scale / b.scale for a, b in pairs),
        offsets=tuple(0.0 if a.offset == b.offset else (a.offset - b.offset) / b.scale for a, b in pairs),
    )


class SceneReader:
    """One scene on a grid, in a common calibration."""

    def __init__(
        self,
        scene: Scene,
        clearing: Clearing,
        adjustment: Adjustment,
        bands: BandsReader,
        layers: dict[str, BandsReader],
    ) -> None:
        self.scene = scene
        self.dtype = bands.dtype
        self._clearing = clearing
        self._adjustment = adjustment
        self._bands = bands
        self._layers = layers  # "classes", "probability", "mask"
        self._pixel = PixelSize.of(bands.grid)

    def read(self, window: Window, *, reach: float = 0.0) -> View:
        """A window, as it is in the whole scene; clouds are looked for within `reach` metres. Raises
        UnreadableFileError."""
        values, valid = self._bands.read(window)
        wider, inside = _widen(window, self._pixel.halo(max(self._clearing.dilation, reach)), self._bands.grid)
        clouds, known = self._clouds(wider)
        hidden = dilate(clouds, self._clearing.dilation, pixel=self._pixel)
        distance = distance_to(clouds, reach=reach, pixel=self._pixel) if reach else np.zeros(clouds.shape, np.float32)
        angles = self.scene.angles
        return View(
            values=back_to(values.dtype, self._adjustment.apply(values)),
            valid=valid.all(axis=0) & known[inside] & ~hidden[inside],
            cloud_distance=distance[inside],
            view_zenith=None if angles is None else angles.zenith_at(self._bands.grid, window),
        )

    def _clouds(self, window: Window) -> tuple[Mask, Mask]:
        """Where clouds are, and where that is known."""
        clouds = np.zeros((window.height, window.width), dtype=np.bool_)
        known = np.ones_like(clouds)
        if "classes" in self._layers:
            (classes,), (told,) = self._layers["classes"].read(window)
            clouds |= clouds_by_scl(classes, self._clearing.classes) & told
            known &= known_by_scl(classes) & told
        if "probability" in self._layers:
            (percent,), (told,) = self._layers["probability"].read(window)
            clouds |= (percent > self._clearing.most_probability) & told
            known &= told
        if "mask" in self._layers:
            (mask,), _ = self._layers["mask"].read(window)
            clouds |= mask != 0
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
    """Opens all scenes on one grid, in the calibrations of `common_calibrations`. Raises what `stacks.open_bands` does."""
    nearest = {"resampling": Resampling.nearest}
    with ExitStack() as stack:
        readers = []
        for scene in scenes:
            bands = stack.enter_context(open_bands(scene.bands, grid, resampling=resampling, nodata=nodata))
            layers = {}
            if scene.classes:
                layers["classes"] = stack.enter_context(open_bands([scene.classes], grid, **nearest))
            if scene.probability:
                percent = open_bands([scene.probability], grid, nodata=_NO_PERCENT, **nearest)
                layers["probability"] = stack.enter_context(percent)
            if scene.mask:
                layers["mask"] = stack.enter_context(open_bands([scene.mask], grid, **nearest))
            readers.append(SceneReader(scene, clearing, _between(scene.calibrations, calibrations), bands, layers))
        yield readers

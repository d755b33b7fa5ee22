"""Which scenes a mosaic is made of, in which order they lie on each other, and what is done to each one's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.windows import Window

from swath_eo.clouds.masking import Clearing, PixelSize
from swath_eo.clouds.reading import check_mask
from swath_eo.clouds.sources import Source
from swath_eo.errors import EmptyOverlapError, HarmonizationError, ParameterError
from swath_eo.geometry.grid import Grid
from swath_eo.mosaics.harmonizing import Harmonization, Harmony, harmonize
from swath_eo.mosaics.mosaicking import margin
from swath_eo.mosaics.placing import Bounds, check_resolution, footprint, grown, intersection, target_grid, union
from swath_eo.mosaics.surveying import LARGEST_FEATHER, PlacedScene, Plan, Survey, sample_step
from swath_eo.scenes.adjustment import Adjustment, differ_in_scale, without_scale
from swath_eo.scenes.bands import canonical_name, is_wanted
from swath_eo.scenes.calibration import Calibration

ORDERS = ("given", "newest", "oldest", "score")
_FEATHER = 30  # pixels, unless something else is asked for
_HALF_DAYS = 30.0  # so far from the wanted date a scene scores half


def make_plan(
    sources: Sequence[Source],
    *,
    crs: CRS | None = None,
    resolution: float | None = None,
    bounds: Bounds | None = None,
    feather: float | None = None,
    clearing: Clearing | None = None,
    is_matched: bool = False,
    resampling: Resampling = Resampling.bilinear,
    nodata: float | None = None,
) -> Plan:
    """The mosaic's grid (as `target_grid`), and the distances on it in pixels.

    `feather` in metres, by default 30 pixels; `is_matched`: whether scenes are to be harmonised.
    Raises ParameterError and what `target_grid` does.
    """
    grids = [band.grid for source in sources for band in source.bands]
    grid = target_grid(grids, crs=crs, resolution=resolution, bounds=bounds)
    pixel = PixelSize.of(grid)
    pixels = _FEATHER if feather is None else round(feather / min(pixel.width, pixel.height))
    if pixels > LARGEST_FEATHER:
        raise ParameterError(f"FEATHER is {pixels} pixels, more than {LARGEST_FEATHER}")
    reaching = sum(intersection(_reached(source, grid), _whole(grid)) is not None for source in sources)
    step = sample_step(grid, scenes=reaching, bands=len(sources[0].bands)) if is_matched and reaching > 1 else 0
    return Plan(
        grid=grid,
        pixel=pixel,
        feather=pixels,
        clearing=clearing or Clearing(),
        sample_step=step,
        resampling=resampling,
        nodata=nodata,
    )


def place_scenes(sources: Sequence[Source], plan: Plan) -> list[PlacedScene]:
    """The scenes that reach the mosaic; others have no say. Raises what `check_mask` does, GridMismatchError and
    EmptyOverlapError."""
    mosaic = _whole(plan.grid)
    ground = grown(mosaic, margin(plan.feather) + plan.pixel.halo(plan.clearing.dilation))
    placed = []
    for number, source in enumerate(sources, 1):
        extent = intersection(_reached(source, plan.grid), ground)
        if extent is None or not intersection(extent, mosaic):
            continue
        check_resolution(source.bands[0].grid, plan.grid, where=source.product.name)
        if source.clouds.mask is not None:
            check_mask(source.clouds.mask, source.bands[0].grid)
        placed.append(PlacedScene(**vars(source), number=number, extent=extent))
    if not placed:
        raise EmptyOverlapError("no scene reaches into BBOX")
    return placed


def _reached(source: Source, grid: Grid) -> Window:
    return union([footprint(own, grid) for own in {band.grid for band in source.bands}])


def _whole(grid: Grid) -> Window:
    return Window(0, 0, grid.width, grid.height)


def score(scene: PlacedScene, survey: Survey, grid: Grid, wanted: datetime | None) -> float:
    """The clear share of a scene's pixels in the mosaic; less the further it was acquired from the wanted date."""
    within = intersection(scene.extent, _whole(grid))
    if within is None:
        return 0.0
    share = survey.clear_pixels / float(within.width * within.height)
    if wanted is None or scene.product.acquired is None:
        return share
    days = abs((scene.product.acquired - wanted).total_seconds()) / 86_400
    return share / (1 + days / _HALF_DAYS)


def arrange(scenes: Sequence[PlacedScene], order: str, scores: Mapping[int, float]) -> list[PlacedScene]:
    """The scenes, the one on top first; those that are alike as they were given. `scores` are by number.

    Raises ParameterError where there is no telling.
    """
    if order == "given":
        return list(scenes)
    if order == "score":
        if any(scene.number not in scores for scene in scenes):
            raise ParameterError("ORDER is score, but not every scene has a cloud mask")
        return sorted(scenes, key=lambda scene: -scores[scene.number])
    if missing := [scene.product.name for scene in scenes if scene.product.acquired is None]:
        raise ParameterError(f"ORDER is {order}, but it is not known when {missing[0]} was acquired")
    sign = -1 if order == "newest" else 1
    return sorted(scenes, key=lambda scene: sign * _acquired(scene).timestamp())


def _acquired(scene: PlacedScene) -> datetime:
    return scene.product.acquired or datetime.min.replace(tzinfo=UTC)


def first_of(scenes: Sequence[PlacedScene]) -> PlacedScene:
    """The one that was given first, however they lie."""
    return min(scenes, key=lambda scene: scene.number)


def common_calibrations(scenes: Sequence[PlacedScene]) -> tuple[Calibration, ...]:
    """What all scenes are brought to: the first one's, or none where scales differ."""
    first = first_of(scenes).calibrations
    return without_scale(first) if differ_in_scale(scene.calibrations for scene in scenes) else first


def recalibrations(scenes: Sequence[PlacedScene]) -> dict[int, Adjustment]:
    """By a scene's number, what brings its digital numbers to the common meaning."""
    reference = common_calibrations(scenes)
    return {scene.number: Adjustment.between(scene.calibrations, reference) for scene in scenes}


def match(
    scenes: Sequence[PlacedScene], surveys: Mapping[int, Survey], adjustments: Mapping[int, Adjustment], kind: Harmony
) -> Harmonization:
    """What brings scenes, adjusted already, to match where they overlap; takes the samples out of their surveys.

    Raises HarmonizationError where no two can be compared.
    """
    samples = [_take_samples(surveys[scene.number], adjustments[scene.number]) for scene in scenes]
    harmony = harmonize(samples, kind=kind)
    if not harmony.pairs:
        raise HarmonizationError("no two scenes show enough of the same ground to be matched")
    return harmony


def _take_samples(survey: Survey, adjustment: Adjustment) -> NDArray[np.float32]:
    if survey.samples is None:
        raise ValueError("the plan asked for no samples")
    samples, survey.samples = survey.samples, None  # they are the largest thing that there is
    values: NDArray[np.float32] = adjustment.apply(samples)
    return values.reshape(len(values), -1)


def picture_bands(first: Source) -> list[int]:
    """The numbers (from 1) of the red, green and blue bands; without these, of the first three, or of the first one."""
    names = [canonical_name(band.name) for band in first.bands]
    places = [[i for i, name in enumerate(names, 1) if is_wanted(name, wanted)] for wanted in ("red", "green", "blue")]
    if all(places):
        return [found[0] for found in places]
    return [1, 2, 3] if len(names) >= 3 else [1]

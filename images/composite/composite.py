"""One clear picture of a place out of many dates: a Cloud-Optimised GeoTIFF with count, date and spread, and a picture."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.windows import Window
from swath_eo.clouds.masking import SCL_CLOUDS, PixelSize, parse_classes
from swath_eo.composites.compositing import METHODS, NO_DATE, Composite, Observations, Recipe, compose
from swath_eo.composites.scoring import Score, sum_scores
from swath_eo.composites.series import Clearing, Scene, SceneReader, common_calibrations, open_series
from swath_eo.composites.timeline import assign_masks, check_mask, find_angles, find_products, in_order, list_paths
from swath_eo.errors import (
    BandMissingError,
    CalibrationUnknownError,
    NoClearObservationError,
    NoValidPixelsError,
    ParameterError,
)
from swath_eo.geometry.grid import Grid, check_georeferenced, common_ground
from swath_eo.output.cog import OutputBand, write_cog
from swath_eo.output.rounding import output_type, to_type
from swath_eo.output.stac import COG, Asset, Lineage, make_item
from swath_eo.pictures.quicklook import write_picture
from swath_eo.pictures.viewing import Stretch
from swath_eo.program import (
    allocated_mib,
    check_common,
    make_parser,
    run_program,
    say,
    warn,
    with_progress,
    write_json,
    write_values,
)
from swath_eo.scenes.bands import canonical_name, is_layer, is_wanted, spellings
from swath_eo.scenes.calibration import Calibration
from swath_eo.scenes.product import Product

VERSION = "1.0.0"
_MIB = 560  # used at most, and by default
_PROGRAM_MIB = 250  # measured: the program with GDAL's cache takes 220, beside its windows
_BYTES_IN_HALO = 24  # of a pixel, while one scene's clouds are looked for
_WINDOW_STEP = 16
_EPOCH = date(1970, 1, 1)
_PICTURE = Stretch(low=0.0, high=0.3, gamma=1.2)  # of reflectance
_SCORES = ("target_day", "day_sigma", "cloud_reach", "widest_view", "day_weight", "cloud_weight", "view_weight")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a run is asked for."""

    scenes: list[Path]
    masks: list[Path]
    bands: list[str]  # none: all of the first scene
    recipe: Recipe
    score: Score
    clearing: Clearing
    start: date | None
    end: date | None
    resampling: Resampling
    offset: str  # auto, none or reflectance to add
    scale: float | None  # reflectance per digital number
    nodata: float | None  # instead of what the files declare
    window: int  # pixels a side
    output: Path
    asked: Mapping[str, Any]  # all of it, as it was given

    @property
    def needs_scores(self) -> bool:
        """Whether observations are compared by their score."""
        return self.recipe.method == "best-pixel"


def parse_options(arguments: Sequence[str]) -> Options:
    """The options of a command line. Raises ParameterError."""
    parser = make_parser("composite", __doc__)
    add, usual = parser.add_argument, Score()
    add("--scenes", type=Path, nargs="+", required=True, help="scenes, or a directory that holds every scene")
    add("--masks", type=Path, nargs="+", default=[], help="a mask (0: clear) for all, or one named after each scene")
    add("--method", default="median", choices=METHODS)
    add("--percentile", type=float, default=50.0, help="0 to 100, of METHOD percentile")
    add("--bands", default="", help="names with commas between (B04,B03,B02); all of the first scene by default")
    add("--spread", default="false", choices=("true", "false"), help="also the distance of the quartiles of each band")
    add("--classes", default=",".join(map(str, sorted(SCL_CLOUDS))), help="of the scene classification: cloud; or none")
    add("--probability", type=float, default=100.0, help="of cloud in percent; what is above is cloud")
    add("--dilation", type=float, default=0.0, help="metres by which clouds grow")
    add("--start", type=_day, help="first day (2023-06-01)")
    add("--end", type=_day, help="last day")
    add("--target-day", type=int, default=usual.target_day, help="of the year, for METHOD best-pixel")
    add("--day-sigma", type=float, default=usual.day_sigma, help="days after which a day scores 0.61")
    add("--cloud-reach", type=float, default=usual.cloud_reach, help="metres from which on clouds do not matter")
    add("--widest-view", type=float, default=usual.widest_view, help="degrees from nadir that score nothing")
    add("--day-weight", type=float, default=usual.day_weight)
    add("--cloud-weight", type=float, default=usual.cloud_weight)
    add("--view-weight", type=float, default=usual.view_weight)
    add("--resampling", default="bilinear", choices=("nearest", "bilinear", "cubic"), help="of what is on other pixels")
    add("--offset", default="auto", help="reflectance to add: auto, none or a number such as -0.1")
    add("--scale", type=float, help="reflectance per digital number")
    add("--nodata", type=float, help="digital number that means no data, instead of what the files declare")
    given = vars(parser.parse_args(arguments))
    check_common(given["window"], given["output"])
    return _to_options(given)


def _to_options(given: Mapping[str, Any]) -> Options:
    kept = ("scenes", "masks", "start", "end", "offset", "scale", "nodata", "window", "output")
    left_out = ("scenes", "window", "output")
    asked = {key: value for key, value in given.items() if key not in left_out and value not in (None, "", [])}
    asked |= {"masks": [mask.name for mask in given["masks"]]} if given["masks"] else {}
    return Options(
        bands=[name.strip() for name in given["bands"].split(",") if name.strip()],
        recipe=Recipe(method=given["method"], percentile=given["percentile"], with_spread=given["spread"] == "true"),
        score=Score(**{name: given[name] for name in _SCORES}),
        clearing=Clearing(
            classes=parse_classes(given["classes"]),
            most_probability=given["probability"],
            dilation=given["dilation"],
        ),
        resampling=Resampling[given["resampling"]],
        asked={key: str(value) if isinstance(value, date) else value for key, value in asked.items()},
        **{key: given[key] for key in kept},
    )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ParameterError(f"{text!r} is no day like 2023-06-01") from error


def find_scenes(options: Options) -> list[Scene]:
    """All scenes in the order of time, each with its bands and what tells of its clouds. Raises EoError."""
    needs_dates = options.recipe.chooses
    products = in_order(find_products(options.scenes), start=options.start, end=options.end, needs_dates=needs_dates)
    names = options.bands or [name for name in products[0].bands if not is_layer(name)]
    masks = assign_masks(products, list_paths(options.masks, what="mask") if options.masks else [])
    return [_find_scene(product, names, mask, options) for product, mask in zip(products, masks, strict=True)]


def _find_scene(product: Product, names: Sequence[str], mask: Path | None, options: Options) -> Scene:
    bands = tuple(product.find(name) for name in names)
    if not bands:
        raise BandMissingError(f"{product.name} has no bands")
    for band in bands:
        check_georeferenced(band.grid, where=f"{product.name}: {band.path.name}")
    by_probability = options.clearing.most_probability < 100
    return Scene(
        product=product,
        bands=bands,
        calibrations=tuple(product.calibration(band, offset=options.offset, scale=options.scale) for band in bands),
        classes=product.find("scl") if options.clearing.classes and product.has("scl") else None,
        probability=product.find("cldprb") if by_probability else None,
        mask=None if mask is None else find_products([mask])[0].find("1"),
        angles=find_angles(product, bands[0]) if options.needs_scores else None,
    )


@dataclass(kw_only=True)
class Run:
    """A composite's making: what is known of it, and what is counted on the way."""

    options: Options
    scenes: Sequence[Scene]
    grid: Grid
    calibrations: Sequence[Calibration]
    clear: int = 0  # pixels with a clear observation
    observations: int = 0

    @property
    def days(self) -> list[date]:
        """On which the scenes were acquired; empty where that is not known."""
        return [scene.product.acquired.date() for scene in self.scenes if scene.product.acquired is not None]

    @cached_property
    def knows_views(self) -> bool:
        """Whether it is known of all scenes how they were seen; of some alone it would favour these."""
        return all(scene.angles is not None for scene in self.scenes)

    def composites(self, readers: Sequence[SceneReader], size: int) -> Iterator[tuple[Window, Composite]]:
        """Window by window, counted as they pass. Raises NoClearObservationError at the end."""
        for window in with_progress(self.grid.windows(size), self.grid.count_windows(size)):
            made = compose(self._look(readers, window), self.options.recipe)
            self.clear += int(np.count_nonzero(made.count))
            self.observations += int(made.count.sum(dtype=np.int64))
            yield window, made
        if not self.clear:
            if any(scene.is_masked for scene in self.scenes):
                raise NoClearObservationError("no pixel is clear on any date")
            raise NoValidPixelsError("no pixel has data in all bands on any date")

    def _look(self, readers: Sequence[SceneReader], window: Window) -> Observations:
        shape = (len(readers), window.height, window.width)
        values = np.empty((len(readers), len(self.calibrations), *shape[1:]), dtype=readers[0].dtype)
        valid = np.empty(shape, dtype=np.bool_)
        scores = np.empty(shape, dtype=np.float32) if self.options.needs_scores else None
        for place, reader in enumerate(readers):
            view = reader.read(window, reach=0.0 if scores is None else self.options.score.cloud_reach)
            values[place], valid[place] = view.values, view.valid
            if scores is not None:
                scores[place] = sum_scores(
                    self.options.score,
                    self.days[place],
                    cloud_distance=view.cloud_distance,
                    view_zenith=view.view_zenith if self.knows_views else None,
                )
        return Observations(values=values, valid=valid, scores=scores, **self._vegetation)

    @cached_property
    def _vegetation(self) -> dict[str, Any]:
        """Where the index finds its bands. Raises BandMissingError."""
        if self.options.recipe.method != "max-ndvi":
            return {}
        red, nir = (_place_of(wanted, self.scenes[0]) for wanted in ("red", "nir"))
        if red is None or nir is None:
            raise BandMissingError("max-ndvi needs red and near infrared among BANDS")
        zeros = [-self.calibrations[place].offset / self.calibrations[place].scale for place in (red, nir)]
        if not math.isclose(*zeros) or self.calibrations[red].scale != self.calibrations[nir].scale:
            raise CalibrationUnknownError("red and near infrared are calibrated differently: max-ndvi compares numbers")
        return {"red": red, "nir": nir, "zero": round(zeros[0], 6)}

    def outputs(self, nodata: float) -> list[OutputBand]:
        """The bands of the file: those of the scenes, the count, and what else there is; `nodata` is the value for no data."""
        names = [band.name for band in self.scenes[0].bands]
        named = list(zip(names, self.calibrations, strict=True))
        described = [OutputBand(name=name, scale=c.scale, offset=c.offset) for name, c in named]
        described.append(OutputBand(name="count", unit="observations"))
        if self.options.recipe.chooses:
            described.append(OutputBand(name="date", unit="days since 1970-01-01"))
        if self.options.recipe.with_spread:
            lift = _lift(nodata)
            described += [OutputBand(name=f"{name}_spread", scale=c.scale, offset=-lift * c.scale) for name, c in named]
        return described

    def to_bands(self, made: Composite, dtype: np.dtype[Any], nodata: float) -> NDArray[Any]:
        """All of `outputs`, (bands, rows, columns)."""
        seen = made.count > 0
        layers = [to_type(made.values, seen, dtype, nodata), made.count[np.newaxis].astype(dtype)]
        if made.chosen is not None:
            days = np.array([(day - _EPOCH).days for day in self.days])
            layers.append(to_type(days[made.chosen][np.newaxis], made.chosen != NO_DATE, dtype, nodata))
        if made.spread is not None:
            lift = _lift(nodata)
            lifted = np.rint(made.spread) + np.float32(lift) if lift else made.spread
            layers.append(to_type(lifted, seen, dtype, nodata))
        return np.concatenate(layers)


def _lift(nodata: float) -> int:
    """What is added to a spread, which may well be 0, where 0 stands for no data."""
    return 1 if nodata == 0 else 0


def _place_of(wanted: str, scene: Scene) -> int | None:
    names = [canonical_name(band.name) for band in scene.bands]
    return next((names.index(name) for of in spellings(wanted) for name in names if is_wanted(name, of)), None)


def fit_window(
    options: Options, environ: Mapping[str, str], *, times: int, bands: int, itemsize: int, halo: int
) -> int:
    """Pixels a side of a window that fits into memory; no result depends on it. Raises ParameterError."""
    mib = min(allocated_mib(environ) or _MIB, _MIB) - _PROGRAM_MIB
    a_pixel = times * (bands * itemsize + 1 + 4 * options.needs_scores) + bands * (itemsize + 24) + 16
    size = options.window
    while size > _WINDOW_STEP and a_pixel * size**2 + _BYTES_IN_HALO * (size + 2 * halo) ** 2 > mib * 2**20:
        size = max((size - 1) // _WINDOW_STEP * _WINDOW_STEP, _WINDOW_STEP)
    if size < options.window:
        say(f"windows of {size} pixels a side instead of {options.window}, for {times} dates of {bands} bands")
    return size


def process(arguments: Sequence[str], environ: Mapping[str, str]) -> dict[str, Any]:
    """Writes all outputs and returns the summary. Raises EoError."""
    options = parse_options(arguments)
    scenes = find_scenes(options)
    grid = common_ground([band.grid for scene in scenes for band in scene.bands])
    for scene in scenes:
        say(_told(scene))
        if scene.mask is not None:
            check_mask(scene.mask, grid)
    run = Run(options=options, scenes=scenes, grid=grid, calibrations=common_calibrations(scenes))
    raster = options.output / "composite.tif"
    with open_series(
        scenes,
        grid,
        clearing=options.clearing,
        calibrations=run.calibrations,
        resampling=options.resampling,
        nodata=options.nodata,
    ) as readers:
        _write(run, readers, raster, environ)
    write_picture(raster, options.output / "quicklook.png", bands=_picture_bands(scenes[0]), stretch=_PICTURE)
    values = _values(run)
    write_json(options.output / "item.json", describe_outputs(run, raster, datetime.now(UTC)))
    write_values(options.output, values)
    for warning in values["warnings"]:
        warn(warning)
    return {**values, "width": grid.width, "height": grid.height}


def _write(run: Run, readers: Sequence[SceneReader], raster: Path, environ: Mapping[str, str]) -> None:
    options, read_as = run.options, readers[0].dtype
    dtype, nodata = output_type(read_as)
    reach = max(options.clearing.dilation, options.score.cloud_reach if options.needs_scores else 0.0)
    window = fit_window(
        options,
        environ,
        times=len(readers),
        bands=len(run.calibrations),
        itemsize=read_as.itemsize,
        halo=PixelSize.of(run.grid).halo(reach),
    )
    blocks = ((part, run.to_bands(made, dtype, nodata)) for part, made in run.composites(readers, window))
    tags = {"TIFFTAG_SOFTWARE": f"swath composite {VERSION}", "METHOD": options.recipe.method}
    copied = run.scenes[0].bands[0].tags.get("TIFFTAG_COPYRIGHT")
    write_cog(
        raster,
        blocks,
        grid=run.grid,
        bands=run.outputs(nodata),
        dtype=str(dtype),
        nodata=nodata,
        tags=tags | ({"TIFFTAG_COPYRIGHT": copied} if copied else {}),
        overviews="nearest",  # between two dates, or two counts, there is nothing
    )


def _told(scene: Scene) -> str:
    product, (first, *_) = scene.product, scene.calibrations
    when = "at an unknown time" if product.acquired is None else f"{product.acquired:%Y-%m-%d %H:%M:%S}"
    layers = {"classes": scene.classes, "probability": scene.probability, "mask": scene.mask}
    clouds = ", ".join(name for name, layer in layers.items() if layer) or "nothing"
    return f"{when} {product.name}: clouds by {clouds}; scale {first.scale:g}, offset {first.offset:g} ({first.reason})"


def _picture_bands(scene: Scene) -> list[int]:
    places = [_place_of(wanted, scene) for wanted in ("red", "green", "blue")]
    return [place + 1 for place in places if place is not None] if None not in places else [1]


def _values(run: Run) -> dict[str, Any]:
    pixels = run.grid.width * run.grid.height
    unmasked = [scene.product.name for scene in run.scenes if not scene.is_masked]
    warnings = [f"nothing tells of clouds in {', '.join(unmasked)}"] if unmasked else []
    if run.options.needs_scores and run.options.score.view_weight and not run.knows_views:
        warnings.append("not all scenes tell at which angles they were seen, so no score heeds it")
    return {
        "scenes": len(run.scenes),
        "clear_pixels": run.clear,
        "clear_fraction": run.clear / pixels,
        "mean_count": run.observations / pixels,
        "warnings": warnings,
    }


def describe_outputs(run: Run, raster: Path, now: datetime) -> dict[str, Any]:
    """The STAC item of what was made, of all the time that it is made of."""
    times = [_to_text(scene.product.acquired) for scene in run.scenes if scene.product.acquired is not None]
    names = [scene.product.name for scene in run.scenes]
    item = make_item(
        f"{names[0]}_{len(names)}_composite",
        raster,
        assets={
            "composite": Asset(
                file=raster.name, media_type=COG, role="data", title=f"Composite ({run.options.recipe.method})"
            ),
            "quicklook": Asset(file="quicklook.png", media_type="image/png", role="overview", title="Picture"),
        },
        acquired=times[-1] if times else None,
        created=_to_text(now),
        located=True,
        lineage=Lineage(software="composite", version=VERSION, inputs=names, parameters=run.options.asked),
    )
    if times:
        item["properties"] |= {"start_datetime": times[0], "end_datetime": times[-1]}
    return item


def _to_text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Runs, and returns the exit code that the manifest names."""
    return run_program(process, arguments, environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))

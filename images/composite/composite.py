"""One clear picture of a place out of many dates: a Cloud-Optimised GeoTIFF with count, date and spread, and a picture."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.enums import Resampling
from rasterio.windows import Window
from swath_eo.clouds.asking import add_arguments, to_clearing
from swath_eo.clouds.masking import Clearing, PixelSize
from swath_eo.composites.compositing import METHODS, Composite, Recipe, compose
from swath_eo.composites.layout import Layout
from swath_eo.composites.scoring import Score
from swath_eo.composites.series import Scene, Series, open_series
from swath_eo.composites.timeline import find_scenes, in_order
from swath_eo.errors import (
    NoClearObservationError,
    NoValidPixelsError,
    ParameterError,
)
from swath_eo.output.cog import write_cog
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
from swath_eo.scenes.adjustment import scale_warnings
from swath_eo.scenes.listing import find_products, list_paths

VERSION = "1.0.0"
_MIB = 560  # used at most, and by default
_PROGRAM_MIB = 250  # measured: the program with GDAL's cache takes 220, beside its windows
_BYTES_IN_HALO = 24  # of a pixel, while one scene's clouds are looked for
_WINDOW_STEP = 16
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
    add("--method", default="median", choices=METHODS)
    add("--percentile", type=float, default=50.0, help="0 to 100, of METHOD percentile")
    add("--bands", default="", help="names with commas between (B04,B03,B02); all of the first scene by default")
    add("--spread", default="false", choices=("true", "false"), help="also the distance of the quartiles of each band")
    add_arguments(parser)
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
        clearing=to_clearing(given),
        resampling=Resampling[given["resampling"]],
        asked={key: str(value) if isinstance(value, date) else value for key, value in asked.items()},
        **{key: given[key] for key in kept},
    )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ParameterError(f"{text!r} is no day like 2023-06-01") from error


def find_all(options: Options) -> list[Scene]:
    """All scenes in the order of time, each with its bands and what tells of its clouds. Raises EoError."""
    products = find_products(options.scenes)
    return find_scenes(
        in_order(products, start=options.start, end=options.end, needs_dates=options.recipe.chooses),
        bands=options.bands,
        clearing=options.clearing,
        masks=list_paths(options.masks, what="mask") if options.masks else [],
        offset=options.offset,
        scale=options.scale,
        with_angles=options.needs_scores,
    )


@dataclass(kw_only=True)
class Run:
    """A composite's making: what is known of it, and what is counted on the way."""

    options: Options
    series: Series
    clear: int = 0  # pixels with a clear observation
    observations: int = 0

    def composites(self, size: int) -> Iterator[tuple[Window, Composite]]:
        """Window by window, counted as they pass. Raises NoClearObservationError at the end."""
        grid, recipe = self.series.grid, self.options.recipe
        score = self.options.score if self.options.needs_scores else None
        for window in with_progress(grid.windows(size), grid.count_windows(size)):
            made = compose(self.series.look(window, recipe, score), recipe)
            self.clear += int(np.count_nonzero(made.count))
            self.observations += int(made.count.sum(dtype=np.int64))
            yield window, made
        if not self.clear:
            if any(scene.clouds for scene in self.series.scenes):
                raise NoClearObservationError("no pixel is clear on any date")
            raise NoValidPixelsError("no pixel has data in all bands on any date")


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
    scenes = find_all(options)
    for scene in scenes:
        say(_told(scene))
    raster = options.output / "composite.tif"
    with open_series(scenes, clearing=options.clearing, resampling=options.resampling, nodata=options.nodata) as series:
        run = Run(options=options, series=series)
        _write(run, raster, environ)
    write_picture(raster, options.output / "quicklook.png", bands=_picture_bands(scenes[0]), stretch=_PICTURE)
    values = _values(run)
    write_json(options.output / "item.json", describe_outputs(run, raster, datetime.now(UTC)))
    write_values(options.output, values)
    for warning in values["warnings"]:
        warn(warning)
    return {**values, "width": run.series.grid.width, "height": run.series.grid.height}


def _write(run: Run, raster: Path, environ: Mapping[str, str]) -> None:
    options, series = run.options, run.series
    layout = Layout.of(series, options.recipe)
    reach = max(options.clearing.dilation, options.score.cloud_reach if options.needs_scores else 0.0)
    window = fit_window(
        options,
        environ,
        times=len(series.readers),
        bands=len(series.calibrations),
        itemsize=series.dtype.itemsize,
        halo=PixelSize.of(series.grid).halo(reach),
    )
    blocks = ((part, layout.pack(made)) for part, made in run.composites(window))
    tags = {"TIFFTAG_SOFTWARE": f"swath composite {VERSION}", "METHOD": options.recipe.method}
    copied = series.scenes[0].bands[0].tags.get("TIFFTAG_COPYRIGHT")
    write_cog(
        raster,
        blocks,
        grid=series.grid,
        bands=layout.bands,
        dtype=str(layout.dtype),
        nodata=layout.nodata,
        tags=tags | ({"TIFFTAG_COPYRIGHT": copied} if copied else {}),
        overviews="nearest",  # between two dates, or two counts, there is nothing
    )


def _told(scene: Scene) -> str:
    product, (first, *_) = scene.product, scene.calibrations
    when = "at an unknown time" if product.acquired is None else f"{product.acquired:%Y-%m-%d %H:%M:%S}"
    clouds = ", ".join(scene.clouds.found) or "nothing"
    return f"{when} {product.name}: clouds by {clouds}; scale {first.scale:g}, offset {first.offset:g} ({first.reason})"


def _picture_bands(scene: Scene) -> list[int]:
    places = [scene.place_of(wanted) for wanted in ("red", "green", "blue")]
    return [place + 1 for place in places if place is not None] if None not in places else [1]


def _values(run: Run) -> dict[str, Any]:
    pixels = run.series.grid.width * run.series.grid.height
    unmasked = [scene.product.name for scene in run.series.scenes if not scene.clouds]
    warnings = [f"nothing tells of clouds in {', '.join(unmasked)}"] if unmasked else []
    if run.options.needs_scores and run.options.score.view_weight and not run.series.knows_views:
        warnings.append("not all scenes tell at which angles they were seen, so no score heeds it")
    warnings += scale_warnings(scene.calibrations for scene in run.series.scenes)
    return {
        "scenes": len(run.series.scenes),
        "clear_pixels": run.clear,
        "clear_fraction": run.clear / pixels,
        "mean_count": run.observations / pixels,
        "warnings": warnings,
    }


def describe_outputs(run: Run, raster: Path, now: datetime) -> dict[str, Any]:
    """The STAC item of what was made, of all the time that it is made of."""
    times = [_to_text(scene.product.acquired) for scene in run.series.scenes if scene.product.acquired is not None]
    names = [scene.product.name for scene in run.series.scenes]
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

"""Scenes of several tiles, zones and dates into one picture on one grid: cloud-free, without seams."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import CRSError
from rasterio.windows import Window
from swath_eo.clouds.asking import add_arguments, to_clearing
from swath_eo.clouds.masking import Clearing
from swath_eo.clouds.sources import Source, find_sources
from swath_eo.errors import NoClearObservationError, NoValidPixelsError, ParameterError
from swath_eo.geometry.grid import Grid
from swath_eo.mosaics.arranging import (
    ORDERS,
    arrange,
    first_of,
    make_plan,
    match,
    picture_bands,
    place_scenes,
    recalibrations,
    score,
)
from swath_eo.mosaics.layout import Layout
from swath_eo.mosaics.mosaicking import METHODS
from swath_eo.mosaics.painting import Painter, Painting, SourceMap
from swath_eo.mosaics.surveying import PlacedScene, Plan, Survey, survey
from swath_eo.output.cog import OutputBand, write_cog
from swath_eo.output.stac import COG, Asset, Lineage, make_item
from swath_eo.pictures.quicklook import stretch_of, write_picture
from swath_eo.program import (
    WINDOW,
    check_common,
    fit_window,
    largest_window,
    make_parser,
    run_program,
    say,
    warn,
    with_progress,
    write_json,
    write_values,
)
from swath_eo.scenes.adjustment import Adjustment, scale_warnings
from swath_eo.scenes.listing import find_products, list_paths
from swath_eo.scenes.stacks import CACHE_BYTES

VERSION = "1.0.0"
# Of a window, measured with two bytes a number: what grows with the number of bands, and what does not.
BYTES_PER_NUMBER, BYTES_PER_PIXEL = 26, 40
_MOST_MIB = 560  # at the window that is not asked for, whatever the number of bands
_LAYERS = ("auto", "scl", "qa_pixel", "none")
_HARMONIES = ("none", "offset", "linear")
_RESAMPLINGS = ("nearest", "bilinear", "cubic")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a run is asked for."""

    scenes: list[Path]
    bands: str | None  # names, with commas between; None: all of the first scene
    method: str
    order: str
    date: datetime | None  # near which scenes score high
    mask: str
    masks: list[Path]
    classes: str  # of the scene classification, and bits of QA_PIXEL: clouds
    qa_bits: str
    probability: float  # percent above which is cloud
    dilation: float  # metres by which clouds are widened
    feather: float | None  # metres
    harmonize: str
    crs: CRS | None
    resolution: float | None
    bbox: tuple[float, float, float, float] | None
    resampling: str
    nodata: float | None
    offset: str
    window: int
    output: Path

    @property
    def clearing(self) -> Clearing:
        """What counts as cloud, by the layers that are heeded. Raises ParameterError."""
        kept = {"auto": ("classes", "qa_bits"), "scl": ("classes",), "qa_pixel": ("qa_bits",), "none": ()}[self.mask]
        return to_clearing({**vars(self), **{name: "none" for name in ("classes", "qa_bits") if name not in kept}})

    def to_document(self) -> dict[str, Any]:
        """What was asked for that a result depends on."""
        left_out = ("scenes", "window", "output")
        asked = {key: value for key, value in vars(self).items() if key not in left_out and value not in (None, [])}
        asked |= {"masks": ",".join(mask.name for mask in self.masks)} if self.masks else {}
        return {key: value if isinstance(value, int | float | str) else _as_text(value) for key, value in asked.items()}


def parse_options(arguments: Sequence[str]) -> Options:
    """The options of a command line. Raises ParameterError."""
    parser = make_parser("mosaic", __doc__)
    add = parser.add_argument
    add("--scenes", type=Path, nargs="+", required=True, help="a directory that holds every scene, or the scenes")
    add("--bands", help="names with commas between (B04,B03,B02); all of the first scene by default")
    add("--method", choices=METHODS, default="first", help="which scene is seen where several are clear")
    add("--order", choices=ORDERS, default="given", help="of the scenes, the one on top first")
    add("--date", type=_date, help="day near which scenes score higher (2023-08-15)")
    add("--mask", choices=_LAYERS, default="auto", help="which of a scene's own layers tells of clouds")
    add_arguments(parser)
    add("--feather", type=float, help="metres over which scenes fade at their edges; 0: hard edges")
    add("--harmonize", choices=_HARMONIES, default="none", help="match the scenes' radiometry where they overlap")
    add("--crs", type=_crs, help="of the mosaic (EPSG:32633)")
    add("--resolution", type=float, help="pixel of the mosaic, in units of its system")
    add("--bbox", type=_bbox, help="left,bottom,right,top in the mosaic's system")
    add("--resampling", choices=_RESAMPLINGS, default="bilinear", help="of scenes on other pixels than the mosaic's")
    add("--nodata", type=float, help="number that means no data, instead of what the files declare")
    add("--offset", default="auto", help="reflectance to add: auto, none or a number such as -0.1")
    options = Options(**vars(parser.parse_args(arguments)))
    _check(options)
    return options


def _as_text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _date(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError as error:
        raise ParameterError(f"DATE is {text!r}, no date like 2023-08-15") from error


def _crs(text: str) -> CRS:
    try:
        return CRS.from_user_input(text)
    except CRSError as error:
        raise ParameterError(f"CRS is {text!r}, which is not known: {error}") from error


def _bbox(text: str) -> tuple[float, float, float, float]:
    try:
        left, bottom, right, top = map(float, text.split(","))
    except ValueError as error:
        raise ParameterError(f"BBOX is {text!r}, not left,bottom,right,top") from error
    return left, bottom, right, top


def _check(options: Options) -> None:
    if options.feather is not None and not 0 <= options.feather < math.inf:
        raise ParameterError(f"FEATHER is {options.feather}: it is a distance in metres")
    _ = options.clearing  # which refuses what makes no sense
    if options.resolution is not None and not 0 < options.resolution < math.inf:
        raise ParameterError(f"RESOLUTION is {options.resolution}, not above zero")
    check_common(options.window, options.output)


def to_plan(options: Options, sources: Sequence[Source]) -> Plan:
    """What is asked for, on the mosaic's grid. Raises EoError."""
    return make_plan(
        sources,
        crs=options.crs,
        resolution=options.resolution,
        bounds=options.bbox,
        feather=0.0 if options.method in ("min", "max") else options.feather,
        clearing=options.clearing,
        is_matched=options.harmonize != "none",
        resampling=Resampling[options.resampling],
        nodata=options.nodata,
    )


@dataclass(kw_only=True)
class Run:
    """A mosaic's making: what is known of it, and what is counted on the way."""

    options: Options
    plan: Plan
    scenes: list[PlacedScene]
    surveys: dict[int, Survey] = field(default_factory=dict)
    valid: int = 0  # pixels
    contributed: dict[int, int] = field(default_factory=dict)  # pixels, by a scene's number
    warnings: list[str] = field(default_factory=list)  # what a user should look at

    def survey(self) -> None:
        """Looks at all scenes, where anything has to be known of them. Raises NoClearObservationError."""
        masked = any(scene.clouds for scene in self.scenes)
        if not (masked or self.plan.feather or self.plan.sample_step):
            return
        for scene in with_progress(self.scenes, len(self.scenes), "scenes surveyed"):
            others = [other for other in self.scenes if other is not scene]
            self.surveys[scene.number] = survey(scene, others, self.plan)
        if masked and not any(found.clear_pixels for found in self.surveys.values()):
            raise NoClearObservationError("no scene has a clear pixel in the mosaic")

    def scores(self) -> dict[int, float]:
        """Of the scenes with a cloud mask, by number."""
        grid, date = self.plan.grid, self.options.date
        masked = [scene for scene in self.scenes if scene.clouds]
        return {scene.number: score(scene, self.surveys[scene.number], grid, date) for scene in masked}

    def adjustments(self) -> dict[int, Adjustment]:
        """What is done to each scene's numbers, by its own. Raises HarmonizationError."""
        adjusted = recalibrations(self.scenes)
        if not self.plan.sample_step:
            return adjusted
        harmony = match(
            self.scenes, self.surveys, adjusted, "offset" if self.options.harmonize == "offset" else "linear"
        )
        for index in harmony.unconnected:
            self.warnings.append(f"{self.scenes[index].product.name} is matched with no other scene")
        pairs = zip(self.scenes, harmony.adjustments, strict=True)
        return {scene.number: adjusted[scene.number].then(further) for scene, further in pairs}

    def blocks(self, painting: Painting, sources: SourceMap, layout: Layout) -> Iterator[tuple[Window, NDArray[Any]]]:
        """The mosaic as it is written. Raises NoValidPixelsError at the end."""
        size = self.options.window
        painted = Painter(painting).blocks(size)
        for window, made in with_progress(painted, self.plan.grid.count_windows(size)):
            if made is not None:
                sources.put(window, made.source)
                self.valid += int(np.count_nonzero(made.valid))
                for number, pixels in enumerate(np.bincount(made.source.ravel()).tolist()):
                    self.contributed[number] = self.contributed.get(number, 0) + pixels
            yield window, layout.pack(window, made)
        if not self.valid:
            raise NoValidPixelsError("no scene has a valid pixel in the mosaic")


def choose_window(asked: int, bands: int, environ: Mapping[str, str]) -> int:
    """Pixels a side of a window that fits into memory. Raises ParameterError."""
    per_pixel = BYTES_PER_NUMBER * bands + BYTES_PER_PIXEL
    if asked == WINDOW:
        asked = min(asked, largest_window(_MOST_MIB, bytes_per_pixel=per_pixel))
    return fit_window(asked, environ, bytes_per_pixel=per_pixel)


def process(options: Options, environ: Mapping[str, str]) -> dict[str, Any]:
    """Writes all outputs and returns the summary. Raises EoError."""
    names = [name.strip() for name in options.bands.split(",") if name.strip()] if options.bands else None
    sources = find_sources(
        find_products(options.scenes),
        bands=names,
        clearing=options.clearing,
        masks=list_paths(options.masks, what="mask") if options.masks else [],
        needed=options.mask if options.mask in ("scl", "qa_pixel") else None,
        offset=options.offset,
    )
    options = replace(options, window=choose_window(options.window, len(sources[0].bands), environ))
    plan = to_plan(options, sources)
    run = Run(options=options, plan=plan, scenes=place_scenes(sources, plan))
    say(f"{len(run.scenes)} scenes onto {plan.grid.width} x {plan.grid.height} pixels in {plan.grid.crs}")
    run.survey()
    run.scenes = arrange(run.scenes, options.order, run.scores())
    run.warnings += scale_warnings(scene.calibrations for scene in run.scenes)
    adjustments = run.adjustments()
    for scene in run.scenes:
        say(f"scene {scene.number}: {scene.product.name}{_told(adjustments[scene.number])}")
    painted = run.scenes[::-1] if options.method == "last" else run.scenes
    method = "first" if options.method == "last" else options.method
    painting = Painting(scenes=painted, surveys=run.surveys, adjustments=adjustments, method=method, plan=plan)
    _write_rasters(run, painting)
    raster, shown = options.output / "mosaic.tif", picture_bands(first_of(run.scenes))
    write_picture(raster, options.output / "quicklook.png", bands=shown, stretch=stretch_of(raster, shown))
    values = _values(run)
    report = {
        **values,
        "grid": _grid_document(plan.grid),
        "scenes": [_scene_document(run, s, adjustments) for s in run.scenes],
    }
    write_json(options.output / "report.json", report)
    write_json(options.output / "item.json", describe_outputs(run, datetime.now(UTC)))
    write_values(options.output, values)
    for line in run.warnings:
        warn(line)
    return {**values, "width": plan.grid.width, "height": plan.grid.height}


def _told(adjustment: Adjustment) -> str:
    if adjustment.is_identity:
        return ""
    pairs = zip(adjustment.gains, adjustment.offsets, strict=True)
    return ", adjusted by " + ", ".join(f"x {gain:.4g} {offset:+.4g}" for gain, offset in pairs)


def _write_rasters(run: Run, painting: Painting) -> None:
    layout = Layout.of(run.scenes, run.plan)
    many = "uint8" if max(scene.number for scene in run.scenes) < 256 else "uint16"
    source_map = SourceMap(many)
    grid, output, tags = run.plan.grid, run.options.output, {"TIFFTAG_SOFTWARE": f"swath mosaic {VERSION}"}
    blocks = run.blocks(painting, source_map, layout)
    write_cog(
        output / "mosaic.tif",
        blocks,
        grid=grid,
        bands=layout.bands,
        dtype=layout.dtype,
        nodata=layout.nodata,
        tags=tags,
    )
    if run.options.method not in ("min", "max"):  # each band's may be another scene's there
        numbers = source_map.blocks(grid, run.options.window)
        band = OutputBand(name="source")
        write_cog(
            output / "sources.tif", numbers, grid=grid, bands=[band], dtype=many, nodata=0, tags=tags, overviews="mode"
        )


def _values(run: Run) -> dict[str, Any]:
    pixels = run.plan.grid.width * run.plan.grid.height
    return {
        "scenes_used": len(run.scenes),
        "valid_pixels": run.valid,
        "valid_fraction": run.valid / pixels,
        "warnings": run.warnings,
    }


def _grid_document(grid: Grid) -> dict[str, Any]:
    crs = grid.crs.to_string() if grid.crs else None
    return {"crs": crs, "transform": list(grid.transform)[:6], "width": grid.width, "height": grid.height}


def _scene_document(run: Run, scene: PlacedScene, adjustments: Mapping[int, Adjustment]) -> dict[str, Any]:
    adjustment = adjustments[scene.number]
    acquired = scene.product.acquired
    document: dict[str, Any] = {
        "number": scene.number,
        "name": scene.product.name,
        "acquired": acquired.isoformat() if acquired else None,
        "pixels": run.contributed.get(scene.number, 0),
        "gains": list(adjustment.gains),
        "offsets": list(adjustment.offsets),
    }
    if scene.number in (scores := run.scores()):
        document["score"] = round(scores[scene.number], 6)
    return document


def describe_outputs(run: Run, now: datetime) -> dict[str, Any]:
    """The STAC item of what was made."""
    output = run.options.output
    assets = {
        "mosaic": Asset(file="mosaic.tif", media_type=COG, role="data", title="Mosaic"),
        "sources": Asset(file="sources.tif", media_type=COG, role="metadata", title="Numbers of the scenes"),
        "quicklook": Asset(file="quicklook.png", media_type="image/png", role="overview", title="Picture"),
        "report": Asset(file="report.json", media_type="application/json", role="metadata", title="Scenes and grid"),
    }
    times = [scene.product.acquired for scene in run.scenes if scene.product.acquired is not None]
    item = make_item(
        "mosaic",
        output / "mosaic.tif",
        assets={key: asset for key, asset in assets.items() if (output / asset.file).exists()},
        acquired=_rfc3339(min(times)) if times else None,
        created=_rfc3339(now),
        located=True,
        lineage=Lineage(
            software="mosaic",
            version=VERSION,
            inputs=[scene.product.name for scene in run.scenes],
            parameters=run.options.to_document(),
        ),
    )
    if times:
        item["properties"] |= {"start_datetime": _rfc3339(min(times)), "end_datetime": _rfc3339(max(times))}
    return item


def _rfc3339(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Runs, and returns the exit code that the manifest names."""

    def processed(arguments: Sequence[str], environ: Mapping[str, str]) -> dict[str, Any]:
        options = parse_options(arguments)
        # Around everything: by default GDAL's cache is a part of the machine's memory, whatever the container's limit.
        with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES, GDAL_NUM_THREADS="1"):
            return process(options, environ)

    return run_program(processed, arguments, environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))

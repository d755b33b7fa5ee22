"""Cuts an area out of a scene: its bands on one grid, in any coordinate reference system and resolution."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.dtypes import in_dtype_range
from rasterio.enums import Resampling
from rasterio.windows import Window
from swath_eo.errors import NoValidPixelsError, ParameterError
from swath_eo.geometry.areas import LONG_LAT, Area, parse_bbox, parse_geojson, to_crs
from swath_eo.geometry.grid import Grid, check_georeferenced
from swath_eo.geometry.subsetting import Inside, cut, plan_grid, snap
from swath_eo.output.cog import OutputBand, write_cog
from swath_eo.output.origin import origin_tags
from swath_eo.output.stac import COG, Asset, Lineage, make_item
from swath_eo.program import (
    check_common,
    fit_window,
    make_parser,
    run_program,
    say,
    warn,
    with_progress,
    write_json,
    write_values,
)
from swath_eo.scenes.bands import is_classes, is_layer
from swath_eo.scenes.describe import find_acquired
from swath_eo.scenes.product import Product, open_product
from swath_eo.scenes.rasters import BandFile, list_bands
from swath_eo.scenes.stacks import BandsReader, open_bands

VERSION = "1.0.0"
_KERNELS = ("nearest", "bilinear", "cubic", "lanczos", "average", "mode", "min", "max", "med")
_MAX_AREA_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a run is asked for."""

    scene: Path
    bands: str  # names, or numbers in a file of many
    bbox: str | None
    area: Path | None  # GeoJSON
    area_crs: str | None
    like: Path | None  # a raster whose grid is taken
    crs: str | None
    resolution: float | None  # in units of the target system
    resampling: str
    align: str
    offset: str  # auto, none or reflectance to add
    scale: float | None  # reflectance per digital number
    nodata: float | None  # instead of what the files declare
    allow_blank: bool  # zeros are data even where there is nothing else
    window: int  # pixels a side
    output: Path


def parse_options(arguments: Sequence[str]) -> Options:
    """The options of a command line. Raises ParameterError."""
    parser = make_parser("subset", __doc__)
    add = parser.add_argument
    add("--scene", type=Path, required=True, help="file of many bands, directory with a file a band, or SAFE (or zip)")
    add("--bands", default="", help="names (B04,nir,SCL) or, in a file of many, numbers; all unless given")
    add("--bbox", help="left,bottom,right,top; in degrees left may be above right, across the antimeridian")
    add("--area", type=Path, help="GeoJSON with polygons; what lies outside of them is no data")
    add("--area-crs", help="of the box or the polygons: EPSG:4326 unless given")
    add("--like", type=Path, help="a raster whose grid is taken (instead of CRS, RESOLUTION and ALIGN)")
    add("--crs", help="of the result: EPSG:3035; the scene's unless given")
    add("--resolution", type=float, help="of the result, in units of its system")
    add("--resampling", default="nearest", choices=_KERNELS, help="where pixels differ; classes are always nearest")
    add("--align", default="auto", help="source, origin, area, or x,y of a pixel's corner")
    add("--offset", default="auto", help="reflectance to add: auto, none or a number such as -0.1")
    add("--scale", type=float, help="reflectance per digital number")
    add("--nodata", type=float, help="digital number that means no data, instead of what the files declare")
    add(
        "--allow-blank", default="false", choices=("true", "false"), help="zeros are data, though nothing else is there"
    )
    given = vars(parser.parse_args(arguments))
    options = Options(**{**given, "allow_blank": given["allow_blank"] == "true"})
    check_common(options.window, options.output)
    if options.bbox is not None and options.area is not None:
        raise ParameterError("give BBOX or AREA, not both")
    if options.like is not None and (options.crs, options.resolution, options.align) != (None, None, "auto"):
        raise ParameterError("LIKE gives the grid: CRS, RESOLUTION and ALIGN have no say")
    return options


def find_area(options: Options) -> Area | None:
    """The area of interest, None for the whole scene. Raises ParameterError."""
    crs = to_crs(options.area_crs, "AREA_CRS") if options.area_crs else None
    if options.bbox is not None:
        return parse_bbox(options.bbox, crs or LONG_LAT)
    if options.area is None:
        return None
    try:
        if options.area.stat().st_size > _MAX_AREA_BYTES:
            raise ParameterError(f"{options.area.name} is larger than 64 MiB")
        return parse_geojson(options.area.read_text(encoding="utf-8"), crs)
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"{options.area} cannot be read: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is cut out of what."""

    product: Product
    bands: Sequence[BandFile]
    area: Area | None
    grid: Grid
    nodata: float | None  # of the result


def make_plan(options: Options) -> Plan:
    """Raises EoError."""
    product = open_product(options.scene)
    names = [name.strip() for name in options.bands.split(",") if name.strip()]
    bands = [product.find(name) for name in names] if names else list(product.bands.values())
    for band in bands:
        check_georeferenced(band.grid, where=band.path.name)
    area = find_area(options)
    grid = _find_grid(options, bands, area)
    return Plan(product=product, bands=bands, area=area, grid=grid, nodata=_find_nodata(options, bands, area, grid))


def _find_grid(options: Options, bands: Sequence[BandFile], area: Area | None) -> Grid:
    finest = min((band.grid for band in bands), key=lambda grid: abs(grid.transform.determinant))
    if options.like is None:
        crs = to_crs(options.crs, "CRS") if options.crs else None
        return plan_grid(finest, area, crs=crs, resolution=options.resolution, align=options.align)
    like = list_bands(options.like)[0].grid
    check_georeferenced(like, where=options.like.name)
    if area is None or like.crs is None:
        return like
    if not like.is_north_up:
        raise ParameterError("LIKE is rotated: no area is cut out on its grid")
    plan_grid(finest, area, crs=like.crs, resolution=like.transform.a)  # raises where the area is not in the scene
    return snap(like, area.to(like.crs).bounds)


def _find_nodata(options: Options, bands: Sequence[BandFile], area: Area | None, grid: Grid) -> float | None:
    """One value for all bands: the one that they have, or where there is none 0 if there may be pixels without data."""
    given = [band.nodata for band in bands] if options.nodata is None else [options.nodata]
    told = {math.nan if value is not None and math.isnan(value) else value for value in given}  # no NaN is another
    if len(told - {None}) > 1:
        raise ParameterError(f"the bands have different values for no data ({_listed(told)}): give NODATA")
    (found,) = told - {None} or {None}
    if found is None and ((area is not None and not area.is_box) or any(band.grid != grid for band in bands)):
        return float("nan") if all(band.is_float for band in bands) else 0.0
    return found


def _listed(values: set[float | None]) -> str:
    return ", ".join(sorted("none" if value is None else f"{value:g}" for value in values))


class Run:
    """One scene's processing, and what is counted on the way."""

    def __init__(self, options: Options, plan: Plan, window: int) -> None:
        self.options = options
        self.plan = plan
        self.window = window
        self.valid = np.zeros(len(plan.bands), dtype=np.int64)  # pixels with data, by band
        self.hidden = 0  # pixels with data that the result's value for no data hides
        self._measured = [row for row, band in enumerate(plan.bands) if not is_layer(band.name)]
        self._is_blank = self._may_be_blank  # so far
        self._may_hide = (
            plan.nodata is not None and options.nodata is None and any(b.nodata is None for b in plan.bands)
        )

    @property
    def _may_be_blank(self) -> bool:
        """Whether zeros alone would be no picture: not in a mask, and not where something says what no data is."""
        told = self.options.nodata is not None or any(self.plan.bands[row].nodata is not None for row in self._measured)
        return bool(self._measured) and not told and not self.options.allow_blank

    def blocks(self, reader: BandsReader) -> Iterator[tuple[Window, NDArray[Any]]]:
        """The result window by window. Raises NoValidPixelsError at the end."""
        plan = self.plan
        inside = Inside(plan.area, plan.grid) if plan.area is not None and not plan.area.is_box else None
        windows = with_progress(reader.windows(self.window), plan.grid.count_windows(self.window))
        for window in windows:
            values, valid = reader.read(window)
            if self._may_hide:
                self.hidden += int(np.count_nonzero((values == plan.nodata) & valid))
            values, valid = cut(values, valid, inside.read(window) if inside else None, plan.nodata)
            self.valid += np.count_nonzero(valid, axis=(1, 2))
            self._is_blank = self._is_blank and not values[self._measured][valid[self._measured]].any()
            yield window, values
        if not self.valid.any():
            raise NoValidPixelsError("no pixel of the area has data in any band")
        if self._is_blank:
            raise NoValidPixelsError(
                "every pixel is 0, and nothing says whether that is data: give NODATA, or ALLOW_BLANK if it is"
            )

    def write(self, path: Path) -> None:
        """Raises EoError."""
        plan = self.plan
        kernel = Resampling[self.options.resampling]
        with ExitStack() as stack:
            reader = stack.enter_context(
                open_bands(plan.bands, plan.grid, resampling=kernel, nodata=self.options.nodata)
            )
            if plan.nodata is not None and not in_dtype_range(plan.nodata, reader.dtype):
                raise ParameterError(f"the bands are of {reader.dtype}, which does not hold NODATA {plan.nodata:g}")
            told = ["resampled" if is_resampled else "as it is" for is_resampled in reader.resampled]
            for band, how in zip(plan.bands, told, strict=True):
                say(f"{band.name} ({band.path.name}): {how}")
            write_cog(
                path,
                self.blocks(reader),
                grid=plan.grid,
                bands=[self._describe(band) for band in plan.bands],
                dtype=str(reader.dtype),
                nodata=plan.nodata,
                tags=origin_tags({band.name: band for band in plan.bands}, software=f"swath subset {VERSION}"),
                overviews="nearest" if any(is_classes(band.name) for band in plan.bands) else "average",
            )

    def _describe(self, band: BandFile) -> OutputBand:
        calibration = self.plan.product.calibration(band, offset=self.options.offset, scale=self.options.scale)
        return OutputBand(name=band.name, unit=calibration.unit, scale=calibration.scale, offset=calibration.offset)

    def warnings(self) -> list[str]:
        """What a user should look at."""
        if not self.hidden:
            return []
        return [
            f"{self.hidden} pixels with data hold {self.plan.nodata:g}, which means no data in the result: give NODATA"
        ]


def process(arguments: Sequence[str], environ: Mapping[str, str]) -> dict[str, Any]:
    """Writes all outputs and returns the summary. Raises EoError."""
    options = parse_options(arguments)
    plan = make_plan(options)
    grid = plan.grid
    say(f"{grid.width} x {grid.height} pixels of {grid.transform.a:g} in {_name_of(grid.crs)}")
    run = Run(options, plan, fit_window(options.window, environ, bytes_per_pixel=24 * len(plan.bands) + 8))
    raster = options.output / "subset.tif"
    run.write(raster)
    pixels = grid.width * grid.height
    values = {
        "bands": [band.name for band in plan.bands],
        "crs": _name_of(grid.crs),
        "bounds": list(grid.bounds),
        "width": grid.width,
        "height": grid.height,
        "valid_fraction": float(run.valid.sum() / (pixels * len(plan.bands))),
        "warnings": run.warnings(),
    }
    write_json(options.output / "item.json", _describe_output(run, raster, datetime.now(UTC)))
    write_values(options.output, values)
    for line in run.warnings():
        warn(line)
    return values


def _name_of(crs: CRS | None) -> str:
    return "" if crs is None else str(crs.to_string())


def _describe_output(run: Run, raster: Path, now: datetime) -> dict[str, Any]:
    product, options, pixels = run.plan.product, run.options, run.plan.grid.width * run.plan.grid.height
    given = {
        name: value
        for name, value in vars(options).items()
        if name != "output" and value not in (None, "") and value is not False  # NODATA may be 0, which equals False
    }
    return make_item(
        f"{product.name}_subset",
        raster,
        assets={
            "subset": Asset(
                file=raster.name,
                media_type=COG,
                role="data",
                title=", ".join(band.name for band in run.plan.bands),
                band_statistics=[{"valid_percent": 100 * float(valid) / pixels} for valid in run.valid],
            )
        },
        acquired=find_acquired(product.directory, product.path.name),
        created=now.isoformat(timespec="seconds").replace("+00:00", "Z"),
        located=run.plan.bands[0].tags.get("LOCATION") != "unknown",
        lineage=Lineage(
            software="swath subset",
            version=VERSION,
            inputs=[product.path.name],
            parameters={name: value.name if isinstance(value, Path) else value for name, value in given.items()},
        ),
    )


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Runs, and returns the exit code that the manifest names."""
    return run_program(process, arguments, environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))

"""Vegetation index of a scene: red and near infrared in; a Cloud-Optimised GeoTIFF, statistics and a picture out."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window
from swath_eo.bandmath.indices import normalized_difference
from swath_eo.errors import BandMissingError, NoValidPixelsError, ParameterError
from swath_eo.output.cog import OutputBand, write_cog
from swath_eo.output.stac import COG, Asset, make_item
from swath_eo.output.statistics import RunningStatistics
from swath_eo.pictures.quicklook import write_quicklook
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
from swath_eo.scenes.calibration import Calibration
from swath_eo.scenes.describe import find_acquired
from swath_eo.scenes.product import Product, open_product
from swath_eo.scenes.rasters import BandFile
from swath_eo.scenes.stacks import BandsReader, open_bands

BYTES_PER_PIXEL = 40  # of a window; measured: 26, and 36 where bands are float64
_SUSPICIOUS_SHARE = 0.01  # of the valid pixels with a negative reflectance: more is seldom noise


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a run is asked for."""

    scene: Path | None
    red: Path | None
    nir: Path | None
    red_band: str
    nir_band: str
    offset: str  # auto, none or reflectance to add
    scale: float | None  # reflectance per digital number
    nodata: float | None  # instead of what the files declare
    window: int  # pixels a side
    output: Path


def parse_options(arguments: Sequence[str]) -> Options:
    """The options of a command line. Raises ParameterError."""
    parser = make_parser("ndvi", __doc__)
    parser.add_argument("--scene", type=Path, help="file of many bands, or directory with a file a band")
    parser.add_argument("--red", type=Path, help="file with the red band (with --nir, instead of --scene)")
    parser.add_argument("--nir", type=Path, help="file with the near infrared band")
    parser.add_argument("--red-band", default="red", help="its name (B04) or, in a file, its number")
    parser.add_argument("--nir-band", default="nir", help="its name (B08, B8A) or, in a file, its number")
    parser.add_argument("--offset", default="auto", help="reflectance to add: auto, none or a number such as -0.1")
    parser.add_argument("--scale", type=float, help="reflectance per digital number")
    parser.add_argument(
        "--nodata", type=float, help="digital number that means no data, instead of what the files declare"
    )
    options = Options(**vars(parser.parse_args(arguments)))
    _check(options)
    return options


def _check(options: Options) -> None:
    pair = (options.red is not None, options.nir is not None)
    if options.scene is not None and any(pair):
        raise ParameterError("give either SCENE or RED and NIR, not both")
    if options.scene is None and not all(pair):
        raise ParameterError("give SCENE, or both RED and NIR")
    check_common(options.window, options.output)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The two bands, and what describes them."""

    red: BandFile
    nir: BandFile
    product: Product


def find_scene(options: Options) -> Scene:
    """The two bands, in whichever of the three forms they are given. Raises EoError."""
    if options.scene is not None:
        product = open_product(options.scene)
        scene = Scene(red=product.find(options.red_band), nir=product.find(options.nir_band), product=product)
        if (scene.red.path, scene.red.index) == (scene.nir.path, scene.nir.index):
            raise BandMissingError(
                f"{scene.red.path.name} has one band for both {options.red_band} and {options.nir_band}:"
                " give a file with both, or RED and NIR"
            )
        return scene
    if options.red is None or options.nir is None:
        raise ParameterError("give SCENE, or both RED and NIR")
    product = open_product(options.red)
    nir = open_product(options.nir).find(options.nir_band)
    return Scene(red=product.find(options.red_band), nir=nir, product=product)


class Run:
    """One scene's processing: what is known of it, and what is counted on the way."""

    def __init__(self, options: Options, scene: Scene) -> None:
        self.options = options
        self.scene = scene
        self.red = scene.product.calibration(scene.red, offset=options.offset, scale=options.scale)
        self.nir = scene.product.calibration(scene.nir, offset=options.offset, scale=options.scale)
        self.statistics = RunningStatistics()
        self.clipped = 0  # pixels with a negative reflectance in one band

    def index(self, bands: BandsReader) -> Iterator[tuple[Window, NDArray[np.float32]]]:
        """The index window by window, counted as it passes. Raises NoValidPixelsError at the end."""
        size = self.options.window
        for window in with_progress(bands.windows(size), bands.grid.count_windows(size)):
            values, valid = bands.read(window)
            yield window, self._index_of(values, valid)
        if not self.statistics.valid:
            raise NoValidPixelsError("no pixel has data in both bands")

    def _index_of(self, bands: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        values = normalized_difference(
            bands[1], bands[0], a_calibration=self.nir, b_calibration=self.red, valid=valid[0] & valid[1]
        )
        self.clipped += int(np.count_nonzero(np.abs(values) > 1))
        np.clip(values, -1, 1, out=values)
        self.statistics.add(values)
        return values

    def nodata_of(self, band: BandFile) -> float | None:
        """The digital number that means no data; None where every number is data."""
        return band.nodata if self.options.nodata is None else self.options.nodata

    def warnings(self) -> list[str]:
        """What a user should look at."""
        if self.clipped <= _SUSPICIOUS_SHARE * self.statistics.valid:
            return []
        share = self.clipped / self.statistics.valid
        return [f"{share:.1%} of the pixels have a negative reflectance: is the offset right ({self.red.reason})?"]


def process(options: Options) -> dict[str, Any]:
    """Writes all outputs and returns the summary. Raises EoError."""
    scene = find_scene(options)
    run = Run(options, scene)
    say(f"red {_told(scene.red, run.red, run.nodata_of(scene.red))}")
    say(f"nir {_told(scene.nir, run.nir, run.nodata_of(scene.nir))}")
    raster = options.output / "ndvi.tif"
    with open_bands([scene.red, scene.nir], nodata=options.nodata) as bands:
        grid = bands.grid
        if any(bands.resampled):
            say("the bands' pixels differ: the coarser band is resampled (bilinear)")
        write_cog(raster, run.index(bands), grid=grid, bands=[OutputBand(name="NDVI")], tags=_tags(scene, run))
    write_quicklook(raster, options.output / "quicklook.png")
    statistics = run.statistics.to_document()
    write_json(options.output / "statistics.json", {**statistics, **_provenance(run, grid)})
    write_json(options.output / "item.json", describe_outputs(run, raster, statistics, datetime.now(UTC)))
    keys = ("mean", "std", "min", "max", "valid_fraction")
    values = {**{key: statistics[key] for key in keys}, "valid_pixels": statistics["valid"], "warnings": run.warnings()}
    write_values(options.output, values)
    for warning in run.warnings():
        warn(warning)
    return {**values, "width": grid.width, "height": grid.height}


def describe_outputs(run: Run, raster: Path, statistics: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The STAC item of what was made."""
    product = run.scene.product
    band = {
        "minimum": statistics["min"],
        "maximum": statistics["max"],
        "mean": statistics["mean"],
        "stddev": statistics["std"],
        "valid_percent": 100 * statistics["valid_fraction"],
    }
    return make_item(
        f"{product.name}_ndvi",
        raster,
        assets={
            "ndvi": Asset(file=raster.name, media_type=COG, role="data", title="NDVI", band_statistics=[band]),
            "statistics": Asset(
                file="statistics.json", media_type="application/json", role="metadata", title="Statistics"
            ),
            "quicklook": Asset(file="quicklook.png", media_type="image/png", role="overview", title="Picture"),
        },
        acquired=find_acquired(product.directory, product.path.name),
        created=now.isoformat(timespec="seconds").replace("+00:00", "Z"),
        located=run.scene.red.tags.get("LOCATION") != "unknown",
    )


def _told(band: BandFile, calibration: Calibration, nodata: float | None) -> str:
    numbers = f"scale {calibration.scale:g}, offset {calibration.offset:g} ({calibration.reason})"
    missing = "every number is data" if nodata is None else f"{nodata:g} is no data"
    return f"{band.path.name} band {band.index} ({band.name}), {numbers}, {missing}"


def _tags(scene: Scene, run: Run) -> dict[str, str]:
    tags = {
        "RED": f"{scene.red.path.name}:{scene.red.index}",
        "NIR": f"{scene.nir.path.name}:{scene.nir.index}",
        "RED_OFFSET": f"{run.red.offset:g}",
        "NIR_OFFSET": f"{run.nir.offset:g}",
        "TIFFTAG_SOFTWARE": "swath ndvi 1.0.0",
    }
    kept = ("LOCATION", "TIFFTAG_COPYRIGHT")  # an unknown place stays unknown, an attribution stays
    return tags | {key: scene.red.tags[key] for key in kept if key in scene.red.tags}


def _provenance(run: Run, grid: Any) -> dict[str, Any]:
    return {
        "index": "NDVI",
        "clipped": run.clipped,
        "warnings": run.warnings(),
        "grid": {
            "crs": grid.crs.to_string(),
            "transform": list(grid.transform)[:6],
            "width": grid.width,
            "height": grid.height,
        },
        "location": run.scene.red.tags.get("LOCATION", "georeferenced"),
        "bands": {
            "red": _band_document(run.scene.red, run.red, run.nodata_of(run.scene.red)),
            "nir": _band_document(run.scene.nir, run.nir, run.nodata_of(run.scene.nir)),
        },
    }


def _band_document(band: BandFile, calibration: Calibration, nodata: float | None) -> dict[str, Any]:
    return {
        "file": band.path.name,
        "band": band.index,
        "name": band.name,
        "scale": calibration.scale,
        "offset": calibration.offset,
        "calibration": calibration.reason,
        "nodata": nodata if nodata is None or math.isfinite(nodata) else str(nodata),  # JSON knows no NaN
    }


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Runs, and returns the exit code that the manifest names."""

    def processed(arguments: Sequence[str], environ: Mapping[str, str]) -> dict[str, Any]:
        options = parse_options(arguments)
        window = fit_window(options.window, environ, bytes_per_pixel=BYTES_PER_PIXEL)
        return process(replace(options, window=window))

    return run_program(processed, arguments, environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))

"""Vegetation index of a scene: red and near infrared in; a Cloud-Optimised GeoTIFF, statistics and a picture out."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window
from swath_eo.calibration import Calibration
from swath_eo.cog import write_cog
from swath_eo.describe import choose_calibration, with_nodata
from swath_eo.errors import EoError, NoValidPixelsError, OutputError, ParameterError
from swath_eo.indices import normalized_difference
from swath_eo.quicklook import write_quicklook
from swath_eo.reading import Block, PairReader, open_pair
from swath_eo.scene import BandFile, Scene, find_pair, find_scene
from swath_eo.stac import COG, Asset, find_acquired, make_item
from swath_eo.statistics import RunningStatistics

_WINDOW = 1024
_SMALLEST_WINDOW, _LARGEST_WINDOW = 16, 8192
# Measured: the program with GDAL's cache takes 240 MiB, and each pixel of a window 26 bytes (36 where bands are float64).
_PROGRAM_MIB = 300
_BYTES_PER_PIXEL = 40
_LEAST_WINDOW = 256  # takes 2.5 MiB: smaller ones would save nothing
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


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ParameterError(message)


def parse_options(arguments: Sequence[str]) -> Options:
    """The options of a command line. Raises ParameterError."""
    parser = _Parser(prog="ndvi", description=__doc__, allow_abbrev=False)
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
    parser.add_argument("--window", type=int, default=_WINDOW, help="pixels a side that are worked on at a time")
    parser.add_argument(
        "--output", type=Path, required=True, help="directory for ndvi.tif, item.json, statistics.json, quicklook.png"
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
    if not _SMALLEST_WINDOW <= options.window <= _LARGEST_WINDOW:
        raise ParameterError(f"WINDOW is {options.window}, not within {_SMALLEST_WINDOW}..{_LARGEST_WINDOW}")
    if not options.output.is_dir():
        raise OutputError(f"{options.output} is no directory")


def fit_window(options: Options, allocated: str | None) -> Options:
    """The options, with windows no larger than `allocated` holds (ALLOCATED_MEM, MiB); the result does not depend on
    them. Raises ParameterError."""
    if allocated is None:
        return options
    try:
        mib = float(allocated)
    except ValueError as error:
        raise ParameterError(f"ALLOCATED_MEM is {allocated!r}, no number of MiB") from error
    largest = largest_window(mib)
    if options.window <= largest:
        return options
    _say(f"windows of {largest} pixels a side instead of {options.window}: {mib:g} MiB are allocated")
    return replace(options, window=largest)


def largest_window(mib: float) -> int:
    """Pixels a side of the largest window that `mib` MiB hold beside the program, in steps of 256."""
    pixels = max(mib - _PROGRAM_MIB, 0) * 2**20 / _BYTES_PER_PIXEL
    return max(math.isqrt(int(pixels)) // _LEAST_WINDOW * _LEAST_WINDOW, _LEAST_WINDOW)


def find_bands(options: Options) -> Scene:
    """The two bands, in whichever of the three forms they are given, with what describes them."""
    return with_nodata(_find_files(options))


def _find_files(options: Options) -> Scene:
    if options.scene is not None:
        return find_scene(options.scene, red=options.red_band, nir=options.nir_band)
    if options.red is None or options.nir is None:
        raise ParameterError("give SCENE, or both RED and NIR")
    return find_pair(options.red, options.nir, red=options.red_band, nir=options.nir_band)


class Run:
    """One scene's processing: what is known of it, and what is counted on the way."""

    def __init__(self, options: Options, scene: Scene) -> None:
        self.options = options
        self.scene = scene
        self.red = choose_calibration(scene, scene.red, offset=options.offset, scale=options.scale)
        self.nir = choose_calibration(scene, scene.nir, offset=options.offset, scale=options.scale)
        self.statistics = RunningStatistics()
        self.clipped = 0  # pixels with a negative reflectance in one band

    def index(self, pair: PairReader) -> Iterator[tuple[Window, NDArray[np.float32]]]:
        """The index window by window, counted as it passes. Raises NoValidPixelsError at the end."""
        windows = pair.grid.count_windows(self.options.window)
        told = 0
        for number, block in enumerate(pair.blocks(self.options.window), 1):
            yield block.window, self._index_of(block)
            if number * 10 // windows > told:
                told = number * 10 // windows
                _say(f"progress {told * 10} % ({number} of {windows} windows)")
        if not self.statistics.valid:
            raise NoValidPixelsError("no pixel has data in both bands")

    def _index_of(self, block: Block) -> NDArray[np.float32]:
        values = normalized_difference(
            block.nir, block.red, a_calibration=self.nir, b_calibration=self.red, valid=block.valid
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
    started = time.monotonic()
    scene = find_bands(options)
    run = Run(options, scene)
    _say(f"red {_told(scene.red, run.red, run.nodata_of(scene.red))}")
    _say(f"nir {_told(scene.nir, run.nir, run.nodata_of(scene.nir))}")
    raster = options.output / "ndvi.tif"
    with open_pair(scene, nodata=options.nodata) as pair:
        grid = pair.grid
        if pair.overlap.first.resampled or pair.overlap.second.resampled:
            _say("the bands' pixels differ: the coarser band is resampled (bilinear)")
        write_cog(raster, run.index(pair), grid=grid, description="NDVI", unit="1", tags=_tags(scene, run))
    write_quicklook(raster, options.output / "quicklook.png")
    statistics = run.statistics.to_document()
    _write_json(options.output / "item.json", describe_outputs(run, raster, statistics, datetime.now(UTC)))
    _write_json(options.output / "statistics.json", {**statistics, **_provenance(run, grid)})
    keys = ("mean", "std", "min", "max", "valid_fraction")
    values = {**{key: statistics[key] for key in keys}, "valid_pixels": statistics["valid"], "warnings": run.warnings()}
    _write_json(options.output / "seed.outputs.json", values)
    for warning in run.warnings():
        print(f"warning: {warning}", file=sys.stderr, flush=True)
    size = {"width": grid.width, "height": grid.height}
    return {"status": "done", **values, **size, "seconds": round(time.monotonic() - started, 3)}


def describe_outputs(run: Run, raster: Path, statistics: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The STAC item of what was made."""
    source = run.scene.directory or run.scene.red.path
    name = source.name if run.scene.directory else source.stem
    band = {
        "minimum": statistics["min"],
        "maximum": statistics["max"],
        "mean": statistics["mean"],
        "stddev": statistics["std"],
        "valid_percent": 100 * statistics["valid_fraction"],
    }
    return make_item(
        f"{name}_ndvi",
        raster,
        assets={
            "ndvi": Asset(file=raster.name, media_type=COG, role="data", title="NDVI", band_statistics=band),
            "statistics": Asset(
                file="statistics.json", media_type="application/json", role="metadata", title="Statistics"
            ),
            "quicklook": Asset(file="quicklook.png", media_type="image/png", role="overview", title="Picture"),
        },
        acquired=find_acquired(run.scene.directory, source.name),
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


def _write_json(path: Path, document: dict[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            json.dump(document, file, indent=1, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written: {error}") from error


def _say(line: str) -> None:
    print(line, flush=True)


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Runs, and returns the exit code that the manifest names."""
    try:
        summary = process(fit_window(parse_options(arguments), environ.get("ALLOCATED_MEM")))
    except EoError as error:
        print(f"{error.name}: {error}", file=sys.stderr, flush=True)
        _say(json.dumps({"status": "failed", "error": error.name, "message": str(error)}))
        return error.exit_code
    _say(json.dumps(summary))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))

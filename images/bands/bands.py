"""Band combination: indices by name, expressions over bands, and pictures for viewing, of one scene."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window
from swath_eo.bandmath.layers import (
    Layer,
    LayersReader,
    calibrate,
    default_constants,
    find_bands,
    formula_tags,
    names_in,
    open_layers,
    read_expressions,
    read_indices,
    read_view,
)
from swath_eo.errors import EoError, NoValidPixelsError, ParameterError
from swath_eo.output.cog import OutputBand, write_cog
from swath_eo.output.origin import origin_tags
from swath_eo.output.stac import COG, Asset, Lineage, make_item
from swath_eo.output.statistics import RunningPercentiles, RunningSummary
from swath_eo.pictures.viewing import NODATA, Bound, Stretch, compose, fit_stretch, parse_stretch
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

VERSION = "1.0.0"
_ASSIGNMENT = re.compile(r"\s*([A-Za-z]\w*)\s*=\s*([^,=]+?)\s*")
_SUSPICIOUS_SHARE = 0.01  # of the valid pixels with a negative reflectance: more is seldom noise


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a run is asked for."""

    scene: Path
    index: str  # names
    expression: str
    view: str
    constants: Mapping[str, float]
    bands: Mapping[str, str]  # name in expressions -> name or number in the scene
    stretch: tuple[Bound, Bound]
    gamma: float
    offset: str  # auto, none or reflectance to add
    scale: float | None  # reflectance per digital number
    nodata: float | None  # instead of what the files declare
    window: int  # pixels a side
    output: Path


def parse_options(arguments: Sequence[str]) -> Options:
    """The options of a command line. Raises ParameterError."""
    parser = make_parser("bands", __doc__)
    add = parser.add_argument
    add("--scene", type=Path, required=True, help="file of many bands, or directory with a file a band")
    add("--index", default="", help="indices of the Awesome Spectral Indices list: NDVI,SAVI")
    add("--expression", default="", help="over bands: 'ratio = nir / red; B08 - B04'")
    add("--view", default="", help="a picture: natural, infrared, agriculture, swir, urban, or 'B08; B04; B03'")
    add("--constants", default="", help="constants of indices and expressions: L=0.5,g=2")
    add("--bands", default="", help="what names in expressions are in the scene: N=B8A,R=4")
    add("--stretch", default="2%,98%", help="what becomes black and white: percentiles, or values (0,0.3)")
    add("--gamma", type=float, default=1.0, help="above 1 brightens what lies between black and white")
    add("--offset", default="auto", help="reflectance to add: auto, none or a number such as -0.1")
    add("--scale", type=float, help="reflectance per digital number")
    add("--nodata", type=float, help="digital number that means no data, instead of what the files declare")
    given = vars(parser.parse_args(arguments))
    check_common(given["window"], given["output"])
    options = Options(
        **{
            **given,
            "constants": {name: _to_number(name, text) for name, text in _assignments(given["constants"]).items()},
            "bands": _assignments(given["bands"]),
            "stretch": parse_stretch(given["stretch"]),
        }
    )
    _check(options)
    return options


def _assignments(text: str) -> dict[str, str]:
    if not text.strip():
        return {}
    parts = [_ASSIGNMENT.fullmatch(part) for part in text.split(",")]
    found = {part[1]: part[2] for part in parts if part}
    if len(found) != len(parts):
        raise ParameterError(f"{text!r} does not give each name one value, as in a=1,b=2")
    return found


def _to_number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ParameterError(f"the constant {name} is {text!r}, no finite number")
    return number


def _check(options: Options) -> None:
    if not (options.index or options.expression or options.view):
        raise ParameterError("give INDEX, EXPRESSION or VIEW")
    if not 0.1 <= options.gamma <= 10:
        raise ParameterError(f"GAMMA is {options.gamma:g}, not within 0.1..10")


@dataclass(frozen=True, kw_only=True)
class Work:
    """What there is to do on which bands."""

    layers: Sequence[Layer]
    channels: Sequence[Layer]  # of the picture
    product: Product
    bands: Mapping[str, BandFile]
    calibrations: Mapping[str, Calibration]


def find_work(options: Options) -> Work:
    """Reads what is asked for, and finds the bands for it. Raises EoError."""
    product = open_product(options.scene)
    constants = {**default_constants(product), **options.constants}
    layers = read_indices(options.index, constants) if options.index else []
    layers += read_expressions(options.expression, options.constants) if options.expression else []
    channels = read_view(options.view, options.constants) if options.view else []
    names = [layer.name for layer in layers]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ParameterError(f"{min(twice)} is asked for twice")
    bands = find_bands(product, names_in([*layers, *channels]), options.bands)
    calibrations = calibrate(product, bands, offset=options.offset, scale=options.scale)
    return Work(layers=layers, channels=channels, product=product, bands=bands, calibrations=calibrations)


class Run:
    """One scene's processing, and what is found out on the way."""

    def __init__(self, options: Options, work: Work) -> None:
        self.options = options
        self.work = work
        self.summaries = {layer.name: RunningSummary() for layer in work.layers}
        self.stretches: list[Stretch] = []
        self.warnings: list[str] = []

    def write(self) -> list[str]:
        """Writes the rasters, all or none, and returns their names. Raises EoError."""
        writers = {}
        if self.work.layers:
            writers["bands.tif"] = self._write_layers
        if self.work.channels:
            writers["view.tif"] = self._write_view
        try:
            for name, write in writers.items():
                write(self.options.output / name)
        except EoError:
            for name in writers:
                (self.options.output / name).unlink(missing_ok=True)
            raise
        return list(writers)

    def _write_layers(self, path: Path) -> None:
        with self._open(self.work.layers) as reader:
            bands = [OutputBand(name=layer.name) for layer in self.work.layers]
            write_cog(path, self._layers(reader), grid=reader.grid, bands=bands, tags=_tags(self.work))

    def _write_view(self, path: Path) -> None:
        with self._open(self.work.channels) as reader:
            self.stretches = self._fit(reader)
            bands = [OutputBand(name=layer.title) for layer in self.work.channels]
            picture, tags = self._picture(reader), _tags(self.work)
            write_cog(path, picture, grid=reader.grid, bands=bands, dtype="uint8", nodata=NODATA, tags=tags)

    def _open(self, layers: Sequence[Layer]) -> AbstractContextManager[LayersReader]:
        return open_layers(layers, self.work.bands, self.work.calibrations, nodata=self.options.nodata)

    def _read(self, reader: LayersReader) -> Iterator[tuple[Window, NDArray[np.float32]]]:
        if reader.is_resampled:
            say("the bands' pixels differ: the coarser bands are resampled (bilinear)")
        size = self.options.window
        for window in with_progress(reader.windows(size), reader.grid.count_windows(size)):
            yield window, reader.read(window)
        reader.check()
        self._warn(reader)

    def _layers(self, reader: LayersReader) -> Iterator[tuple[Window, NDArray[np.float32]]]:
        for window, values in self._read(reader):
            for summary, layer in zip(self.summaries.values(), values, strict=True):
                summary.add(layer)
            yield window, values
        for name, summary in self.summaries.items():
            if not summary.valid:
                raise NoValidPixelsError(f"{name} is defined in no pixel that has data")

    def _fit(self, reader: LayersReader) -> list[Stretch]:
        """The channels' stretches, of all their pixels where percentiles are wanted."""
        channels = [(layer.title, RunningPercentiles()) for layer in self.work.channels]
        if any(bound.is_percentile for bound in self.options.stretch):
            say("reading the channels' percentiles")
            for _, values in self._read(reader):
                for (_, seen), channel in zip(channels, values, strict=True):
                    seen.add(channel)
        fit = partial(fit_stretch, self.options.stretch, gamma=self.options.gamma)
        return [fit(seen, channel=title) for title, seen in channels]

    def _picture(self, reader: LayersReader) -> Iterator[tuple[Window, NDArray[np.uint8]]]:
        has_data = False
        for window, values in self._read(reader):
            picture = compose(list(values), self.stretches)
            has_data |= bool(picture.any())
            yield window, picture
        if not has_data:
            raise NoValidPixelsError("no pixel has data in all channels")

    def _warn(self, reader: LayersReader) -> None:
        for name, negative in reader.negative.items():
            if negative > _SUSPICIOUS_SHARE * reader.valid[name]:
                share, reason = negative / reader.valid[name], self.work.calibrations[name].reason
                told = (
                    f"{share:.1%} of the pixels of {name} have a negative reflectance: is the offset right ({reason})?"
                )
                if told not in self.warnings:
                    self.warnings.append(told)


def process(arguments: Sequence[str], environ: Mapping[str, str]) -> dict[str, Any]:
    """Writes all outputs and returns the summary. Raises EoError."""
    options = parse_options(arguments)
    work = find_work(options)
    window = fit_window(options.window, environ, bytes_per_pixel=_bytes_per_pixel(work))
    for name, band in work.bands.items():
        say(f"{name}: {_told(band, work.calibrations[name], options.nodata)}")
    run = Run(replace(options, window=window), work)
    rasters = run.write()
    statistics = {name: summary.to_document() for name, summary in run.summaries.items()}
    write_json(options.output / "item.json", describe_outputs(run, rasters, statistics, datetime.now(UTC)))
    view = [{"low": s.low, "high": s.high, "gamma": s.gamma} for s in run.stretches]
    values = {"statistics": statistics, "stretches": view, "warnings": run.warnings}
    write_values(options.output, values)
    for line in run.warnings:
        warn(line)
    return {**values, "files": rasters}


def _bytes_per_pixel(work: Work) -> float:
    """Of a window: as they are read (8 at most) and masked, twice while they are copied; results, and room for one more."""
    return 20 * len(work.bands) + 10 * (max(len(work.layers), len(work.channels)) + 1)


def describe_outputs(
    run: Run, rasters: Sequence[str], statistics: Mapping[str, Mapping[str, Any]], now: datetime
) -> dict[str, Any]:
    """The STAC item of what was made."""
    product, options = run.work.product, run.options
    known = [
        {"minimum": s["min"], "maximum": s["max"], "mean": s["mean"], "valid_percent": 100 * s["valid_fraction"]}
        for s in statistics.values()
    ]
    titles = {"bands.tif": ", ".join(layer.name for layer in run.work.layers), "view.tif": "Picture"}
    assets = {
        name.removesuffix(".tif"): Asset(
            file=name,
            media_type=COG,
            role="data" if name == "bands.tif" else "visual",
            title=titles[name],
            band_statistics=known if name == "bands.tif" else (),
        )
        for name in rasters
    }
    return make_item(
        f"{product.name}_bands",
        options.output / rasters[0],
        assets=assets,
        acquired=find_acquired(product.directory, product.path.name),
        created=now.isoformat(timespec="seconds").replace("+00:00", "Z"),
        located=all(band.tags.get("LOCATION") != "unknown" for band in run.work.bands.values()),
        lineage=Lineage(
            software="swath bands",
            version=VERSION,
            inputs=[product.path.name],
            parameters=_parameters(run),
        ),
    )


def _parameters(run: Run) -> dict[str, Any]:
    options, work = run.options, run.work
    given = {"index": options.index, "expression": options.expression, "view": options.view}
    picture = {
        "stretch": ",".join(f"{bound.number:.15g}{'%' * bound.is_percentile}" for bound in options.stretch),
        "gamma": options.gamma,
    }
    return {
        **{name: text for name, text in given.items() if text},
        **(picture if options.view else {}),
        **({} if options.nodata is None else {"nodata": options.nodata}),
        "constants": dict(options.constants),
        "formulas": {layer.name: layer.expression.text for layer in [*work.layers, *work.channels]},
        "bands": {name: f"{band.path.name}:{band.index}" for name, band in work.bands.items()},
        "calibrations": {name: {"scale": c.scale, "offset": c.offset} for name, c in work.calibrations.items()},
    }


def _told(band: BandFile, calibration: Calibration, nodata: float | None) -> str:
    nodata = band.nodata if nodata is None else nodata
    numbers = f"scale {calibration.scale:g}, offset {calibration.offset:g} ({calibration.reason})"
    missing = "every number is data" if nodata is None else f"{nodata:g} is no data"
    return f"{band.path.name} band {band.index} ({band.name}), {numbers}, {missing}"


def _tags(work: Work) -> dict[str, str]:
    return origin_tags(work.bands, software=f"swath bands {VERSION}") | formula_tags(work.layers)


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Runs, and returns the exit code that the manifest names."""
    return run_program(process, arguments, environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))

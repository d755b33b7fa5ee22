"""Atmospheric correction: from reflectance at the top of the atmosphere to that of the surface, for one scene."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window
from swath_eo.atmosphere import dark_object
from swath_eo.atmosphere.conditions import Conditions, Source, check_numbers
from swath_eo.atmosphere.correction import correct, prepare
from swath_eo.atmosphere.sixs import SENSORS, STAND_INS, load_table
from swath_eo.atmosphere.toa import Asked, TopOfAtmosphere, blocks_under, find_toa
from swath_eo.clouds.cloudless import cloud_bands, cloud_probability, is_installed
from swath_eo.errors import NoValidPixelsError, ParameterError
from swath_eo.output.cog import OutputBand, write_cog
from swath_eo.output.stac import COG, Asset, Lineage, make_item
from swath_eo.output.statistics import RunningSummary
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
from swath_eo.scenes.product import Product, open_product
from swath_eo.scenes.stacks import BandsReader, open_bands

VERSION = "1.0.0"
SCALE = 1e-4  # reflectance per number that is written
NODATA = -32768
_LARGEST = 32767
_METHODS = ("physical", *dark_object.METHODS)
# What 6S takes for the standard atmosphere US62.
_WATER, _OZONE = 1.424, 0.344
_CLOUDY = 40  # percent of probability from which s2cloudless' authors call a pixel cloudy
_SUSPICIOUS_SHARE = 0.01  # of the pixels with a negative reflectance: more is seldom noise
_NO_PROBABILITY = 255


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a run is asked for."""

    scene: Path
    method: str
    bands: str  # names, with commas between
    aerosol: float | None  # optical depth at 550 nm
    aerosol_map: Path | None
    aerosol_scale: float | None  # optical depth per number of the map
    elevation: float  # metres
    elevation_map: Path | None
    water: float  # g/cm2
    water_map: Path | None
    water_scale: float | None  # g/cm2 per number of the map
    ozone: float  # cm-atm
    ozone_map: Path | None
    ozone_scale: float | None  # cm-atm per number of the map
    dark_pixels: int
    sensor: str | None
    sun_zenith: float | None  # degrees
    view_zenith: float | None
    clouds: str  # auto or none
    offset: str  # auto, none or reflectance to add
    scale: float | None  # reflectance per digital number
    nodata: float | None
    window: int  # pixels a side
    output: Path

    @property
    def sources(self) -> dict[str, Source]:
        """Of the quantities that a pixel's correction depends on. A map goes before a number."""

        def source(number: float, file: Path | None, scale: float | None = None) -> Source:
            return Source(given=number if file is None else file, scale=scale)

        return {
            "aerosol": source(self.aerosol or 0.0, self.aerosol_map, self.aerosol_scale),
            "elevation": source(self.elevation, self.elevation_map),
            "water": source(self.water, self.water_map, self.water_scale),
            "ozone": source(self.ozone, self.ozone_map, self.ozone_scale),
        }


def parse_options(arguments: Sequence[str]) -> Options:
    """The options of a command line. Raises ParameterError."""
    parser = make_parser("atmcor", __doc__)
    add = parser.add_argument
    add(
        "--scene", type=Path, required=True, help="Sentinel-2 L1C (SAFE or zip), Landsat 8 or 9 Level 1, or reflectance"
    )
    add("--method", choices=_METHODS, default="physical", help="6S by tables, or dark object subtraction")
    add("--bands", default="", help="names with commas between; all that have a table by default")
    add("--aerosol", type=float, help="optical depth at 550 nm (with `physical`, this or a map)")
    add("--aerosol-map", type=Path, help="file with the optical depth at 550 nm")
    add("--aerosol-scale", type=float, help="optical depth per number of the map, instead of the file's own scale")
    add("--elevation", type=float, default=0.0, help="metres above the sea")
    add("--elevation-map", type=Path, help="file with a digital elevation model in metres")
    add("--water", type=float, default=_WATER, help="water vapour of the column, g/cm2")
    add("--water-map", type=Path, help="file with the water vapour, g/cm2")
    add("--water-scale", type=float, help="g/cm2 per number of the map, instead of the file's own scale")
    add("--ozone", type=float, default=_OZONE, help="ozone of the column, cm-atm")
    add("--ozone-map", type=Path, help="file with the ozone, cm-atm")
    add("--ozone-scale", type=float, help="cm-atm per number of the map, instead of the file's own scale")
    add("--dark-pixels", type=int, default=dark_object.LEAST, help="pixels that make a number a dark object")
    add("--sensor", choices=SENSORS, help="instead of what the metadata say")
    add("--sun-zenith", type=float, help="degrees, instead of what the metadata say")
    add("--view-zenith", type=float, help="degrees, instead of what the metadata say")
    add("--clouds", choices=("auto", "none"), default="auto", help="flag clouds where s2cloudless is installed")
    add("--offset", default="auto", help="reflectance to add: auto, none or a number such as -0.1")
    add("--scale", type=float, help="reflectance per digital number")
    add("--nodata", type=float, help="digital number that means no data, instead of what the files declare")
    options = Options(**vars(parser.parse_args(arguments)))
    check_common(options.window, options.output)
    _check(options)
    return options


def _check(options: Options) -> None:
    if options.method == "physical" and (options.aerosol is None) == (options.aerosol_map is None):
        raise ParameterError("give either AEROSOL or AEROSOL_MAP")
    for name in ("aerosol_scale", "water_scale", "ozone_scale", "sun_zenith", "view_zenith"):
        value = getattr(options, name)
        if value is not None and not 0 <= value < math.inf:
            raise ParameterError(f"{name.upper()} is {value}: it is no negative number")
    check_numbers(options.sources, load_table(SENSORS[0]))
    if options.dark_pixels < 1:
        raise ParameterError(f"DARK_PIXELS is {options.dark_pixels}, not above zero")


class Run:
    """One scene's correction, and what is found out on the way."""

    def __init__(self, options: Options, product: Product, toa: TopOfAtmosphere) -> None:
        self.options = options
        self.product = product
        self.toa = toa
        self.summaries = {name: RunningSummary() for name in toa.names}
        self.negative = dict.fromkeys(toa.names, 0)
        self.dark: dict[str, int] = {}
        self.conditions: Conditions | None = None  # where tables tell what is made of them

    def write(self, path: Path) -> None:
        """Writes the surface's reflectance. Raises EoError."""
        with ExitStack() as stack:
            reader = stack.enter_context(open_bands(self.toa.bands, nodata=self.options.nodata))
            if any(reader.resampled):
                say("the bands' pixels differ: the coarser bands are resampled (bilinear)")
            physical = self.options.method == "physical"
            surfaces = self._by_tables(reader, stack) if physical else self._by_dark_objects(reader)
            bands = [OutputBand(name=name, scale=SCALE) for name in self.toa.names]
            blocks = ((window, self._numbers(surface)) for window, surface in surfaces)
            write_cog(path, blocks, grid=reader.grid, bands=bands, dtype="int16", nodata=NODATA, tags=self._tags())
        for name, summary in self.summaries.items():
            if not summary.valid:
                raise NoValidPixelsError(f"{name} has no pixel with data")

    def _read(self, reader: BandsReader, what: str) -> Iterator[tuple[Window, NDArray[Any], NDArray[np.bool_]]]:
        size = self.options.window
        for window in with_progress(reader.windows(size), reader.grid.count_windows(size), what):
            values, valid = reader.read(window)
            if self._declares_nothing:  # no ground reflects nothing at all
                valid &= (values != 0).any(axis=0)
            yield window, values, valid

    @property
    def _declares_nothing(self) -> bool:
        return self.options.nodata is None and all(band.nodata is None for band in self.toa.bands)

    def _to_toa(self, values: NDArray[Any]) -> NDArray[np.float32]:
        scale, offset = (
            np.array([getattr(c, name) for c in self.toa.calibrations], dtype=np.float32)[:, None, None]
            for name in ("scale", "offset")
        )
        found = values.astype(np.float32)
        found *= scale
        found += offset
        return found

    def _by_tables(self, reader: BandsReader, stack: ExitStack) -> Iterator[tuple[Window, NDArray[np.float32]]]:
        table = load_table(self.toa.sensor).of(self.toa.names)
        self.conditions = conditions = Conditions(self.options.sources, table, reader.grid, stack)
        for window, values, valid in self._read(reader, "windows"):
            blocks, under, first = blocks_under(reader.grid, window)
            sun, view = self.toa.geometry.sun(blocks, under), self.toa.geometry.view(blocks, under)
            air = prepare(table, sun=sun, view=view)
            surface = correct(self._to_toa(values), air, first=first, **conditions.read(window, sun, first))
            surface[~valid] = np.nan
            yield window, surface
        conditions.check()

    def _by_dark_objects(self, reader: BandsReader) -> Iterator[tuple[Window, NDArray[np.float32]]]:
        corrections = self._find_corrections(reader)
        gain, offset = (
            np.array([getattr(c, name) for c in corrections], dtype=np.float32)[:, None, None]
            for name in ("gain", "offset")
        )
        for window, values, valid in self._read(reader, "windows"):
            surface = self._to_toa(values)
            surface *= gain
            surface += offset
            surface[~valid] = np.nan
            yield window, surface

    def _find_corrections(self, reader: BandsReader) -> list[dark_object.Correction]:
        if reader.dtype.kind not in "iu":
            raise ParameterError("dark objects are sought among whole numbers, and the scene has others")
        counts = np.zeros((len(self.toa.names), dark_object.NUMBERS), dtype=np.int64)
        for _, values, valid in self._read(reader, "windows searched for dark objects"):
            for band, (numbers, known) in enumerate(zip(values, valid, strict=True)):
                counts[band] += dark_object.count_numbers(numbers, known)
        return [self._find_correction(band, counts[band]) for band in range(len(counts))]

    def _find_correction(self, band: int, counts: NDArray[np.int64]) -> dark_object.Correction:
        name, calibration = self.toa.names[band], self.toa.calibrations[band]
        if not counts.any():
            raise NoValidPixelsError(f"{name} has no pixel with data")
        self.dark[name] = dark_object.find_dark_number(counts, least=self.options.dark_pixels)
        wavelengths = dark_object.LANDSAT_8 if self.toa.sensor.startswith("landsat") else dark_object.SENTINEL_2
        conditions = dark_object.Conditions(
            sun_zenith=self.toa.geometry.mean_sun,
            sun_distance=self.toa.sun_distance,
            view_zenith=dark_object.VIEW if self.options.view_zenith is None else self.options.view_zenith,
            wavelengths=wavelengths[name],
        )
        dark = self.dark[name] * calibration.scale + calibration.offset
        say(f"{name}: the dark object is {self.dark[name]}, a reflectance of {dark:.4f}")
        return dark_object.make_correction(self.options.method, dark, conditions)

    def _numbers(self, surface: NDArray[np.float32]) -> NDArray[np.int16]:
        for name, values in zip(self.toa.names, surface, strict=True):
            self.summaries[name].add(values)
            self.negative[name] += int(np.count_nonzero(values < 0))
        surface /= np.float32(SCALE)
        np.rint(surface, out=surface)
        np.clip(surface, -_LARGEST, _LARGEST, out=surface)
        return np.where(np.isnan(surface), NODATA, np.nan_to_num(surface)).astype(np.int16)

    def _tags(self) -> dict[str, str]:
        kept = {k: v for k, v in self.toa.bands[0].tags.items() if k in ("LOCATION", "TIFFTAG_COPYRIGHT")}
        return {**kept, "METHOD": self.options.method, "TIFFTAG_SOFTWARE": f"swath atmcor {VERSION}"}

    def warnings(self) -> list[str]:
        """What a user should look at."""
        negative = [
            f"{self.negative[name] / summary.valid:.1%} of the pixels of {name} have a negative reflectance: "
            "is there less aerosol than was given?"
            for name, summary in self.summaries.items()
            if self.negative[name] > _SUSPICIOUS_SHARE * summary.valid
        ]
        return [*negative, *(self.conditions.warnings() if self.conditions else []), *self._about_sensor()]

    def _about_sensor(self) -> list[str]:
        stand_in = STAND_INS.get(self.toa.sensor)
        if stand_in is None or self.options.method != "physical":
            return []
        told = f"there is no table for {self.toa.sensor}, and that of {stand_in.table} stands in"
        return [f"{told}: reflectance can be up to {stand_in.error:g} off for it"]

    def parameters(self) -> dict[str, Any]:
        """What the result depends on."""
        options = self.options
        scales = ("aerosol_scale", "water_scale", "ozone_scale")
        named = ("sun_zenith", "view_zenith", *scales, "offset", "scale", "nodata")
        given = {name: value for name in named if (value := getattr(options, name)) is not None}
        asked = {"method": options.method, "sensor": self.toa.sensor, "bands": list(self.toa.names), **given}
        if options.method != "physical":
            return {**asked, "dark_pixels": options.dark_pixels, "dark_numbers": self.dark}
        found = {name: source.given for name, source in options.sources.items()}
        stand_in = STAND_INS.get(self.toa.sensor)
        asked |= {"table": stand_in.table if stand_in else self.toa.sensor}
        return {**asked, **{name: of.name if isinstance(of, Path) else of for name, of in found.items()}}


def flag_clouds(options: Options, product: Product, path: Path) -> float | None:
    """Writes s2cloudless' probability of clouds, and returns the share of cloudy pixels; None where it is not done."""
    bands = cloud_bands(product) if options.clouds == "auto" and is_installed() else []
    if not bands:
        return None
    scales = [product.calibration(band, offset=options.offset, scale=options.scale) for band in bands]
    seen, cloudy = 0, 0

    def probabilities(reader: BandsReader) -> Iterator[tuple[Window, NDArray[np.uint8]]]:
        nonlocal seen, cloudy
        total = reader.grid.count_windows(options.window)
        for window in with_progress(reader.windows(options.window), total, "windows searched for clouds"):
            values, valid = reader.read(window)
            toa = np.stack([v.astype(np.float32) * c.scale + c.offset for v, c in zip(values, scales, strict=True)])
            known = valid.all(axis=0)
            found = np.where(known, np.rint(100 * cloud_probability(toa)), _NO_PROBABILITY).astype(np.uint8)
            seen += int(known.sum())
            cloudy += int(((found >= _CLOUDY) & known).sum())
            yield window, found

    coarsest = max((band.grid for band in bands), key=lambda grid: grid.transform.a)
    with open_bands(bands, coarsest, nodata=options.nodata) as reader:
        band = OutputBand(name="cloud probability", unit="%")
        tags = {"TIFFTAG_SOFTWARE": f"swath atmcor {VERSION}"}
        write_cog(
            path, probabilities(reader), grid=coarsest, bands=[band], dtype="uint8", nodata=_NO_PROBABILITY, tags=tags
        )
    return cloudy / seen if seen else None


def process(arguments: Sequence[str], environ: Mapping[str, str]) -> dict[str, Any]:
    """Writes all outputs and returns the summary. Raises EoError."""
    options = parse_options(arguments)
    product = open_product(options.scene)
    toa = find_toa(product, _asked(options))
    # Of a window: numbers and masks as they are read, reflectance before and after, and what is written; four maps.
    window = fit_window(options.window, environ, bytes_per_pixel=20 * len(toa.names) + 60)
    options = replace(options, window=window)
    for name, band, c in zip(toa.names, toa.bands, toa.calibrations, strict=True):
        say(f"{name}: {band.path.name} band {band.index}, scale {c.scale:g}, offset {c.offset:g} ({c.reason})")
    run = Run(options, product, toa)
    run.write(options.output / "surface.tif")
    cloudy = flag_clouds(options, product, options.output / "clouds.tif")
    write_json(options.output / "item.json", describe_outputs(run, datetime.now(UTC), clouds=cloudy is not None))
    statistics = {name: summary.to_document() for name, summary in run.summaries.items()}
    values = {"statistics": statistics, "cloud_fraction": cloudy, "warnings": run.warnings()}
    write_values(options.output, {key: value for key, value in values.items() if value is not None})
    for line in run.warnings():
        warn(line)
    return values


def _asked(options: Options) -> Asked:
    return Asked(
        sensor=options.sensor,
        bands=[name.strip() for name in options.bands.split(",") if name.strip()],
        sun_zenith=options.sun_zenith,
        view_zenith=options.view_zenith,
        offset=options.offset,
        scale=options.scale,
    )


def describe_outputs(run: Run, now: datetime, *, clouds: bool) -> dict[str, Any]:
    """The STAC item of what was made."""
    product, output = run.product, run.options.output
    known = [
        {"minimum": s["min"], "maximum": s["max"], "mean": s["mean"], "valid_percent": 100 * s["valid_fraction"]}
        for s in (summary.to_document() for summary in run.summaries.values())
    ]
    surface = Asset(file="surface.tif", media_type=COG, role="data", title="Surface reflectance", band_statistics=known)
    cover = Asset(file="clouds.tif", media_type=COG, role="metadata", title="Cloud probability")
    acquired = product.acquired
    return make_item(
        f"{product.name}_surface",
        output / "surface.tif",
        assets={"surface": surface, **({"clouds": cover} if clouds else {})},
        acquired=acquired.astimezone(UTC).isoformat().replace("+00:00", "Z") if acquired else None,
        created=now.isoformat(timespec="seconds").replace("+00:00", "Z"),
        located=run.toa.bands[0].tags.get("LOCATION") != "unknown",
        lineage=Lineage(software="swath atmcor", version=VERSION, inputs=_inputs(run), parameters=run.parameters()),
    )


def _inputs(run: Run) -> list[str]:
    found = [source.given for source in run.options.sources.values()]
    return [run.product.path.name, *(given.name for given in found if isinstance(given, Path))]


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Runs, and returns the exit code that the manifest names."""
    return run_program(process, arguments, environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
